package api_test

import (
	"strings"
	"testing"

	"freeway/api"
	"freeway/scraper"
)

func TestAddSource(t *testing.T) {
	t.Parallel()
	w := open(t, func(_ *api.Config, e *api.Env) {
		s, err := scraper.Open(scraper.Config{}, scraper.Sources{List: []scraper.Source{{Name: "mine", URL: "http://127.0.0.1:9/mine"}}}, scraper.Env{Sink: e.Pool, Notebook: e.Pool})
		if err != nil {
			t.Fatal(err)
		}
		e.Scraper = s
	})
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "", `{"name":"new","url":"http://127.0.0.1:9/new","protocols":["socks5"],"pool":"own"}`, 201, `"pool":"own"`},
		{"POST", "", `{"name":"new","url":"http://127.0.0.1:9/new"}`, 409, "already"},
		{"POST", "", `{"name":"mine","url":"http://127.0.0.1:9/new"}`, 409, "already"},
		{"POST", "", `{"name":"x","url":"file:///etc/passwd"}`, 422, "url"},
		{"POST", "", `{"name":"x","url":"http://127.0.0.1:9/","schedule":"@every 0s"}`, 422, "schedule"},
		{"POST", "", `{"name":"x","url":"http://127.0.0.1:9/","file":"/etc/passwd"}`, 422, "unexpected property"},
		{"POST", "", `{"name":"a b","url":"http://127.0.0.1:9/"}`, 422, "pattern"},
		{"PATCH", "/new", `{"enabled":false}`, 200, `"enabled":false`},
		{"DELETE", "/mine", "", 404, "can be switched off"},
		{"DELETE", "/new", "", 204, ""},
		{"DELETE", "/new", "", 404, "no such source"},
	} {
		status, _, body := w.do(tt.method, "/api/sources"+tt.path, tt.body, "Content-Type", "application/json")
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s /api/sources%s %s = %d %s, want %d with %q", tt.method, tt.path, tt.body, status, body, tt.status, tt.says)
		}
	}
}
