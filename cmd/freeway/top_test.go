package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeway/api"
	"freeway/config"
)

// topServer answers with numbers and requests as given.
func topServer(t *testing.T, requests []api.Request) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var v any = api.Requests{Items: requests}
		if r.URL.Path == "/api/stats" {
			v = api.Stats{Total: 1234, States: map[string]int{"live": 17, "dead": 1200}, Exits: 15, Protocols: map[string]int{"http": 12, "socks5": 5},
				Countries: map[string]int{"DE": 9, "": 8}, LastMinute: api.Rates{Requests: 10, Answered: 9, Picks: 14}, Version: "v1"}
		}
		json.NewEncoder(w).Encode(v) //nolint:errcheck // a test's client stays
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestTopOnce(t *testing.T) {
	t.Parallel()
	at := time.Now()
	url := topServer(t, []api.Request{
		{At: &at, Method: "CONNECT", Target: "example.com:443", Status: 200, TookMS: 321, Attempts: []api.Attempt{{Proxy: "http://192.0.2.1:80", Class: "refused"}, {Proxy: "http://192.0.2.2:80", Class: "ok", Country: "DE"}}},
		{At: &at, Method: "GET", Target: "evil\x1b[2J.example:80", Code: "no_upstream", Status: 503},
		{At: &at, Method: "CONNECT", Target: "example.net:443", Status: 200, TookMS: 654, Running: true},
	})
	code, out, errs := command(t, nil, "top", "--once", "--server", url)
	if code != 0 || errs != "" {
		t.Fatalf("top = %d, %q", code, errs)
	}
	for _, want := range []string{"17 live over 15 exits", "1234 in all", "http 12, socks5 5", "DE 9, - 8", "90.0 % answered; 1.4 attempts each", "321ms  200", "654ms+ 200", "2  CONNECT example.com:443",
		"http://192.0.2.2:80 ok DE", "no_upstream"} {
		if !strings.Contains(out, want) {
			t.Errorf("top does not say %q:\n%s", want, out)
		}
	}
	if strings.ContainsRune(out, 0x1b) {
		t.Errorf("top passes on an escape sequence: %q", out)
	}
}

// A page never has more columns or lines than the screen.
func TestTopFits(t *testing.T) {
	t.Parallel()
	many := make([]api.Request, 100)
	for i := range many {
		many[i] = api.Request{Method: "GET", Target: strings.Repeat("x", 200)}
	}
	a := &app{}
	c, err := a.client(topServer(t, many), config.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range [][2]int{{80, 24}, {40, 12}, {10, 3}} {
		var page bytes.Buffer
		if err := drawTop(t.Context(), c, &page, size[0], size[1]); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(page.String(), "\n"), "\n")
		for _, line := range lines {
			if n := len([]rune(line)); n > size[0] {
				t.Errorf("a line of %d columns on a screen of %v: %q", n, size, line)
			}
		}
		if len(lines) > max(size[1], 9) {
			t.Errorf("%d lines on a screen of %v", len(lines), size)
		}
	}
}
