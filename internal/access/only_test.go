package access_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"freeway/internal/access"
)

// TestTokenForOnePath: such a token opens its path to POST and nothing else, by
// no spelling; and when it is the only token, nothing else is guarded.
func TestTokenForOnePath(t *testing.T) {
	t.Parallel()
	const path = "/api/hooks/alertmanager"
	hook := access.Token{Name: "hook", Role: access.Operator, Hash: access.HashToken("hook"), Only: path}
	ada := access.Token{Name: "ada", Role: access.Admin, Hash: access.HashToken("ada")}
	for _, tt := range []struct {
		name, method, path, token string
		tokens                    []access.Token
		want                      access.Denial
	}{
		{"its path", "POST", path, "hook", []access.Token{ada, hook}, 0},
		{"looking at it", "GET", path, "hook", []access.Token{ada, hook}, access.TooFew},
		{"another path", "POST", "/api/reload", "hook", []access.Token{ada, hook}, access.TooFew},
		{"below its path", "POST", path + "/x", "hook", []access.Token{ada, hook}, access.TooFew},
		{"another spelling", "POST", "/api/hooks/%61lertmanager", "hook", []access.Token{ada, hook}, access.TooFew},
		{"an admin", "POST", path, "ada", []access.Token{ada, hook}, 0},
		{"a wrong token", "POST", path, "hoo", []access.Token{ada, hook}, access.BadToken},
		{"alone, none", "POST", path, "", []access.Token{hook}, access.NoToken},
		{"alone, another spelling", "POST", "/api/hooks/%61lertmanager", "", []access.Token{hook}, access.NoToken},
		{"alone, wrong", "POST", path, "x", []access.Token{hook}, access.BadToken},
		{"alone, right", "POST", path, "hook", []access.Token{hook}, 0},
		{"alone, elsewhere", "POST", "/api/reload", "", []access.Token{hook}, 0},
		{"alone, looking at it", "GET", path, "", []access.Token{hook}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got access.Denial
			h := guarded(access.Config{Tokens: tt.tokens}, &got)
			ask(h, tt.method, tt.path, func(r *http.Request) {
				if tt.token != "" {
					r.Header.Set("Authorization", "Bearer "+tt.token)
				}
			})
			if got != tt.want {
				t.Errorf("%s %s: denial %v, want %v", tt.method, tt.path, got, tt.want)
			}
		})
	}
	var why access.Denial
	h := guarded(access.Config{Tokens: []access.Token{ada, hook}, Open: []string{access.LoginPath}, Sessions: access.NewSessions(nil)}, &why)
	w := ask(h, "POST", access.LoginPath, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body = http.NoBody
		r.PostForm = url.Values{"token": {"hook"}}
		r.Form = r.PostForm
	})
	if w.Header().Get("Set-Cookie") != "" || !strings.HasSuffix(w.Header().Get("Location"), "?wrong") {
		t.Errorf("a token for one path logs in: %d %v", w.Code, w.Header())
	}
}
