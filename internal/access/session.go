package access

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	cookieName  = "freeway_session"
	sessionTime = 12 * time.Hour // after which one has to log in again
	maxSessions = 1000           // logged in at once; beyond it the oldest are logged out
	maxFailures = 10             // wrong tokens per address and failureTime; then even a right one must wait, unless it is known there
	failureTime = time.Minute
	maxWatched  = 10_000 // addresses whose failures are remembered, and tokens at addresses
	knownTime   = time.Hour
)

// Sessions are the browsers that are logged in. They live in memory: after a
// restart people log in again. Its methods are safe for concurrent use. Use
// NewSessions.
type Sessions struct {
	now func() time.Time

	mu       sync.Mutex // protects the fields below
	open     map[Hash]session
	failures map[string]failure // by client address
	known    map[tokenAt]time.Time
}

// tokenAt is a token that was right from an address. Until knownTime has passed
// since it last was, others who guess there do not make it wait. Whoever guesses at
// it has no limit there; tokens are random and too long for that to help.
type tokenAt struct {
	addr  string
	token Hash
}

type session struct {
	caller Caller
	token  Hash // with which it was opened: when that token is withdrawn the session ends
	until  time.Time
}

type failure struct {
	n     int
	until time.Time
}

// NewSessions returns none. now nil is time.Now.
func NewSessions(now func() time.Time) *Sessions {
	if now == nil {
		now = time.Now
	}
	return &Sessions{now: now, open: map[Hash]session{}, failures: map[string]failure{}, known: map[tokenAt]time.Time{}}
}

// begin opens a session and returns its cookie.
func (s *Sessions) begin(c Caller, token Hash, secure bool) *http.Cookie {
	id := NewToken()
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, first := Hash{}, time.Time{}
	for h, x := range s.open {
		if !x.until.After(now) {
			delete(s.open, h)
		} else if first.IsZero() || x.until.Before(first) {
			oldest, first = h, x.until
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
	s.open[HashToken(id)] = session{c, token, now.Add(sessionTime)}
	return &http.Cookie{Name: cookieName, Value: id, Path: "/", MaxAge: int(sessionTime.Seconds()), HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
}

// caller returns who the cookie of a request belongs to, if its token is one
// of tokens still.
func (s *Sessions) caller(r *http.Request, tokens []Token) (Caller, bool) {
	cookie, err := r.Cookie(cookieName)
	if err != nil || s == nil {
		return Caller{}, false
	}
	s.mu.Lock()
	x, ok := s.open[HashToken(cookie.Value)]
	s.mu.Unlock()
	if !ok || !x.until.After(s.now()) {
		return Caller{}, false
	}
	for _, t := range tokens {
		if t.Hash == x.token {
			return t.caller(), true
		}
	}
	return Caller{}, false
}

// end closes the session of a request.
func (s *Sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, HashToken(cookie.Value))
	}
}

// admits reports whether somebody with that token may come in from the address,
// and notes a right one that may.
func (s *Sessions) admits(addr, token string, right bool) bool {
	if s == nil {
		return true
	}
	blocked, at, now := s.blocked(addr), tokenAt{addr, HashToken(token)}, s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if blocked && (!right || !s.known[at].After(now.Add(-knownTime))) {
		return false
	}
	if !right {
		return true
	}
	if len(s.known) >= maxWatched {
		for k, t := range s.known {
			if !t.After(now.Add(-knownTime)) {
				delete(s.known, k)
			}
		}
	}
	if _, ok := s.known[at]; ok || len(s.known) < maxWatched {
		s.known[at] = now
	}
	return true
}

// blocked reports whether an address has guessed too often. This machine's own
// never has: a script with an old token must not lock its operator out.
func (s *Sessions) blocked(addr string) bool {
	if s == nil {
		return false
	}
	if a, err := netip.ParseAddr(addr); err == nil && a.Unmap().IsLoopback() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failures[addr]
	return f.n >= maxFailures && f.until.After(s.now())
}

// failed notes a wrong token.
func (s *Sessions) failed(addr string) {
	if s == nil {
		return
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) >= maxWatched {
		for a, f := range s.failures {
			if !f.until.After(now) {
				delete(s.failures, a)
			}
		}
	}
	f, known := s.failures[addr]
	if !f.until.After(now) {
		f = failure{until: now.Add(failureTime)}
	}
	f.n++
	if known || len(s.failures) < maxWatched {
		s.failures[addr] = f
	}
}

// clientAddr is the address of the connection; headers say nothing here.
func clientAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// login answers POST /login and POST /logout; ok is false for anything else.
func (g *guard) login(w http.ResponseWriter, r *http.Request) (ok bool) {
	if r.Method != http.MethodPost || g.sessions == nil || r.URL.EscapedPath() != LoginPath && r.URL.EscapedPath() != LogoutPath {
		return false
	}
	if r.URL.Path == LogoutPath {
		g.sessions.end(r)
		http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, LoginPath, http.StatusSeeOther)
		return true
	}
	addr := clientAddr(r)
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	token := strings.TrimSpace(r.PostFormValue("token"))
	c, right := find(g.tokens, token)
	switch {
	case !g.sessions.admits(addr, token, right):
		http.Redirect(w, r, LoginPath+"?wait", http.StatusSeeOther)
	case !right || c.only != "":
		g.sessions.failed(addr)
		http.Redirect(w, r, LoginPath+"?wrong", http.StatusSeeOther)
	default:
		http.SetCookie(w, g.sessions.begin(c, HashToken(token), r.TLS != nil))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
	return true
}

// The paths of the log-in page and of its button, see Config.Sessions.
const (
	LoginPath  = "/login"
	LogoutPath = "/logout"
)

// browser reports whether somebody looks at a page: they are sent to the
// log-in page instead of being told about headers.
func browser(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api")
}
