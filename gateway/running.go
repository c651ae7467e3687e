package gateway

import (
	"slices"
	"time"

	"freeway/proxy"
)

// shown is what others may see of the exchange that a client has now: from just
// before the head of the answer goes out, so that whoever knows a request id finds the request.
type shown struct {
	x      *exchange // nil: none
	by     *try      // the upstream that serves and is not in the trace yet; nil: none
	flow   *flow     // of a tunnel
	status int
	code   string
}

// show lets others see the exchange. t serves it, nil for nobody.
func (x *exchange) show(t *try) {
	c := x.c
	c.showing.Lock()
	defer c.showing.Unlock()
	c.shown = shown{x: x, status: x.trace.Status, code: x.trace.Code}
	if t != nil && !t.settled {
		c.shown.by = t
	}
}

// showRefused lets others see an exchange that ends with a refusal.
func (x *exchange) showRefused(r *refusal, status int) {
	x.trace.Code, x.trace.Status = r.code, status
	x.show(nil)
}

// showFlow says that a tunnel is carried by t now.
func (f *flow) show(t *try) {
	c := f.x.c
	c.showing.Lock()
	defer c.showing.Unlock()
	if c.shown.x == f.x {
		c.shown.flow, c.shown.by = f, nil
		if !t.settled {
			c.shown.by = t
		}
	}
}

// attempted adds a try that is over to the trace.
func (x *exchange) attempted(t *try, a *proxy.Attempt) {
	c := x.c
	c.showing.Lock()
	defer c.showing.Unlock()
	x.trace.Attempts = append(x.trace.Attempts, *a)
	if c.shown.by == t {
		c.shown.by = nil
	}
}

// hide takes the exchange away from others: it is recorded and will not change any more.
func (x *exchange) hide() {
	c := x.c
	c.showing.Lock()
	defer c.showing.Unlock()
	c.shown = shown{}
}

// Running returns the requests whose answer has begun and which have not ended, tunnels
// above all, as far as they are known now: proxy.Trace.Running is set, and of their
// attempts the last is the one that serves. They are in no order. Anybody may call it.
func (g *Gateway) Running() []proxy.Trace {
	g.mu.Lock()
	all := make([]*client, 0, len(g.clients))
	for c := range g.clients {
		all = append(all, c)
	}
	g.mu.Unlock()
	now := g.env.Now()
	var out []proxy.Trace
	for _, c := range all {
		if t, ok := c.running(now); ok {
			out = append(out, t)
		}
	}
	return out
}

// running returns the trace of the exchange that is shown.
func (c *client) running(now time.Time) (t proxy.Trace, ok bool) {
	c.showing.Lock()
	defer c.showing.Unlock()
	s := &c.shown
	if s.x == nil {
		return t, false
	}
	of := &s.x.trace // what is read of it was settled before it was shown
	t = proxy.Trace{ID: of.ID, At: of.At, Client: of.Client, User: of.User, Tag: of.Tag, Session: of.Session, Method: of.Method, Target: of.Target,
		Status: s.status, Code: s.code, Took: now.Sub(of.At), Attempts: slices.Clip(of.Attempts), Running: true}
	if s.flow != nil {
		t.Up, t.Down = s.flow.up.Load(), s.flow.down.Load()
	}
	if by := s.by; by != nil {
		e := &by.lease.Entry
		t.Attempts = append(t.Attempts, proxy.Attempt{Endpoint: e.Endpoint, Exit: e.Traits.ExitIP, Country: e.Traits.Country,
			Why: by.lease.Why, Stage: proxy.StageBody, At: by.began, Took: time.Since(by.began)})
	}
	return t, true
}
