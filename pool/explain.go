package pool

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"freeway/proxy"
)

// chosenShown is how many draws an Explanation shows.
const chosenShown = 5

// Explain says what a want would get: how many entries each condition removes,
// and what would be drawn. It uses nothing up.
func (p *Pool) Explain(want proxy.Want) Explanation {
	now := p.clock.now()
	s := p.rebuilt()
	x := Explanation{}
	states := p.byState()
	for _, n := range states {
		x.Total += n
	}
	x.Left = x.Total
	items := p.shown(s)
	removed := func(name string, keep func(*item) bool) {
		before := x.Left
		items = slices.DeleteFunc(items, func(it *item) bool { return !keep(it) })
		x.Left = len(items)
		x.Steps = append(x.Steps, Step{name, before - x.Left, x.Left})
	}
	for _, st := range []proxy.State{proxy.New, proxy.Resting, proxy.Dead, proxy.Unsafe} {
		if n := states[st]; n > 0 {
			x.Left -= n
			x.Steps = append(x.Steps, Step{"state " + st.String(), n, x.Left})
		}
	}
	if x.Left != len(items) { // what the general filter keeps out of snapshots
		removed("general filter", func(*item) bool { return true })
	}
	pools := poolsOf(&want)
	removed("pool "+strings.Join(pools, ","), func(it *item) bool { return slices.Contains(pools, it.entry.Pool) })
	names := describe(&want.Filter)
	for i, f := range single(&want.Filter) {
		removed(names[i], func(it *item) bool { return matches(it, &f, 0) })
	}
	for _, n := range needNames {
		if want.Need&n.cap != 0 {
			removed(n.name, func(it *item) bool { return it.entry.Traits.Able(it.entry.Endpoint.Protocol, n.cap) })
		}
	}
	c := choice{p: p, want: want, crowd: true, now: now, target: p.targets.get(want.Target.Domain)}
	if d := want.Target.Domain; d != "" {
		removed("banned by or failed at "+d, func(it *item) bool { ok, _ := c.target.allows(it.exit, false, now); return ok })
	}
	removed("failed lately or avoided", c.eligible)
	x.Exits = newView(items).exits()
	p.drawn(&x, s, want, now)
	p.heldBy(&x, s, &want, now)
	return x
}

// heldBy puts the exit that a session holds first: a request of it gets no other.
func (p *Pool) heldBy(x *Explanation, s *snapshot, want *proxy.Want, now time.Time) {
	if want.Session == (proxy.SessionKey{}) {
		return
	}
	if x.Held = p.staying(s, want, now); x.Held == nil {
		return
	}
	if e, ok := p.Find(x.Held.Endpoint); ok {
		x.Chosen = append([]proxy.Entry{e}, slices.DeleteFunc(x.Chosen, func(c proxy.Entry) bool { return c.Endpoint == e.Endpoint })...)
	}
}

// staying returns the session that want names if the next request stays with its exit.
func (p *Pool) staying(s *snapshot, want *proxy.Want, now time.Time) *Session {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	x := p.sessions.byKey[want.Session]
	if x == nil || x.lost || x.unwanted && !want.Strict || !now.Before(x.until) {
		return nil
	}
	if h := p.holding(s, x, want, now); p.failed(s, x, &h, want, now) {
		return nil
	}
	return &Session{sessionID(want.Session), want.Session.User, want.Session.ID, x.ep, x.exit, x.since, x.until, x.uses}
}

// shown copies the items of all labels that are live.
func (p *Pool) shown(s *snapshot) []*item {
	var items []*item
	for _, l := range s.labels {
		for _, it := range l.all.items {
			if it.entry.State == proxy.Live {
				items = append(items, it)
			}
		}
	}
	return items
}

// drawn adds a few different entries as Pick would choose them.
func (p *Pool) drawn(x *Explanation, s *snapshot, want proxy.Want, now time.Time) {
	want.Session = proxy.SessionKey{}
	want.Avoid = slices.Clone(want.Avoid)
	for _, name := range poolsOf(&want) {
		if l := s.labels[name]; l != nil {
			x.Panic = x.Panic || p.panics(s, l)
		}
	}
	for range chosenShown {
		it, _, err := p.choose(s, &want, now)
		if err != nil {
			break
		}
		x.Chosen = append(x.Chosen, it.entry)
		want.Avoid = append(want.Avoid, it.entry.Endpoint)
	}
	sort.SliceStable(x.Chosen, func(i, j int) bool { return x.Chosen[i].Score > x.Chosen[j].Score })
}

// Eligible returns how many endpoints Pick would choose from.
func (p *Pool) Eligible(want proxy.Want) int {
	now := p.clock.now()
	return p.eligible(p.rebuilt(), &want, now)
}

// eligible counts what is eligible in the first of the wanted pools that has
// anything, as Pick goes through them.
func (p *Pool) eligible(s *snapshot, want *proxy.Want, now time.Time) int {
	c := choice{p: p, want: *want, crowd: true, now: now, target: p.targets.get(want.Target.Domain)}
	n, first := 0, ""
	for it := range c.usable(s, true) {
		if n > 0 && it.entry.Pool != first {
			break
		}
		n, first = n+1, it.entry.Pool
	}
	return n
}

// Wait returns when Pick would find something for want. The error is that of
// ctx with the reason why there was nothing.
func (p *Pool) Wait(ctx context.Context, want proxy.Want) error {
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		now := p.clock.now()
		s := p.rebuilt()
		if p.eligible(s, &want, now) > 0 {
			return nil
		}
		tick := time.NewTimer(rebuildEvery) // bans end without news
		select {
		case <-news:
			tick.Stop()
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			c := choice{p: p, want: want, crowd: true, now: now}
			return fmt.Errorf("%w: %w", ctx.Err(), c.none(s))
		}
	}
}
