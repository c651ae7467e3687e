package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"freeway/proxy"
)

// maxSessions bounds what clients can use up. Beyond it, of a few sessions the
// one that ends first makes room.
const maxSessions = 100_000

// sessions holds who is bound to which exit.
type sessions struct {
	mu    sync.Mutex // protects the fields below
	byKey map[proxy.SessionKey]*session
}

// session is one hold. Its exit is an exitKey.
type session struct {
	ep    proxy.Endpoint // the one used last
	exit  netip.Addr
	since time.Time
	until time.Time
	uses  int
}

// sessionID is the opaque name of a session.
func sessionID(k proxy.SessionKey) string {
	sum := sha256.Sum256([]byte(k.User + "\x00" + k.ID))
	return "s" + hex.EncodeToString(sum[:10])
}

// pickSession picks for a session: the same endpoint, else another one with the
// same exit. When the exit is lost the session says so once and is free for
// another exit; a strict one waits for its exit until it ends, a soft one takes
// another exit at once.
func (p *Pool) pickSession(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	ss := &p.sessions
	ss.mu.Lock()
	defer ss.mu.Unlock()
	x := ss.byKey[want.Session]
	if x != nil && !now.Before(x.until) {
		ss.end(p, want.Session)
		x = nil
	}
	if x == nil {
		return p.begin(s, want, now, "new session")
	}
	if it := p.holding(s, x, want, now); it != nil {
		x.ep = it.entry.Endpoint
		x.uses++
		return it, "session", nil
	}
	switch {
	case want.Strict:
		return nil, "", proxy.ErrSessionLost
	case want.Soft:
		return p.begin(s, want, now, "session moved: its exit is lost")
	}
	if p.behind(s, now) {
		return nil, "", proxy.ErrSessionLost // Pick looks again in a newer snapshot, so nothing is lost yet
	}
	ss.end(p, want.Session)
	return nil, "", proxy.ErrSessionLost
}

// begin binds a session to an exit that is chosen freely. sessions.mu is held.
func (p *Pool) begin(s *snapshot, want *proxy.Want, now time.Time, why string) (*item, string, error) {
	it, how, err := p.choose(s, want, now)
	if err != nil {
		return nil, "", err
	}
	ttl := want.SessionTTL
	if ttl <= 0 {
		ttl = p.settings.Load().sessionTTL
	}
	ss := &p.sessions
	if len(ss.byKey) >= maxSessions {
		ss.evict(p)
	}
	x := &session{ep: it.entry.Endpoint, exit: it.exit, since: now, until: now.Add(ttl), uses: 1}
	ss.byKey[want.Session] = x
	if !p.docs.off {
		p.docs.put(docSession+sessionID(want.Session), x.doc(want.Session))
	}
	return it, why + ", " + how, nil
}

// holding finds an endpoint that leaves from the session's exit.
func (p *Pool) holding(s *snapshot, x *session, want *proxy.Want, now time.Time) *item {
	c := choice{p: p, want: want, crowd: true, now: now}
	if want.Soft {
		c.target = p.targets.get(want.Target.Domain) // others keep their exit even where it is banned: that is what they asked for
	}
	var best *item
	for _, name := range poolsOf(want) {
		l := s.labels[name]
		if l == nil {
			continue
		}
		c.panic = p.panics(s, l)
		for _, it := range l.all.find(x.exit) {
			if !c.matches(it) || !c.eligible(it) {
				continue
			}
			if it.entry.Endpoint == x.ep {
				return it
			}
			if best == nil || it.entry.Score > best.entry.Score {
				best = it
			}
		}
	}
	return best
}

// end forgets a session. sessions.mu is held.
func (ss *sessions) end(p *Pool, k proxy.SessionKey) {
	delete(ss.byKey, k)
	if !p.docs.off {
		p.docs.put(docSession+sessionID(k), nil)
	}
}

func (ss *sessions) evict(p *Pool) {
	var victim proxy.SessionKey
	var first time.Time
	tried := 0
	for k, x := range ss.byKey { // maps are walked in random order
		if tried == 0 || x.until.Before(first) {
			victim, first = k, x.until
		}
		if tried++; tried == 32 {
			break
		}
	}
	ss.end(p, victim)
}

// sweep forgets sessions that have ended.
func (ss *sessions) sweep(p *Pool, now time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for k, x := range ss.byKey {
		if !now.Before(x.until) {
			ss.end(p, k)
		}
	}
}

// keptSession is a session as the store keeps it.
type keptSession struct {
	User  string         `json:"user"`
	ID    string         `json:"id"`
	URL   proxy.Endpoint `json:"url"`
	Exit  netip.Addr     `json:"exit"`
	Since int64          `json:"since"` // Unix seconds
	Until int64          `json:"until"` // Unix milliseconds
}

func (x *session) doc(k proxy.SessionKey) []byte {
	doc, err := json.Marshal(keptSession{k.User, k.ID, x.ep, x.exit, x.since.Unix(), x.until.UnixMilli()})
	if err != nil {
		return nil
	}
	return doc
}

// load takes over a session that the store kept.
func (ss *sessions) load(doc []byte, now time.Time) error {
	var k keptSession
	if err := json.Unmarshal(doc, &k); err != nil {
		return err
	}
	x := &session{ep: k.URL, exit: k.Exit, since: time.Unix(k.Since, 0), until: time.UnixMilli(k.Until)}
	if x.since.After(now) { // the clock was set back: the hold lasts as long as it was meant to
		x.until = now.Add(x.until.Sub(x.since))
		x.since = now
	}
	if now.Before(x.until) && x.exit.IsValid() && len(ss.byKey) < maxSessions {
		ss.byKey[proxy.SessionKey{User: k.User, ID: k.ID}] = x
	}
	return nil
}

// Sessions returns those that hold an exit, the latest first.
func (p *Pool) Sessions() []Session {
	now := p.clock.now()
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	var out []Session
	for k, x := range p.sessions.byKey {
		if now.Before(x.until) {
			out = append(out, Session{sessionID(k), k.User, k.ID, x.ep, x.exit, x.since, x.until, x.uses})
		}
	}
	slices.SortFunc(out, func(a, b Session) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// DropSession ends a session, so that its next use gets another exit. It
// reports whether there was one with that ID.
func (p *Pool) DropSession(id string) bool {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	for k := range p.sessions.byKey {
		if sessionID(k) == id {
			p.sessions.end(p, k)
			return true
		}
	}
	return false
}
