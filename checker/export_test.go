package checker

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"freeway/dial"
	"freeway/internal/judge"
	"freeway/proxy"
)

// What tests from outside need of the inside: pure functions.

// Grade is grade with own addresses, known or not, and the direct answer.
func Grade(seen, direct judge.Seen, own []netip.Addr, known bool) proxy.Anonymity {
	o := (&ownAddrs{set: map[netip.Addr]bool{}}).learn(own, nil, 2)
	o.known = known
	return grade(seen, baselineOf(direct), o)
}

// Mentions reports whether text holds the address.
func Mentions(text string, a netip.Addr) bool {
	return mentions(text, func(b netip.Addr) bool { return a == b })
}

// Sighting is one judge's word on who we are.
type Sighting struct {
	Addr     netip.Addr
	Operator string
	Trusted  bool
}

// Learn returns the own addresses and whether they count as known.
func Learn(configured []netip.Addr, seen []Sighting, operators int) ([]netip.Addr, bool) {
	var in []sighting
	for _, s := range seen {
		in = append(in, sighting{s.Addr, s.Operator, s.Trusted})
	}
	o := (&ownAddrs{}).learn(configured, in, operators)
	return o.list(), o.known
}

// Revealed names the protocol that the bytes suggest, "closed", "silent", "foreign".
func Revealed(first []byte, class proxy.Class) string {
	switch r := revealed(first, class); r {
	case revealClosed:
		return "closed"
	case revealSilent:
		return "silent"
	case revealForeign:
		return "foreign"
	default:
		return r.protocol().String()
	}
}

// Pulse is the watch for pauses.
type Pulse struct{ p pulse }

// Tick notes a beat.
func (p *Pulse) Tick(now time.Time) { p.p.tick(now) }

// Missed reports whether there was a pause between two moments.
func (p *Pulse) Missed(from, to time.Time) bool { return p.p.missed(from, to) }

// Pause makes the checker believe that the process stood still from begin until end.
func (c *Checker) Pause(begin, end time.Time) {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	c.pulse.begin, c.pulse.end = begin, end
}

// Sweeps is the control by what was live before.
type Sweeps struct{ w sweeps }

// Sweep is what happened in one: how many live ones were checked and passed, and
// whether a closed port answered. It returns how many of the failures counted at
// once, how many at the end, and why the sweep is void.
func (s *Sweeps) Sweep(tested, passed int, answers bool) (atOnce, atEnd int, reason string) {
	now := time.Unix(0, 0)
	if s.w.length == 0 {
		s.w.length = time.Minute
		s.w.begin(now)
	}
	now = s.w.began
	s.w.deadPort(answers)
	for i := range tested {
		s.w.note(i >= tested-passed) // the failures come first
		if i < tested-passed && s.w.handle(doubt{}, true, false) == deliverNow {
			atOnce++
		}
	}
	waited, counts, _ := s.w.end(now.Add(time.Minute), false)
	if counts {
		atEnd = len(waited)
	}
	return atOnce, atEnd, s.w.doubt()
}

// Dead is a sweep in which so many dead ports are tried and take a connection. It
// returns how many of the failures counted at the end, and why the sweep is void.
func (s *Sweeps) Dead(tried, took int) (atEnd int, reason string) {
	if s.w.length == 0 {
		s.w.length = time.Minute
		s.w.begin(time.Unix(0, 0))
	}
	for i := range tried {
		s.w.noteDead(i < took)
		s.w.handle(doubt{}, false, i < took)
	}
	waited, counts, _ := s.w.end(s.w.began.Add(time.Minute), false)
	if counts {
		atEnd = len(waited)
	}
	return atEnd, s.w.doubt()
}

// EndSweep makes the present sweep of a running checker end and returns when the
// next one has begun, so that what comes then is not of the old one. What waited is
// delivered some time after that.
func (c *Checker) EndSweep() {
	was := time.Now().Add(-time.Hour)
	c.sweeps.mu.Lock()
	c.sweeps.began = was
	c.sweeps.mu.Unlock()
	for ended := false; !ended; {
		c.wake()
		time.Sleep(time.Millisecond)
		c.sweeps.mu.Lock()
		ended = c.sweeps.began != was
		c.sweeps.mu.Unlock()
	}
}

// Usual returns the usual share of live ones that pass, 0 while it is not known.
func (c *Checker) Usual() float64 {
	c.sweeps.mu.Lock()
	defer c.sweeps.mu.Unlock()
	return c.sweeps.usual
}

// OneStep makes the time of one step the time of a protocol.
func (c *Checker) OneStep() { c.maxSteps = 1 }

// PaceAll makes the checker pace loopback addresses as well.
func (c *Checker) PaceAll() {
	c.paced = func(host string) (netip.Prefix, bool) {
		a, err := netip.ParseAddr(host)
		return prefixOf(a), err == nil
	}
}

// WithoutScout makes every check connect for itself, as on systems that have no scout.
func (c *Checker) WithoutScout() {
	c.scouts = func() (*dial.Scout, error) { return nil, errors.ErrUnsupported }
}

// Paused makes every check look as if the process had been paused meanwhile.
func (c *Checker) Paused() {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	c.pulse.begin, c.pulse.end = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
}

// WithoutPlaces leaves no place for errands, so that every check runs its own.
func (c *Checker) WithoutPlaces() {
	places := c.settings.Load().errands
	for range cap(places) {
		places <- struct{}{}
	}
}

// Wake makes the checker look at its judges.
func (c *Checker) Wake() { c.wake() }

// Unasked makes the judges look as if nobody had asked them yet.
func (c *Checker) Unasked() {
	for _, e := range c.settings.Load().judges {
		e.mu.Lock()
		e.asked = time.Time{}
		e.mu.Unlock()
	}
}

// NetworkOf is networkOf, "" for what is not paced.
func NetworkOf(host string) string {
	if n, ok := networkOf(host); ok {
		return n.String()
	}
	return ""
}

// Lanes returns how many networks have connects under way.
func (c *Checker) Lanes() int {
	c.pacer.mu.Lock()
	defer c.pacer.mu.Unlock()
	return len(c.pacer.busy)
}

// Queued returns how many connects wait for their network.
func (c *Checker) Queued() int {
	c.pacer.mu.Lock()
	defer c.pacer.mu.Unlock()
	n := 0
	for _, l := range c.pacer.busy {
		n += len(l.waiting)
	}
	return n
}

// ConcurrencyFor is concurrencyFor.
func ConcurrencyFor(files uint64) int { return concurrencyFor(files) }

// PageOf takes a URL apart: host:port, Host header, path with a nonce, as it is shown.
func PageOf(url, nonce string) (to proxy.Target, host, path, shown string, err error) {
	p, err := parsePage(url)
	if err != nil {
		return proxy.Target{}, "", "", "", err
	}
	return p.to, p.host, p.with(nonce), p.masked(), nil
}

// MinConnect is the least time-out of a connect.
const MinConnect = minConnect

// LimitAfter returns how long to wait at most for a connect after some that took
// so long, the latest of them age ago.
func LimitAfter(times []time.Duration, age, most time.Duration) time.Duration {
	var s sketch
	now := time.Unix(1000, 0)
	for _, d := range times {
		s.add(d, now)
	}
	return s.limit(now.Add(age), minConnect, most)
}

// Limits returns how long an answer is waited for at present.
func (c *Checker) Limits(live bool) time.Duration {
	return c.limitsFor(c.settings.Load(), live).answer
}

// Elastic makes a context whose time-out may change; the function returned ends it.
func Elastic(ctx context.Context, first time.Duration, most func() time.Duration) (context.Context, func()) {
	e := newElastic(ctx, time.Now(), first, most)
	return e, func() { e.stop() }
}

// ForSweep is how many failures wait for the end of the sweep.
func (c *Checker) ForSweep() int { return c.sweeps.held() }
