package access_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"

	"freeway/internal/access"
)

// from makes a request come with a certificate that the listener has verified.
func from(leaf *x509.Certificate) func(*http.Request) {
	return func(r *http.Request) {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	}
}

func uri(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var clients = []access.Client{
	{SAN: "spiffe://ops/alice", Role: access.Operator}, {SAN: "Bob@Example.com", Role: access.Viewer}, {SAN: "ci.example.com", Role: access.Admin},
}

// clientHouse has tokens and clients.
func clientHouse(tokens ...access.Token) http.Handler {
	return access.Guard(access.Config{Tokens: tokens, Clients: clients, Sessions: access.NewSessions(nil), Open: []string{"/livez"}},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := access.From(r.Context())
			w.Header().Set("Caller", c.Name+" "+c.Role.String())
		}))
}

func TestRolesByCertificate(t *testing.T) {
	t.Parallel()
	h := clientHouse(access.Token{Name: "vera", Role: access.Viewer, Hash: access.HashToken("vera")})
	alice := &x509.Certificate{URIs: []*url.URL{uri(t, "spiffe://ops/alice")}}
	named := func(cn string) *x509.Certificate {
		c := &x509.Certificate{}
		c.Subject.CommonName = cn
		return c
	}
	both := func(token string, leaf *x509.Certificate) func(*http.Request) {
		return func(r *http.Request) { from(leaf)(r); bearer(token)(r) }
	}
	for _, tt := range []struct {
		name, method string
		change       func(*http.Request)
		status       int
		caller       string
	}{
		{"URI", "POST", from(alice), 200, "spiffe://ops/alice operator"},
		{"mail address, domain in any case", "GET", from(&x509.Certificate{EmailAddresses: []string{"Bob@EXAMPLE.com"}}), 200, "Bob@Example.com viewer"},
		{"mail address, another user", "GET", from(&x509.Certificate{EmailAddresses: []string{"bob@example.com"}}), 403, ""},
		{"a viewer writes", "DELETE", from(&x509.Certificate{EmailAddresses: []string{"Bob@example.com"}}), 403, ""},
		{"DNS name in any case", "POST", from(&x509.Certificate{DNSNames: []string{"CI.example.com"}}), 200, "ci.example.com admin"},
		{"several names: the highest role", "POST", from(&x509.Certificate{DNSNames: []string{"ci.example.com"}, EmailAddresses: []string{"Bob@example.com"}}), 200, "ci.example.com admin"},
		{"no mapping", "GET", from(&x509.Certificate{DNSNames: []string{"other.example.com"}}), 403, ""},
		{"wildcard", "GET", from(&x509.Certificate{DNSNames: []string{"*.example.com"}}), 403, ""},
		{"longer path", "GET", from(&x509.Certificate{URIs: []*url.URL{uri(t, "spiffe://ops/alice/x")}}), 403, ""},
		{"the common name is nothing", "GET", from(named("ci.example.com")), 403, ""},
		{"a name of another kind", "GET", from(&x509.Certificate{DNSNames: []string{"spiffe://ops/alice", "Bob@Example.com"}}), 403, ""},
		{"not verified", "GET", func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{alice}}
		}, 401, ""},
		{"none", "GET", nil, 401, ""},
		{"a token beats it", "GET", both("vera", alice), 200, "vera viewer"},
		{"a token with a lower role decides", "POST", both("vera", alice), 403, ""},
		{"a wrong token decides", "GET", both("wrong", alice), 401, ""},
		{"a header that is no credential decides", "GET", func(r *http.Request) { from(alice)(r); r.Header.Set("Authorization", "Negotiate x") }, 401, ""},
		{"from another site", "POST", func(r *http.Request) { from(alice)(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, ""},
	} {
		w := ask(h, tt.method, "/api/x", tt.change)
		if w.Code != tt.status || w.Header().Get("Caller") != tt.caller {
			t.Errorf("%s: %s = %d %q, want %d %q", tt.name, tt.method, w.Code, w.Header().Get("Caller"), tt.status, tt.caller)
		}
	}
	for _, path := range []string{"/api/x", "//", "/api/%2e%2e/livez", "/livez/"} {
		if w := ask(clientHouse(), "GET", path, nil); w.Code != 401 {
			t.Errorf("clients and no tokens: GET %s without either = %d, want 401", path, w.Code)
		}
	}
	if w := ask(clientHouse(), "GET", "/livez", nil); w.Code != 200 {
		t.Errorf("clients and no tokens: GET /livez = %d, want 200", w.Code)
	}
}

// A session is more explicit than a certificate; a browser whose certificate
// has no role may log in.
func TestSessionBeforeCertificate(t *testing.T) {
	t.Parallel()
	h := clientHouse(access.Token{Name: "ada", Role: access.Admin, Hash: access.HashToken("ada")})
	bob := from(&x509.Certificate{EmailAddresses: []string{"Bob@example.com"}})
	c := logIn(h, "ada").Result().Cookies()[0]
	if w := ask(h, "GET", "/api/x", func(r *http.Request) { bob(r); r.AddCookie(c) }); w.Header().Get("Caller") != "ada admin" {
		t.Errorf("session and certificate: %q, want ada admin", w.Header().Get("Caller"))
	}
	w := ask(h, "GET", "/", func(r *http.Request) {
		from(&x509.Certificate{})(r)
		r.Header.Set("Accept", "text/html")
	})
	if w.Code != http.StatusSeeOther {
		t.Errorf("a page for a certificate without a role = %d, want 303", w.Code)
	}
}

func TestClientValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c  access.Client
		ok bool
	}{
		{access.Client{SAN: "spiffe://x/y", Role: access.Viewer}, true},
		{access.Client{SAN: "", Role: access.Viewer}, false},
		{access.Client{SAN: "*.example.com", Role: access.Viewer}, false},
		{access.Client{SAN: "a b", Role: access.Viewer}, false},
		{access.Client{SAN: "a.example.com"}, false},
	} {
		if err := tt.c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%+v: Validate = %v, want ok: %v", tt.c, err, tt.ok)
		}
	}
}
