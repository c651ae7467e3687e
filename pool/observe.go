package pool

import (
	"hash/fnv"
	"net/netip"
	"time"

	"freeway/proxy"
)

// observe takes the outcome of a use of an exit, from traffic or from feedback. It returns
// how much of a failure is the proxy's own, as far as that is known now.
func (p *Pool) observe(o proxy.Outcome, pool string, exit netip.Addr) (weight float32) {
	if o.Class == proxy.Canceled {
		if o.Overtaken {
			p.overtaken(o.Endpoint)
		}
		return 0
	}
	now := p.clock.now()
	o.At = p.moment(o.At, now)
	weight, _, _ = o.Blame()
	var f finding
	if o.Class == proxy.OK && o.Target.Domain != "" {
		p.worked.note(spotOf(&o.Target), now)
	}
	if domain := o.Target.Domain; domain != "" && (o.Failed() || p.targets.get(domain) != nil) {
		x := p.targets.make(domain, now)
		x.order.Lock()
		defer x.order.Unlock()
		f = x.observe(o, pool, exit, o.Failed() && p.worked.lately(spotOf(&o.Target), now), now)
		weight = f.weight
		if !p.docs.off && (f.change || o.Failed()) {
			p.docs.put(docTarget+domain, x.doc(now))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.use(&o, weight, now)
	for i := range f.due {
		p.charge(&f.due[i], now)
	}
	for i := range f.undo {
		p.refund(&f.undo[i], now)
	}
	return weight
}

// overtaken notes that another endpoint was faster within one request. That is
// nobody's failure, but it may be one that only the next check can see: the
// check comes soon, and until a success comes others are preferred.
func (p *Pool) overtaken(ep proxy.Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.find(ep)
	if n == none || p.rows.at(n).state != proxy.Live {
		return
	}
	if s := p.livedOf(n).slot; s.slower.Load() < maxSlower {
		s.slower.Add(1)
	}
	p.hurry(n, p.clock.now(), p.scaled(resting[0]))
}

// maxSlower bounds by how much an endpoint that was overtaken falls behind.
const maxSlower = 16

// use applies the outcome of a use to its row. weight is how much of a failure
// is the proxy's own. p.mu is held.
func (p *Pool) use(o *proxy.Outcome, weight float32, now time.Time) {
	n := p.find(o.Endpoint)
	if n == none {
		return
	}
	r := p.rows.at(n)
	l := p.livedOf(n)
	if o.Class == proxy.OK || weight > 0 {
		l.slot.cost(*o)
	}
	p.count(r, -1)
	switch {
	case o.Class == proxy.OK:
		r.health = r.health.Observe(o.At, true, 1)
		l.uses.OK++
		l.latency = time.Duration(l.slot.good.Load())
		r.strikes = 0
		if r.flags&passed != 0 {
			r.last = max(seconds(o.At), r.last)
		}
	default:
		r.blame(l, o, weight)
	}
	lost := p.learnFromUse(n, o)
	p.reassess(n, now)
	if lost {
		p.needed.Store(p.changes.Load())
	}
	l.remember(*o, r.health.Score(now, p.sources.prior(r.set)))
	own, _, _ := o.Blame()
	doubtful := turnsAway(o.Class, uint16(o.Status)) && now.Sub(instant(r.checked)) > againAfter && l.turnsAllAway()
	if r.state == proxy.Live && (own >= 1 || doubtful) { // who is excused is checked as well: that tells whose fault it was
		p.hurry(n, now, p.scaled(resting[0]))
	}
}

// againAfter is how old the latest check must be for answers to be a reason for another one.
const againAfter = time.Minute

// blame notes that so much of a failure of a use is the row's own.
func (r *row) blame(l *lived, o *proxy.Outcome, weight float32) {
	if weight > 0 {
		l.uses.Failed++
		r.health = r.health.Observe(o.At, false, weight)
		r.fault = proxy.Fault{Stage: o.Stage, Class: o.Class}
		r.strikes += uint8(min(int(weight*4), 255-int(r.strikes)))
	}
}

// reassess makes the state of a row follow from what else is known of it now.
// The row is not among the counted when it is called. p.mu is held.
func (p *Pool) reassess(n uint32, now time.Time) {
	r := p.rows.at(n)
	was := r.state
	r.state = p.stateOf(r, now)
	p.count(r, 1)
	p.changed(n)
	p.settle(n, now)
	if was == proxy.Live && r.state != proxy.Live && r.state != proxy.Unsafe {
		p.hurry(n, now, 0)
	}
}

// charge blames a proxy for an earlier use that was not held against it so far.
// p.mu is held.
func (p *Pool) charge(o *proxy.Outcome, now time.Time) {
	n := p.find(o.Endpoint)
	if n == none {
		return
	}
	r := p.rows.at(n)
	p.count(r, -1)
	weight, _, _ := o.Blame()
	l := p.livedOf(n)
	l.slot.cost(*o)
	r.blame(l, o, weight)
	p.reassess(n, now)
}

// refund takes back the blame for an earlier use: it was the target's fault.
// That it failed stays in the history. p.mu is held.
func (p *Pool) refund(o *proxy.Outcome, now time.Time) {
	n := p.find(o.Endpoint)
	if n == none {
		return
	}
	r := p.rows.at(n)
	p.count(r, -1)
	weight, _, _ := o.Blame()
	r.health = r.health.Withdraw(o.At, weight)
	r.strikes -= min(r.strikes, uint8(weight*4))
	if r.fault == (proxy.Fault{Stage: o.Stage, Class: o.Class}) {
		r.fault = proxy.Fault{}
	}
	l := p.livedOf(n)
	l.slot.uncost(*o)
	l.uses.Failed -= min(l.uses.Failed, 1)
	p.reassess(n, now)
}

// learnFromUse notes capabilities that a use showed or disproved. It reports whether
// one was lost that was there, or not known, before.
func (p *Pool) learnFromUse(n uint32, o *proxy.Outcome) (lost bool) {
	var t proxy.Traits
	if o.Learned != nil {
		t = *o.Learned
	}
	switch {
	case o.Class == proxy.NoConnect:
		t.Tunnel, t.TunnelAny = proxy.No, proxy.No
	case o.Class == proxy.PortDenied && o.Target.Port != 443:
		t.TunnelAny = proxy.No
	case o.Class == proxy.PortDenied && p.livedOf(n).denies(o.Target.Domain):
		t.Tunnel = proxy.No // one that was seen to tunnel may refuse only this target
	case o.Class == proxy.OK && o.Target.Port == 443:
		p.livedOf(n).denied = nil
	}
	if t != (proxy.Traits{}) {
		before := p.livedOf(n).traits
		p.learn(n, t)
		lost = p.livedOf(n).traits.Lacks(before)
	}
	if o.Eject() {
		p.ejectFor(n, o)
		p.rows.at(n).fault = proxy.Fault{Stage: o.Stage, Class: o.Class}
	}
	return lost
}

// exitKey is the address that pairs, sessions and rotation go by. For a proxy
// that is known by name only it is made of the name, in the range that is never
// routed (RFC 4193), and the same after a restart.
func exitKey(e *proxy.Entry) netip.Addr {
	if a := exitOf(e); a.IsValid() {
		return a
	}
	h := fnv.New128a()
	h.Write([]byte(e.Endpoint.Host)) //nolint:errcheck // a hash takes everything
	var b [16]byte
	h.Sum(b[:0])
	b[0] = 0xfd
	return netip.AddrFrom16(b)
}
