package pool

import (
	"time"

	"freeway/proxy"
)

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
