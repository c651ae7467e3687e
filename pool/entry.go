package pool

import (
	"math"
	"net/netip"
	"time"

	"freeway/proxy"
)

// exitOf is the address that targets see, as well as it is known.
func exitOf(e *proxy.Entry) netip.Addr {
	if e.Traits.ExitIP.IsValid() {
		return e.Traits.ExitIP
	}
	return e.Endpoint.Addr()
}

// entry is the view of row n.
func (p *Pool) entry(n uint32, now time.Time) (e proxy.Entry) {
	p.fill(&e, n, now)
	p.name(&e, n)
	return e
}

// name adds what fill leaves away.
func (p *Pool) name(e *proxy.Entry, n uint32) {
	e.Endpoint = p.endpoint(n)
	if p.rows.at(n).flags&login != 0 {
		e.Password = p.logins[n].password
	}
}

// fill makes e the view of row n without host, user and password.
func (p *Pool) fill(e *proxy.Entry, n uint32, now time.Time) {
	p.fillUnscored(e, n, now)
	r := p.rows.at(n)
	e.Score = r.health.Score(now, p.sources.prior(r.set))
}

// fillUnscored is fill without the score, which costs more than all the rest.
func (p *Pool) fillUnscored(e *proxy.Entry, n uint32, now time.Time) {
	r := p.rows.at(n)
	*e = proxy.Entry{
		Endpoint: proxy.Endpoint{Protocol: r.proto}, Guess: r.flags&guess != 0, Pool: p.pools.names[r.pool], State: r.state,
		Sources:   p.sources.sets[r.set].names,
		FirstSeen: instant(r.first), LastChecked: instant(r.checked), LastLive: instant(r.last),
		Checks: proxy.Tally{OK: r.ok, Failed: r.failed}, Error: r.fault,
	}
	if r.flags&barred != 0 {
		e.Error = proxy.Fault{Stage: proxy.StageResolve, Class: proxy.Forbidden}
	}
	if r.state != proxy.Unsafe {
		e.NextCheck = time.UnixMilli(max(r.due, now.UnixMilli()))
	}
	if l := p.peek(r); l != nil {
		e.Traits, e.Latency, e.Uses = l.traits, l.latency, l.uses
	}
}

// record is row n as the store keeps it.
func (p *Pool) record(n uint32) proxy.Record {
	r := p.rows.at(n)
	rec := proxy.Record{
		Endpoint: p.endpoint(n), Guess: r.flags&guess != 0, Pool: p.pools.names[r.pool], Sources: p.sources.sets[r.set].names,
		Health: r.health, FirstSeen: instant(r.first), LastSeen: instant(r.seen), LastChecked: instant(r.checked), LastLive: instant(r.last),
		Passed: r.flags&passed != 0, FirstLive: r.flags&early != 0, Misses: uint32(r.misses), UseFails: uint32(r.strikes / 4),
		Checks: proxy.Tally{OK: r.ok, Failed: r.failed}, Error: r.fault,
	}
	if r.due != 0 {
		rec.NextCheck = time.UnixMilli(r.due)
	}
	if r.flags&login != 0 {
		rec.Password = p.logins[n].password
	}
	if l := p.peek(r); l != nil {
		rec.Traits, rec.Latency, rec.Uses, rec.Targets = l.traits, l.latency, l.uses, l.reached
	}
	return rec
}

// restore makes a row of what the store kept. Times in the future, which a
// clock that was set back leaves, become now.
func (p *Pool) restore(rec *proxy.Record, now time.Time) {
	if p.find(rec.Endpoint) != none {
		return
	}
	n := p.newRow(rec.Endpoint, rec.Password)
	r := p.rows.at(n)
	p.count(r, -1)
	past := func(t time.Time) uint32 { return min(seconds(t), seconds(now)) }
	r.health = rec.Health
	r.health.At = min(r.health.At, seconds(now))
	r.first, r.seen, r.checked, r.last = past(rec.FirstSeen), past(rec.LastSeen), past(rec.LastChecked), past(rec.LastLive)
	r.ok, r.failed, r.fault = rec.Checks.OK, rec.Checks.Failed, rec.Error
	r.misses = uint16(min(rec.Misses, math.MaxUint16))
	r.strikes = uint8(min(rec.UseFails, 60) * 4)
	r.pool = p.pools.id(rec.Pool)
	if rec.Guess {
		r.flags |= guess
	}
	if rec.Passed {
		r.flags |= passed
	}
	if rec.FirstLive {
		r.flags |= early
	}
	ids := make([]uint16, 0, len(rec.Sources))
	for _, s := range rec.Sources {
		ids = append(ids, p.sources.id(s))
	}
	r.set = p.sources.set(ids)
	if r.last != 0 || rec.Traits != (proxy.Traits{}) {
		l := p.livedOf(n)
		l.traits, l.latency, l.uses, l.reached = rec.Traits, max(rec.Latency, 0), rec.Uses, rec.Targets
		l.slot.good.Store(int64(l.latency))
	}
	switch allowed := p.forbidden(rec.Endpoint.Host) == nil; {
	case !allowed:
		r.flags |= barred
	case r.fault.Class == proxy.Forbidden && p.placeIsIP(r):
		r.fault = proxy.Fault{} // the policy allows it now
		if r.last == 0 {
			r.checked = 0
		}
	}
	r.due = millis(rec.NextCheck)
	r.state = p.stateOf(r, now)
	if l := p.peek(r); l != nil {
		l.told = r.state
	}
	if f := p.farmOf(r.group); f != nil {
		if r.last != 0 {
			f.lived++
		} else if r.checked != 0 {
			f.misses++
		}
	}
	p.count(r, 1)
	if latest := now.Add(2 * p.interval(r)).UnixMilli(); r.due > latest {
		r.due = latest
	}
	if p.cfg.Once {
		r.due = 0
	}
	p.settle(n, now)
	p.requeue(r.group, now)
}

// placeIsIP reports whether the row's host is an address, which the policy judges
// for good, and not a name.
func (p *Pool) placeIsIP(r *row) bool { return !p.groups.at(r.group).place.named }
