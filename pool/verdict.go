package pool

import (
	"math"
	"time"

	"freeway/proxy"
)

// Report takes a verdict and gives up the claim. Verdicts on addresses that
// were not claimed, or whose claim has ended, count as well.
func (p *Pool) Report(v proxy.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.now()
	k, ok := p.place(v.Job.Host, v.Job.Port, false)
	if !ok {
		return
	}
	g := p.findGroup(&k)
	if g == none {
		return // deleted meanwhile
	}
	p.unclaim(g)
	if len(v.Outcomes) == 0 {
		p.postpone(g, now)
	} else if p.cfg.Once {
		p.checkOff(&v.Job)
	}
	for _, c := range v.Found {
		p.adopt(&v.Job, c, now)
	}
	for i := range v.Outcomes {
		p.judge(&v, &v.Outcomes[i], now)
	}
	p.replaceGuesses(&v)
	p.tellCheck(k, &v, now)
	if g = p.findGroup(&k); g != none {
		p.hosted(g, now)
		p.requeue(g, now)
	}
	p.wakeUp()
}

// checkOff notes, in one-shot mode, that the entries of a job have had their turn.
func (p *Pool) checkOff(job *proxy.Job) {
	for i := range job.Entries {
		if n := p.find(job.Entries[i].Endpoint); n != none {
			p.rows.at(n).flags |= judged
		}
	}
}

// adopt adds an endpoint that a check found where lists claimed another one.
// It inherits what lists said of its address.
func (p *Pool) adopt(job *proxy.Job, c proxy.Candidate, now time.Time) {
	if c.Endpoint.Host != job.Host || c.Endpoint.Port != job.Port || invalid(&c) != "" || p.find(c.Endpoint) != none || p.entombed(c.Endpoint, now) {
		return
	}
	n := p.newRow(c.Endpoint, c.Password)
	r := p.rows.at(n)
	r.first, r.seen, r.pool = seconds(now), seconds(now), p.pools.id(poolOf(&c))
	g := p.groups.at(r.group)
	var ids []uint16
	for m := g.head; m != none; m = p.rows.at(m).next {
		if o := p.rows.at(m); m != n {
			ids = append(ids, p.sources.sets[o.set].ids...)
			r.pool = o.pool
		}
	}
	p.count(r, -1)
	p.sources.drop(r.set)
	r.set = p.sources.set(ids)
	p.count(r, 1)
	if p.cfg.Once {
		r.flags |= judged // its check is the one that found it
	}
	p.mark(n)
}

// replaceGuesses forgets the entries of the job whose protocol was a guess
// that was wrong, when the right one was found.
func (p *Pool) replaceGuesses(v *proxy.Verdict) {
	found := false
	for i := range v.Outcomes {
		if n := p.find(v.Outcomes[i].Endpoint); n != none && v.Outcomes[i].Class == proxy.OK {
			found = true
		}
	}
	if !found {
		return
	}
	for i := range v.Outcomes {
		o := &v.Outcomes[i]
		n := p.find(o.Endpoint)
		if n != none && p.rows.at(n).flags&guess != 0 && o.Class != proxy.OK && o.Class != proxy.Canceled && !o.Eject() {
			p.forget(n)
		}
	}
}

// forget removes a row here and in the store.
func (p *Pool) forget(n uint32) {
	p.dropLater(p.endpoint(n))
	p.removeRow(n)
	p.changes.Add(1)
}

// inconclusive reports whether a check failed for reasons that are not the
// proxy's own: the judge's fault, or a judge that refuses this exit.
func inconclusive(o *proxy.Outcome) bool {
	return o.Class == proxy.TargetFailed || o.Class == proxy.Banned
}

// patience is how many inconclusive checks in a row a live endpoint survives.
const patience = 3

// checkBlame is the share of a check's failure that is the proxy's own. A check that
// ends with a lost capability found no other that works.
func checkBlame(o *proxy.Outcome) float32 {
	if o.Class == proxy.NoConnect || o.Class == proxy.PortDenied {
		return 1
	}
	w, _, _ := o.Blame()
	return w
}

// judge applies one outcome of a verdict.
func (p *Pool) judge(v *proxy.Verdict, o *proxy.Outcome, now time.Time) {
	n := p.find(o.Endpoint)
	if n == none {
		return
	}
	r := p.rows.at(n)
	if p.cfg.Once {
		r.flags |= judged
	}
	if o.Class == proxy.Canceled {
		r.due = max(r.due, now.Add(p.cfg.Recheck/20).UnixMilli())
		return
	}
	at := p.moment(o.At, now)
	ok := o.Class == proxy.OK
	p.metrics.checked(ok)
	p.rates.checks.add(now, 1)
	p.foretold(r, o, now)
	p.count(r, -1)
	if ok && r.checked == 0 {
		r.flags |= early
	}
	r.checked = seconds(now)
	r.strikes = 0
	if ok {
		p.rates.passed.add(now, 1)
		p.pass(n, r, o, at)
	} else {
		p.miss(n, r, o, at)
	}
	if l := p.peek(r); l != nil {
		l.slot.cost(*o)
		l.notes = v.Notes
		l.reached = lowerAll(v.Reached[o.Endpoint])
		l.latency = time.Duration(l.slot.good.Load())
	}
	r.state = p.stateOf(r, now)
	p.count(r, 1)
	if l := p.peek(r); l != nil {
		l.remember(*o, r.health.Score(now, p.sources.prior(r.set)))
	}
	p.schedule(r, now)
	p.changed(n)
	p.settle(n, now)
}

// foretold compares the score of a live row with a check, if that came when it
// was due and not because something had happened. r is as it was before.
func (p *Pool) foretold(r *row, o *proxy.Outcome, now time.Time) {
	waited := now.Sub(instant(r.checked))
	if r.state == proxy.Live && r.misses == 0 && !inconclusive(o) && waited >= p.interval(r)*4/5 {
		p.calibration.checks.add(r.health.Score(now, p.sources.prior(r.set)), o.Class == proxy.OK)
	}
}

// pass notes a check that passed.
func (p *Pool) pass(n uint32, r *row, o *proxy.Outcome, at time.Time) {
	r.health = r.health.Observe(at, true, 1)
	r.ok++
	r.misses = 0
	r.flags = r.flags&^guess | passed
	r.fault = proxy.Fault{}
	if r.last == 0 {
		if f := p.farmOf(r.group); f != nil {
			f.lived++
		}
	}
	r.last = max(seconds(at), 1)
	p.livedOf(n)
	if o.Learned != nil {
		p.learn(n, *o.Learned)
	}
}

// miss notes a check that failed.
func (p *Pool) miss(n uint32, r *row, o *proxy.Outcome, at time.Time) {
	r.health = r.health.Observe(at, false, checkBlame(o))
	r.misses = uint16(min(int(r.misses)+1, math.MaxUint16))
	if !inconclusive(o) {
		r.failed++
	}
	if !inconclusive(o) || r.misses >= patience {
		r.flags &^= passed
	}
	r.fault = proxy.Fault{Stage: o.Stage, Class: o.Class}
	if o.Learned != nil && (r.last != 0 || o.Eject()) {
		p.learn(n, *o.Learned)
	}
	p.ejectFor(n, o)
}

// ejectFor makes a row unsafe when the outcome says so.
func (p *Pool) ejectFor(n uint32, o *proxy.Outcome) {
	if o.Class == proxy.Tampered {
		if l := p.livedOf(n); l.traits.Tampers == "" {
			l.traits.Tampers = "content"
		}
	}
}
