package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"freeway/proxy"
)

// pickSession picks for a session: the same endpoint, else another one with the
// same exit. When the exit is lost the session says so once and is free for
// another exit; a strict one waits for its exit until it ends, a soft one takes
// another exit at once. An exit that works but does not suit this want, or that
// was tried for this request already, is not lost. One that has failed the session
// several times in a row, or lacks an ability that is needed, is, if there are others.
// One of which the client has said that it is banned is left at once, for the client
// knows; a strict session stays.
func (p *Pool) pickSession(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	ss := &p.sessions
	ss.mu.Lock()
	defer ss.mu.Unlock()
	x := ss.byKey[want.Session]
	if x != nil && !now.Before(x.until) {
		ss.end(p, want.Session)
		x = nil
	}
	switch {
	case x == nil:
		return p.begin(s, want, now, "new session")
	case x.lost:
		return p.leave(s, x, want, now, "new session")
	case x.unwanted && !want.Strict:
		return p.leave(s, x, want, now, "session moved: its client says that the exit is banned")
	}
	h := p.holding(s, x, want, now)
	switch {
	case p.failed(s, x, &h, want, now):
		return p.lose(s, x, want, now)
	case h.best != nil:
		if err := p.rest(h.best, want, now); err != nil {
			return nil, "", err
		}
		x.ep = h.best.entry.Endpoint
		x.uses++
		return h.best, "session", nil
	case h.alive && !h.fits:
		c := choice{p: p, want: *want}
		reason := "the session's exit works but does not fit: " + strings.Join(append([]string{"pool=" + strings.Join(poolsOf(want), ",")}, c.conditions()...), " ")
		return nil, "", &proxy.NoneError{Reason: reason, RetryAfter: noneRetry}
	case h.alive && h.tried && want.ExitLost: // see below
	case h.alive && h.tried && want.Soft:
		it, how, err := p.choose(s, want, now)
		return it, "session lent, its exit was tried; " + how, err
	case h.alive && h.tried:
		return nil, "", &proxy.NoneError{Reason: "the session's exit was tried for this request already", RetryAfter: noneRetry}
	}
	return p.lose(s, x, want, now)
}

// rest begins the rest of a session's exit, or says for how long it rests already.
func (p *Pool) rest(it *item, want *proxy.Want, now time.Time) error {
	c := choice{p: p, want: *want, now: now}
	if c.take(it) {
		return nil
	}
	e := &proxy.NoneError{}
	c.resting(e, p.targets.get(want.Target.Domain).rests(it.exit), "the session's exit rests between two uses for the target,")
	return e
}

// errLostNow is proxy.ErrSessionLost for the use that is told of it: the session is free afterwards.
var errLostNow = fmt.Errorf("%w", proxy.ErrSessionLost)

// lose ends the hold of a session whose exit is lost. sessions.mu is held.
func (p *Pool) lose(s *snapshot, x *session, want *proxy.Want, now time.Time) (*item, string, error) {
	switch {
	case want.Strict:
	case want.Soft:
		return p.leave(s, x, want, now, "session moved: its exit is lost")
	case p.behind(s, now): // Pick looks again in a newer snapshot, so nothing is lost yet
	default:
		p.sessions.end(p, want.Session)
		x.lost = true
		p.sessions.byKey[want.Session] = x
		return nil, "", errLostNow
	}
	return nil, "", proxy.ErrSessionLost
}

// leave binds a session to another exit than the lost one, if there is any.
// sessions.mu is held.
func (p *Pool) leave(s *snapshot, x *session, want *proxy.Want, now time.Time, why string) (*item, string, error) {
	other := *want
	other.AvoidExits = append(slices.Clip(other.AvoidExits), x.exit)
	if it, how, err := p.begin(s, &other, now, why); err == nil {
		return it, how, nil
	}
	return p.begin(s, want, now, why)
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

// hold is what became of a session's exit.
type hold struct {
	best   *item // to be used now
	alive  bool  // something that leaves from it works
	unable bool  // of that, something is what is wanted, but lacks an ability
	fits   bool  // of that, something is what is wanted
	tried  bool  // of that, something was tried for this request
}

// holding finds an endpoint that leaves from the session's exit.
func (p *Pool) holding(s *snapshot, x *session, want *proxy.Want, now time.Time) (h hold) {
	c := choice{p: p, want: *want, crowd: true, now: now}
	c.want.MinInterval = 0 // an exit that rests is waited for, see rest
	if want.Soft {
		c.target = p.targets.get(want.Target.Domain) // others keep their exit even where it is banned: that is what they asked for
	}
	pools := poolsOf(want)
	for name, l := range s.labels {
		c.panic = p.panics(s, l)
		wanted := slices.Contains(pools, name)
		for _, it := range l.all.find(x.exit) {
			if !c.works(it) {
				continue
			}
			h.alive = true
			if !wanted || !c.matches(it) {
				h.unable = h.unable || wanted && matches(it, &want.Filter, 0)
				continue
			}
			h.fits = true
			h.tried = h.tried || c.avoids(it)
			if c.eligible(it) && (h.best == nil || x.prefers(it, h.best)) {
				h.best = it
			}
		}
	}
	return h
}

// failed reports whether the session's exit is lost because it has failed the session, or
// lacks what is needed, and another one does not.
func (p *Pool) failed(s *snapshot, x *session, h *hold, want *proxy.Want, now time.Time) bool {
	return (h.best != nil && x.failing() && !want.Strict || h.best == nil && h.unable) && p.another(s, x, want, now)
}

// another reports whether an exit other than the session's could be used now.
func (p *Pool) another(s *snapshot, x *session, want *proxy.Want, now time.Time) bool {
	c := choice{p: p, want: *want, crowd: true, now: now, target: p.targets.get(want.Target.Domain)}
	c.want.MinInterval = 0
	for it := range c.usable(s, false) {
		if it.exit != x.exit {
			return true
		}
	}
	return false
}

// prefers reports whether the session should rather go on with a than with b:
// the one that was used last, else the better.
func (x *session) prefers(a, b *item) bool {
	if b.entry.Endpoint == x.ep {
		return false
	}
	return a.entry.Endpoint == x.ep || a.entry.Score > b.entry.Score
}
