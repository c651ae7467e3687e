package pool

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"sort"
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
	lost  bool // it is remembered only to be left for another one

	unwanted bool // its client says that the exit is banned: it is left with the next use, unless that is strict

	fails   int      // requests in a row for which the exit is to blame
	request string   // the latest of them
	domains []string // where requests failed in a row, whoever is to blame
}

// failing reports whether the exit has failed the session as often in a row as ends
// the life of a proxy, or at so many domains that it is not theirs.
func (x *session) failing() bool { return x.fails >= maxFails || len(x.domains) >= agree }

// maxFails is how many requests in a row an exit may fail.
const maxFails = maxStrikes / 4 // those are quarters

// used takes down how a use of a session's exit went; weight is how much of a
// failure is the proxy's own.
func (ss *sessions) used(k proxy.SessionKey, exit netip.Addr, o *proxy.Outcome, weight float32) {
	own, pair, _ := o.Blame()
	if o.Class != proxy.OK && (own == 0 && pair == 0 || o.Class == proxy.Banned) {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	x := ss.byKey[k]
	switch {
	case x == nil || x.exit != exit:
	case o.Class == proxy.OK:
		x.fails, x.request, x.domains = 0, "", nil
	case o.Request != "" && o.Request == x.request:
	default:
		x.request = o.Request
		if weight > 0 {
			x.fails++
		}
		if d := o.Target.Domain; d != "" && len(x.domains) < agree && !slices.Contains(x.domains, d) {
			x.domains = append(x.domains, d)
		}
	}
}

// sessionID is the opaque name of a session.
func sessionID(k proxy.SessionKey) string {
	sum := sha256.Sum256([]byte(k.User + "\x00" + k.ID))
	return "s" + hex.EncodeToString(sum[:10])
}

// end forgets a session. sessions.mu is held.
func (ss *sessions) end(p *Pool, k proxy.SessionKey) {
	delete(ss.byKey, k)
	if !p.docs.off {
		p.docs.put(docSession+sessionID(k), nil)
	}
}

// evict makes room: of a few sessions the one that ends first goes. sessions.mu
// is held.
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

	Unwanted bool `json:"unwanted,omitempty"`
}

// doc is what the store keeps of the session.
func (x *session) doc(k proxy.SessionKey) []byte {
	doc, err := json.Marshal(keptSession{k.User, k.ID, x.ep, x.exit, x.since.Unix(), x.until.UnixMilli(), x.unwanted})
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
	x := &session{ep: k.URL, exit: k.Exit, since: time.Unix(k.Since, 0), until: time.UnixMilli(k.Until), unwanted: k.Unwanted}
	if x.since.After(now) { // the clock was set back: the hold lasts as long as it was meant to
		x.until = now.Add(x.until.Sub(x.since))
		x.since = now
	}
	if now.Before(x.until) && x.exit.IsValid() && len(ss.byKey) < maxSessions {
		ss.byKey[proxy.SessionKey{User: k.User, ID: k.ID}] = x
	}
	return nil
}

// has reports whether the session of a document was taken over.
func (ss *sessions) has(doc []byte) bool {
	var k keptSession
	_ = json.Unmarshal(doc, &k) // load has read it
	_, ok := ss.byKey[proxy.SessionKey{User: k.User, ID: k.ID}]
	return ok
}

// Sessions returns those that hold an exit, the latest first.
func (p *Pool) Sessions() []Session {
	now := p.clock.now()
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	var out []Session
	for k, x := range p.sessions.byKey {
		if now.Before(x.until) && !x.lost {
			out = append(out, Session{sessionID(k), k.User, k.ID, x.ep, x.exit, x.since, x.until, x.uses})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(b.Since.Compare(a.Since), strings.Compare(a.ID, b.ID)) < 0
	})
	return out
}

// reject notes that the client of a session has no use for its exit any more. One
// that has moved meanwhile stays where it is.
func (ss *sessions) reject(p *Pool, k proxy.SessionKey, exit netip.Addr) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	x := ss.byKey[k]
	if x == nil || x.lost || x.exit != exit {
		return
	}
	x.unwanted = true
	if !p.docs.off {
		p.docs.put(docSession+sessionID(k), x.doc(k))
	}
}

// DropSession ends a session, so that its next use gets another exit. It
// reports whether there was one with that ID.
func (p *Pool) DropSession(id string) bool {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	for k := range p.sessions.byKey {
		if sessionID(k) == id && !p.sessions.byKey[k].lost {
			p.sessions.end(p, k)
			return true
		}
	}
	return false
}
