package gateway

import (
	"slices"
	"sort"
	"time"

	"freeway/proxy"
)

// show lets others see the exchange, before the client has the head of the answer
// that came through the try. What is tried later, in a tunnel, shows by itself.
func (x *exchange) show(t *try) {
	c := x.c
	c.showing.Lock()
	defer c.showing.Unlock()
	x.status, x.through = x.trace.Status, t
	c.shown = x
}

// carriedBy says which tunnel the exchange has become.
func (x *exchange) carriedBy(f *flow) {
	x.c.showing.Lock()
	defer x.c.showing.Unlock()
	x.flow = f
}

// hide ends what show began, after the record was made: nobody sees neither.
func (x *exchange) hide() {
	x.c.showing.Lock()
	defer x.c.showing.Unlock()
	x.c.shown = nil
}

// Running returns the latest n requests, newest first, of which clients have the
// head of the answer but not yet its end, or whose tunnel is up; want sees them
// without their attempts. What is about to be recorded may still be among them.
func (g *Gateway) Running(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	now := g.env.Now()
	var out []proxy.Trace
	var after time.Time // those that begin earlier are too old
	latest := func() {
		sort.Slice(out, func(i, j int) bool { return out[i].At.After(out[j].At) })
		out = out[:min(n, len(out))]
	}
	for _, c := range g.allClients() {
		t, ok := c.running(now, after, want)
		if !ok {
			continue
		}
		if out = append(out, t); len(out) >= 2*n {
			latest()
			after = out[len(out)-1].At
		}
	}
	latest()
	return out
}

// allClients returns the connections that there are.
func (g *Gateway) allClients() []*client {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*client, 0, len(g.clients))
	for c := range g.clients {
		out = append(out, c)
	}
	return out
}

// running returns the request that is shown. ok is false when there is none, it
// began before, or is not wanted.
func (c *client) running(now, after time.Time, want func(*proxy.Trace) bool) (t proxy.Trace, ok bool) {
	c.showing.Lock()
	defer c.showing.Unlock()
	x := c.shown
	if x == nil || x.trace.At.Before(after) {
		return t, false
	}
	// Only what does not change any more: the client's goroutine goes on meanwhile.
	r := &x.trace
	t = proxy.Trace{ID: r.ID, At: r.At, Client: r.Client, User: r.User, Tag: r.Tag, Session: r.Session, Method: r.Method, Target: r.Target,
		Status: x.status, Answer: r.Answer, Took: now.Sub(r.At), Running: true}
	if !want(&t) {
		return t, false
	}
	use, stage := x.through, proxy.StageBody
	if f := x.flow; f != nil {
		t.Up, t.Down = f.up.Load(), f.down.Load()
		use, stage = f.inUse(), proxy.StageTunnel
	}
	t.Attempts = slices.Clip(r.Attempts) // the next is appended to a copy
	if !use.listed {
		t.Attempts = append(t.Attempts, use.attempt(stage, proxy.OK, 0))
	}
	return t, true
}

// inUse returns the try that carries the tunnel now.
func (f *flow) inUse() *try {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leg.t
}
