package access_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"freeway/internal/access"
)

func guarded(c access.Config, why *access.Denial) http.Handler {
	c.Deny = func(w http.ResponseWriter, _ *http.Request, d access.Denial) {
		*why = d
		w.WriteHeader(http.StatusForbidden)
	}
	return access.Guard(c, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
}

func TestHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]access.Denial{
		"127.0.0.1:8081": 0, "[::1]:8081": 0, "[::1]": 0, "10.0.0.5": 0, "localhost": 0, "LOCALHOST.:8081": 0,
		"freeway.example.org:8081": 0, "Freeway.Example.Org": 0,
		"evil.example": access.BadHost, "127.0.0.1.evil.example:8081": access.BadHost, "localhost.evil.example": access.BadHost,
		"": access.BadHost, "fe80::1%25eth0": access.BadHost, "127.1:80": access.BadHost, "0x7f.1": access.BadHost,
		"freeway.example.org.evil": access.BadHost, "user@localhost": access.BadHost,
	} {
		var got access.Denial
		h := guarded(access.Config{Hosts: []string{"freeway.example.org"}}, &got)
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != want {
			t.Errorf("Host %q: denial %v, want %v", host, got, want)
		}
	}
}

func TestCrossOriginWrites(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method, site, origin string
		want                       access.Denial
	}{
		{"script of another site", "POST", "cross-site", "https://evil.example", access.CrossOrigin},
		{"another port of this machine", "DELETE", "same-site", "http://localhost:3000", access.CrossOrigin},
		{"old browser", "POST", "", "https://evil.example", access.CrossOrigin},
		{"sandboxed frame", "PATCH", "", "null", access.CrossOrigin},
		{"our page", "POST", "same-origin", "http://localhost:8081", 0},
		{"curl", "POST", "", "", 0},
		{"a link from elsewhere", "GET", "cross-site", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got access.Denial
			h := guarded(access.Config{}, &got)
			r := httptest.NewRequest(tt.method, "http://localhost:8081/api/reload", nil)
			if tt.site != "" {
				r.Header.Set("Sec-Fetch-Site", tt.site)
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want {
				t.Errorf("denial %v, want %v", got, tt.want)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	basic := func(user, pass string) []string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, pass)
		return r.Header["Authorization"]
	}
	for _, tt := range []struct {
		name   string
		header []string
		want   access.Denial
	}{
		{"none", nil, access.NoToken},
		{"right", []string{"Bearer s3cret"}, 0},
		{"any case of the scheme", []string{"bEaReR s3cret"}, 0},
		{"wrong", []string{"Bearer s3cre"}, access.BadToken},
		{"longer", []string{"Bearer s3cret " + "x"}, access.BadToken},
		{"empty", []string{"Bearer "}, access.NoToken},
		{"twice", []string{"Bearer wrong", "Bearer s3cret"}, access.NoToken},
		{"bare", []string{"s3cret"}, access.NoToken},
		{"browser", basic("anyone", "s3cret"), 0},
		{"browser wrong", basic("s3cret", ""), access.BadToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got access.Denial
			h := guarded(access.Config{Tokens: []access.Token{{Name: "t", Role: access.Admin, Hash: access.HashToken("s3cret")}}, Open: []string{"/livez"}}, &got)
			r := httptest.NewRequest("GET", "http://127.0.0.1/api/stats", nil)
			r.Header["Authorization"] = tt.header
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if got != tt.want {
				t.Errorf("denial %v, want %v", got, tt.want)
			}
			if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (tt.want != 0) {
				t.Errorf("challenge sent: %v", challenged)
			}
		})
	}
}

// No spelling of a path gets past the token: the check does not look at routes.
func TestPathSpellings(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/api/stats", "//livez", "/livez/", "/LIVEZ", "/livez/../api/stats", "/%6civez", "/livez%2f..%2fapi", "/./livez",
		"/api//stats", "/api/%2e%2e/livez", "/metrics", "/debug/pprof/", "/livez;x=1"} {
		var got access.Denial
		h := guarded(access.Config{Tokens: []access.Token{{Name: "t", Role: access.Admin, Hash: access.HashToken("s3cret")}}, Open: []string{"/livez"}}, &got)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://127.0.0.1"+path, nil))
		if got != access.NoToken {
			t.Errorf("GET %s without a token: denial %v, want NoToken", path, got)
		}
	}
	for method, want := range map[string]access.Denial{"GET": 0, "HEAD": 0, "POST": access.NoToken} {
		var got access.Denial
		h := guarded(access.Config{Tokens: []access.Token{{Name: "t", Role: access.Admin, Hash: access.HashToken("s3cret")}}, Open: []string{"/livez"}}, &got)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "http://127.0.0.1/livez?x=1", nil))
		if got != want {
			t.Errorf("%s /livez: denial %v, want %v", method, got, want)
		}
	}
}

func TestSmuggledNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]access.Denial{"Proxy_Authorization": access.BadHeader, "authorization_": access.BadHeader, "COOKIE": 0, "API_KEY": access.BadHeader, "X_Auth_Token": access.BadHeader,
		"x_api_key": access.BadHeader, "Sec_Fetch_Site": access.BadHeader, "My_Header": 0} {
		var got access.Denial
		h := guarded(access.Config{}, &got)
		r := httptest.NewRequest("GET", "http://127.0.0.1/", nil)
		r.Header[name] = []string{"x"}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != want {
			t.Errorf("header %s: denial %v, want %v", name, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "evil.example"} {
		w := httptest.NewRecorder()
		h := access.Guard(access.Config{}, http.NotFoundHandler())
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		h.ServeHTTP(w, r)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
			"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Access-Control-Allow-Origin": "",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("Host %s: %s = %q, want %q", host, name, got, want)
			}
		}
	}
}
