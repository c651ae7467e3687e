package access_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeway/internal/access"
)

// house is a guarded handler that answers with the caller's role.
func house(now func() time.Time) http.Handler {
	token := func(name string, role access.Role) access.Token {
		return access.Token{Name: name, Role: role, Hash: access.HashToken(name)}
	}
	return access.Guard(access.Config{
		Tokens:   []access.Token{token("vera", access.Viewer), token("otto", access.Operator), token("ada", access.Admin)},
		Open:     []string{access.LoginPath},
		Sessions: access.NewSessions(now),
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := access.From(r.Context())
		w.Header().Set("Caller", c.Name+" "+c.Role.String())
	}))
}

func ask(h http.Handler, method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
	r.RemoteAddr = "10.0.0.7:1234"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func TestRoles(t *testing.T) {
	t.Parallel()
	h := house(nil)
	for _, tt := range []struct {
		method, token string
		status        int
		caller        string
	}{
		{"GET", "vera", 200, "vera viewer"},
		{"HEAD", "vera", 200, "vera viewer"},
		{"POST", "vera", 403, ""},
		{"DELETE", "vera", 403, ""},
		{"PROPFIND", "vera", 403, ""},
		{"PATCH", "otto", 200, "otto operator"},
		{"POST", "ada", 200, "ada admin"},
		{"GET", "nobody", 401, ""},
	} {
		w := ask(h, tt.method, "/api/x", bearer(tt.token))
		if w.Code != tt.status || w.Header().Get("Caller") != tt.caller {
			t.Errorf("%s as %s = %d %q, want %d %q", tt.method, tt.token, w.Code, w.Header().Get("Caller"), tt.status, tt.caller)
		}
	}
	free := access.Guard(access.Config{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got := access.From(r.Context()).Role; got != access.Admin {
			t.Errorf("role without tokens = %v, want admin", got)
		}
	}))
	ask(free, "POST", "/api/x", nil)
}

// logIn posts a token and returns the answer.
func logIn(h http.Handler, token string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://127.0.0.1/login", strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "10.0.0.7:1234"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLogIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := house(func() time.Time { return now })
	page := func(r *http.Request) { r.Header.Set("Accept", "text/html,*/*") }
	if w := ask(h, "GET", "/", page); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login" {
		t.Errorf("a page without a session = %d to %q, want 303 to /login", w.Code, w.Header().Get("Location"))
	}
	if w := ask(h, "GET", "/api/stats", page); w.Code != http.StatusUnauthorized {
		t.Errorf("the API without a session = %d, want 401", w.Code)
	}
	if w := logIn(h, "wrong"); w.Header().Get("Location") != "/login?wrong" || len(w.Result().Cookies()) > 0 {
		t.Errorf("a wrong token leads to %q with %v", w.Header().Get("Location"), w.Result().Cookies())
	}
	w := logIn(h, "otto")
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || len(cookies) != 1 {
		t.Fatalf("log-in = %d to %q with %v", w.Code, w.Header().Get("Location"), cookies)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || strings.Contains(c.Value, "otto") {
		t.Errorf("cookie %v is not HttpOnly and SameSite=Strict", c)
	}
	in := func(r *http.Request) { r.AddCookie(c) }
	if w := ask(h, "PATCH", "/api/x", in); w.Header().Get("Caller") != "otto operator" {
		t.Errorf("with the cookie = %d %q, want otto", w.Code, w.Header().Get("Caller"))
	}
	if w := ask(h, "PATCH", "/api/x", func(r *http.Request) { in(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }); w.Code != http.StatusForbidden {
		t.Errorf("with the cookie from another site = %d, want 403", w.Code)
	}
	now = now.Add(13 * time.Hour)
	if w := ask(h, "GET", "/api/x", in); w.Code != http.StatusUnauthorized {
		t.Errorf("after 13 hours = %d, want 401", w.Code)
	}
	c = logIn(h, "ada").Result().Cookies()[0]
	if w := ask(h, "POST", "/logout", func(r *http.Request) { r.AddCookie(c) }); w.Code != http.StatusSeeOther {
		t.Errorf("log-out = %d, want 303", w.Code)
	}
	if w := ask(h, "GET", "/api/x", func(r *http.Request) { r.AddCookie(c) }); w.Code != http.StatusUnauthorized {
		t.Errorf("after log-out = %d, want 401", w.Code)
	}
}

// Guessing is slowed down per address, and this machine is never locked out.
func TestGuessing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := house(func() time.Time { return now })
	for range 10 {
		ask(h, "GET", "/", bearer("guess"))
	}
	local := func(r *http.Request) { bearer("ada")(r); r.RemoteAddr = "127.0.0.1:9" }
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"right token, same address", bearer("ada"), http.StatusForbidden},
		{"right token, another address", func(r *http.Request) { bearer("ada")(r); r.RemoteAddr = "10.0.0.8:9" }, 200},
		{"right token, this machine", local, 200},
	} {
		if w := ask(h, "GET", "/", tt.change); w.Code != tt.want {
			t.Errorf("%s = %d, want %d", tt.name, w.Code, tt.want)
		}
	}
	if w := logIn(h, "ada"); w.Header().Get("Location") != "/login?wait" {
		t.Errorf("log-in leads to %q, want /login?wait", w.Header().Get("Location"))
	}
	now = now.Add(2 * time.Minute)
	if w := ask(h, "GET", "/", bearer("ada")); w.Code != 200 {
		t.Errorf("after two minutes = %d, want 200", w.Code)
	}
}

// TestGuesserLocksNobodyOut: a token that was right from an address within the hour
// does not wait because others guess there.
func TestGuesserLocksNobodyOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := house(func() time.Time { return now })
	guess := func() {
		for range 12 {
			ask(h, "GET", "/", bearer("guess"))
		}
	}
	ask(h, "GET", "/", bearer("ada"))
	for i := range 10 {
		now = now.Add(5 * time.Second)
		guess()
		if w := ask(h, "GET", "/", bearer("ada")); w.Code != 200 {
			t.Errorf("a known token, time %d = %d, want 200", i, w.Code)
		}
		if w := logIn(h, "ada"); w.Header().Get("Location") != "/" {
			t.Errorf("its log-in leads to %q, want /", w.Header().Get("Location"))
		}
		if w := ask(h, "GET", "/", bearer("otto")); w.Code != http.StatusForbidden {
			t.Errorf("a right token that was not seen before, time %d = %d, want 403", i, w.Code)
		}
		if w := ask(h, "GET", "/", func(r *http.Request) { bearer("ada")(r); r.RemoteAddr = "10.0.0.7:9" }); w.Code != 200 {
			t.Errorf("from another address = %d, want 200", w.Code)
		}
	}
	now = now.Add(2 * time.Hour)
	guess()
	if w := ask(h, "GET", "/", bearer("ada")); w.Code != http.StatusForbidden {
		t.Errorf("two hours later = %d, want 403", w.Code)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	token := access.NewToken()
	h, err := access.ParseHash(" " + access.HashToken(token).String() + "\n")
	if err != nil || h != access.HashToken(token) || len(token) < 43 {
		t.Errorf("ParseHash(HashToken(%q)) = %v, %v", token, h, err)
	}
	for _, bad := range []string{"", "sha256:", "sha256:00", token, "md5:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("g", 64)} {
		if h, err := access.ParseHash(bad); err == nil {
			t.Errorf("ParseHash(%q) = %v, want an error", bad, h)
		}
	}
	var r access.Role
	if err := r.UnmarshalText([]byte("root")); err == nil || r.UnmarshalText([]byte("Viewer")) != nil || r != access.Viewer {
		t.Errorf("UnmarshalText: %v, %v", r, err)
	}
}

// TestThreat86Oracle: whatever is wrong with a token, the answer is the same:
// it tells neither how much of it was right nor whether there is one like it.
func TestThreat86Oracle(t *testing.T) {
	t.Parallel()
	h := house(nil)
	first := ask(h, "GET", "/api/x", bearer("completely-else"))
	for _, token := range []string{"ver", "vera ", "vera2", "VERA", "Vera", "otto\x00", "ad", access.HashToken("ada").String(), strings.Repeat("a", 20_000)} {
		for _, path := range []string{"/api/x", "/nothing", "//", "/debug/pprof/"} {
			w := ask(h, "GET", path, bearer(strings.TrimSuffix(token, " ")+strings.Repeat("x", strings.Count(token, " "))))
			if w.Code != 401 || w.Body.String() != first.Body.String() || len(w.Header()) != len(first.Header()) {
				t.Errorf("GET %s with token %.20q = %d %s %v, want the answer to any wrong token", path, token, w.Code, w.Body, w.Header())
			}
		}
		h = house(nil) // ten wrong ones from an address are another matter
	}
}
