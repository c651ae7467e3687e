package gateway

import (
	"context"
	"net"
	"net/netip"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// Serve makes l the gateway's only listener, in place of Listen.
func (g *Gateway) Serve(l net.Listener) {
	g.listeners = []*listener{newListener(l, offer{fixed: &Options{}})}
}

// SetCredit sets after how long a tunnel counts as a success.
func (g *Gateway) SetCredit(d time.Duration) { g.creditAfter = d }

// SetSoon sets how long a tunnel stays in the goroutine that set it up.
func (g *Gateway) SetSoon(d time.Duration) { g.soonTime = d }

// SetGreetHold sets how long what an upstream sends first is kept back.
func (g *Gateway) SetGreetHold(d time.Duration) { g.greetHold = d }

// SetSpliceTurn sets for how long the system moves bytes before they are counted.
func (g *Gateway) SetSpliceTurn(d time.Duration) { g.spliceTurn = d }

// Splices returns how many tunnels are spliced now, and how many bytes were.
func (g *Gateway) Splices() (tunnels, bytes int64) { return g.splices.Load(), g.spliced.Load() }

// Learn takes so many successes down that took so long at each step.
func (g *Gateway) Learn(took time.Duration, samples int) {
	for range samples {
		for s := range steps {
			g.pace.worked(s, took)
		}
	}
	g.pace.now.Store(nil)
}

// Stall takes down that every step timed out again and again.
func (g *Gateway) Stall() {
	for range needStalls {
		for s := range steps {
			g.pace.stalled(s)
		}
	}
}

// Limits returns the deadlines that hold now.
func (g *Gateway) Limits() Timeouts {
	l := g.pace.limits(g.set.Load())
	return Timeouts{Connect: l.connect, Handshake: l.handshake, FirstByte: l.answer}
}

// OwnTime returns the deadline for the handshake with an upstream.
func (g *Gateway) OwnTime(e proxy.Entry) time.Duration {
	t := &try{lease: proxy.Lease{Entry: e}}
	s := g.set.Load()
	return t.own(g.pace.limits(s).handshake, s.cfg.Timeouts.Handshake)
}

// SetAnswerTime makes the deadlines for handshakes and answers short.
func (g *Gateway) SetAnswerTime(d time.Duration) {
	l := *g.pace.limits(g.set.Load())
	l.handshake, l.hello, l.answer, l.until = d, d, d, time.Now().Add(time.Hour)
	l.dialer = l.s.dialer.WithTimeouts(dial.Config{Connect: l.connect, Handshake: d})
	g.pace.now.Store(&l)
}

// Drips tells for each stallTime in which that many bytes of a request body come
// whether the body is ended behind it.
func Drips(counts ...int) (out []bool) {
	s, now := &stallReader{}, time.Unix(0, 0)
	s.dripping(now)
	for _, n := range counts {
		s.n += n
		now = now.Add(stallTime)
		out = append(out, s.dripping(now))
	}
	return out
}

// SetSlowWindow sets over which time a body must keep its pace.
func (g *Gateway) SetSlowWindow(d time.Duration) { g.slowWindow = d }

// SetHoldTime sets how long the beginning of a body is waited for.
func (g *Gateway) SetHoldTime(d time.Duration) { g.holdTime = d }

// NewScope returns the context of a plain request and what ends it.
func NewScope(parent context.Context, until time.Time) (context.Context, func()) {
	s := &scope{parent: parent, until: until}
	return s, s.end
}

// NewUses returns what begins a use within a scope, with what breaks it off, and what ends the scope.
func NewUses(parent context.Context, until time.Time) (begin func() (context.Context, func()), end func()) {
	s := new(client).newScope(parent, until)
	return func() (context.Context, func()) { u := s.beginUse(); return u, u.breakOff }, s.end
}

// Renew gives a scope of NewScope another deadline.
func Renew(s context.Context, until time.Time) { s.(*scope).renew(until) }

// NewBandwidth makes a cap for tests; part gives each caller its part of it.
func NewBandwidth(perSecond proxy.Size) (part func(context.Context) *Pacing, change func(proxy.Size)) {
	b := (*bandwidth)(nil).become(perSecond)
	part = func(ctx context.Context) *Pacing {
		x := &exchange{}
		x.pacedBy(ctx, b, func() {})
		return &Pacing{x.pace}
	}
	return part, func(n proxy.Size) { b.become(n) }
}

// Pacing is one request's part of a cap.
type Pacing struct{ p *pacing }

// Write passes b on as the cap allows.
func (p *Pacing) Write(b []byte, put func([]byte) (int, error)) (int, error) {
	return p.p.write(b, put)
}

// FreshTime is after what time a connection without a request is an idle one.
const FreshTime = freshTime

// Guess counts one wrong login of a user from an address.
func (g *Gateway) Guess(addr, user string, now time.Time) {
	g.guard.failed(netip.MustParseAddr(addr), user, now)
}

// FillGuard counts a right and a wrong login of so many addresses and returns how many
// it remembers of each.
func FillGuard(n int) (recent, known int) {
	g, now := newGuard(), time.Unix(1e9, 0)
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.proved(a, "bob", now)
		g.failed(a, "bob", now)
	}
	return len(g.recent), len(g.known)
}
