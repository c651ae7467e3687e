// Package access decides who may talk to the admin listener, before any
// routing happens: the bearer token, the Host header (DNS rebinding), and
// writes that a page of another origin makes a browser send.
//
// The check wraps the whole handler, so no spelling of a path passes it:
// everything is denied unless it is allowed here.
package access

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Denial is why a request was not let in. The caller of Guard maps it to an answer.
type Denial int

// The reasons for which Guard turns a request away.
const (
	BadHost     Denial = 1 + iota // the Host header is a name that is not ours: DNS rebinding
	CrossOrigin                   // a browser sends a write from another origin
	BadHeader                     // a header that other software could mistake for a credential
	NoToken                       // a token is needed and none came
	BadToken                      // the token is wrong
	TooFew                        // the token's role is not enough
	TooMany                       // the address sent too many wrong tokens
	NoRole                        // the certificate of the client is good, but no role belongs to a name in it
)

// Config says who is let in. The zero value needs no token and answers to
// IP literals and localhost only.
type Config struct {
	// Tokens are what clients send as "Authorization: Bearer TOKEN". Browsers may
	// send one as the password of Basic authentication, with any user name.
	// Neither Tokens nor Clients: nothing is asked for, and everybody is an admin.
	// Tokens for one path change that for this path only.
	Tokens []Token

	// Clients are those whose TLS certificate is enough. What is said explicitly
	// beats what is merely there: a token that is sent decides alone, also when it
	// is wrong; then a browser's session; then the certificate.
	Clients []Client

	// Sessions, when not nil, let browsers log in: POST LoginPath with a token in
	// the field "token" sets a cookie, and pages that need a token redirect to
	// GET LoginPath, which next must answer and Open must name.
	Sessions *Sessions

	// Hosts are further names under which the listener is reached, without
	// port, in any case. IP literals and localhost are always accepted.
	Hosts []string

	// Open are the exact paths that GET and HEAD may ask for without a token.
	Open []string

	// Deny answers a request that was turned away. Nil: a bare 403 or 401.
	Deny func(w http.ResponseWriter, r *http.Request, why Denial)
}

// csp allows nothing that does not come from this listener, nor any inline
// script or style.
const csp = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// Guard returns next behind the checks. It sets the security headers on every
// answer, also on refusals. The handler is safe for concurrent use.
func Guard(c Config, next http.Handler) http.Handler {
	g := guard{next: next, deny: c.Deny, hosts: NewHosts(c.Hosts), open: map[string]bool{}}
	g.tokens, g.clients, g.sessions = c.Tokens, c.Clients, c.Sessions
	for _, p := range c.Open {
		g.open[p] = true
	}
	if g.deny == nil {
		g.deny = plainDeny
	}
	g.cross = http.NewCrossOriginProtection()
	return &g
}

type guard struct {
	next     http.Handler
	deny     func(http.ResponseWriter, *http.Request, Denial)
	cross    *http.CrossOriginProtection
	hosts    Hosts
	open     map[string]bool
	tokens   []Token
	clients  []Client
	sessions *Sessions
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	why := g.screen(r)
	if why == 0 && g.login(w, r) {
		return
	}
	caller := Caller{}
	if why == 0 {
		caller, why = g.identify(r)
	}
	if why != 0 {
		g.refuse(w, r, why)
		return
	}
	g.next.ServeHTTP(w, with(r, caller))
}

// refuse answers a request that was turned away.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, why Denial) {
	if why == NoToken || why == BadToken || why == NoRole && len(g.tokens) > 0 && browser(r) {
		if g.sessions != nil && browser(r) {
			http.Redirect(w, r, LoginPath, http.StatusSeeOther)
			return
		}
		w.Header().Add("WWW-Authenticate", `Bearer realm="freeway"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="freeway: any user, the token as password", charset="UTF-8"`)
	}
	g.deny(w, r, why)
}

// screen makes the checks that need no token.
func (g *guard) screen(r *http.Request) Denial {
	switch {
	case !g.hosts.Allow(r.Host):
		return BadHost
	case smuggles(r.Header):
		return BadHeader
	case g.cross.Check(r) != nil:
		return CrossOrigin
	}
	return 0
}

// identify finds out who asks, and whether that role is enough.
func (g *guard) identify(r *http.Request) (Caller, Denial) {
	if !g.asks(r) {
		return Caller{Role: Admin}, 0
	}
	if g.isOpen(r) {
		return Caller{}, 0
	}
	c, why := g.caller(r)
	if why == 0 && !c.may(r) {
		why = TooFew
	}
	return c, why
}

// asks reports whether anybody has to say who they are. A token for POST to one path
// guards that, and nothing else.
func (g *guard) asks(r *http.Request) bool {
	return len(g.clients) > 0 || slices.ContainsFunc(g.tokens, func(t Token) bool { return t.Only == "" || t.Only == r.URL.Path && r.Method == http.MethodPost })
}

// caller finds out whose token, session or certificate it is.
func (g *guard) caller(r *http.Request) (Caller, Denial) {
	token, ok := credentials(r)
	if !ok {
		if len(r.Header.Values("Authorization")) > 0 {
			return Caller{}, NoToken
		}
		if c, in := g.sessions.caller(r, g.tokens); in {
			return c, 0
		}
		return byCertificate(g.clients, r)
	}
	addr := clientAddr(r)
	c, ok := find(g.tokens, token)
	if !g.sessions.admits(addr, token, ok) {
		return Caller{}, TooMany
	}
	if !ok {
		g.sessions.failed(addr)
		return Caller{}, BadToken
	}
	return c, 0
}

// isOpen demands the exact path as it came over the wire, so that no encoding
// of another path can look like an open one.
func (g *guard) isOpen(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && g.open[r.URL.Path] && r.URL.EscapedPath() == r.URL.Path
}

// Hosts are the names under which a listener is reached; use NewHosts.
type Hosts map[string]bool

// NewHosts returns localhost and further names, without port, in any case.
func NewHosts(names []string) Hosts {
	h := Hosts{"localhost": true}
	for _, name := range names {
		h[canonicalName(name)] = true
	}
	return h
}

// Allow reports whether a Host header is one of ours: an IP literal, which no
// name server can point elsewhere, localhost, or one of the names.
func (h Hosts) Allow(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Zone() == ""
	}
	return h[canonicalName(name)]
}

// smuggles finds names such as Proxy_Authorization, which some software in
// front of us treats as the name with hyphens and does not filter.
func smuggles(h http.Header) bool {
	for name := range h {
		if strings.IndexByte(name, '_') < 0 {
			continue
		}
		plain := strings.ToLower(name)
		for _, word := range []string{"auth", "cookie", "host", "origin", "key", "token", "forwarded", "sec_", "secret"} {
			if strings.Contains(plain, word) {
				return true
			}
		}
	}
	return false
}

func credentials(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if strings.EqualFold(scheme, "Bearer") {
		token := strings.Trim(rest, " ")
		return token, token != ""
	}
	_, password, ok := r.BasicAuth()
	return password, ok
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func plainDeny(w http.ResponseWriter, _ *http.Request, why Denial) {
	if why == NoToken || why == BadToken {
		http.Error(w, "token needed", http.StatusUnauthorized)
		return
	}
	http.Error(w, "refused", http.StatusForbidden)
}

func canonicalName(h string) string { return strings.ToLower(strings.TrimSuffix(h, ".")) }
