package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		body   string
		code   int
		out    string
	}{
		{"ready", nil, 200, "[+]serving: requests are taken\nok\n", 0, "[+]serving: requests are taken\nok\n"},
		{"not ready", nil, 503, "[-]upstreams: \x1b[2J0\nnot ready: no proxy is live yet\n", 1, "[-]upstreams:  [2J0\nnot ready: no proxy is live yet\n"},
		{"live", []string{"--live"}, 200, "ok\n", 0, "ok\n"},
		{"refused", nil, 403, "no", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want := map[bool]string{true: "/livez", false: "/readyz"}[len(tt.args) > 0]; r.URL.Path != want {
					t.Errorf("asked for %s, want %s", r.URL.Path, want)
				}
				w.WriteHeader(tt.status)
				w.Write([]byte(tt.body)) //nolint:errcheck // a test's client stays
			}))
			t.Cleanup(srv.Close)
			code, out, errs := command(t, nil, append([]string{"healthcheck", "--server", srv.URL}, tt.args...)...)
			if code != tt.code || out != tt.out || (tt.status == 403) != strings.Contains(errs, "403") {
				t.Errorf("healthcheck = %d, %q, %q; want %d, %q", code, out, errs, tt.code, tt.out)
			}
		})
	}
}
