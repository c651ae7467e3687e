package pool

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// lived is what is kept of the few endpoints that ever worked, and of those
// that were caught at something.
type lived struct {
	traits  proxy.Traits
	latency time.Duration // moving average of successes until the first byte
	uses    proxy.Tally
	history [historyLen]event
	events  uint32 // ever written to history
	notes   []string
	reached []string // names, in lower case, of the per-target checks that passed
	alive   uint32   // position in Pool.alive + 1; 0: not in there
	item    *item    // as the latest snapshot shows it; nil: changed since
	slot    *slot
}

// slot is the part of an endpoint that takes effect at once: everybody who
// holds an older snapshot sees it, too.
type slot struct {
	status   atomic.Int32
	inflight atomic.Int32
	uses     atomic.Uint32 // leases given
	good     atomic.Int64  // nanoseconds, moving average of what a success costs
	bad      atomic.Int64  // of what a failure costs
}

// The values of slot.status.
const (
	slotUp      int32 = iota
	slotEjected       // traffic failed too often; ignored in panic
	slotGone          // failed its check, unsafe, or deleted
)

const (
	historyLen = 20
	// smoothing is the weight of the newest observation in moving averages: the
	// mean age is four observations, about as long as a path stays the same.
	smoothing = 0.2
	// failCost is what a failure is assumed to cost until one was seen: the
	// default connect timeout of the gateway.
	failCost = 3 * time.Second
	// maxStrikes ejects: three failures in a row that are the proxy's own, in
	// quarters.
	maxStrikes = 12
)

func newLived() *lived {
	l := &lived{slot: &slot{}}
	l.slot.status.Store(slotGone)
	return l
}

// event is an outcome in 40 bytes.
type event struct {
	at     uint32
	took   uint32 // milliseconds until the first byte, or until it failed
	status uint16
	origin proxy.Origin
	stage  proxy.Stage
	class  proxy.Class
	port   uint16
	host   string
}

func (l *lived) remember(o proxy.Outcome) {
	l.history[l.events%historyLen] = event{seconds(o.At), uint32(min(max(o.Phases.Total().Milliseconds(), 0), math.MaxUint32)),
		uint16(o.Status), o.Origin, o.Stage, o.Class, o.Target.Port, o.Target.Host}
	l.events++
}

// outcomes returns the history, newest first.
func (l *lived) outcomes(ep proxy.Endpoint) []proxy.Outcome {
	n := min(l.events, historyLen)
	out := make([]proxy.Outcome, 0, n)
	for i := range n {
		e := l.history[(l.events-1-i)%historyLen]
		out = append(out, proxy.Outcome{Endpoint: ep, Target: proxy.Target{Host: e.host, Port: e.port}, At: instant(e.at), Stage: e.stage,
			Class: e.class, Status: int(e.status), Origin: e.origin, Phases: proxy.Phases{FirstByte: time.Duration(e.took) * time.Millisecond}})
	}
	return out
}

// cost folds what a use took into the moving averages.
func (s *slot) cost(o proxy.Outcome) {
	took := o.Phases.Total()
	if o.Class == proxy.OK {
		if took > 0 {
			average(&s.good, took)
		}
		return
	}
	if o.Class == proxy.Timeout {
		took = max(took, failCost)
	}
	average(&s.bad, max(took, 50*time.Millisecond))
}

func average(a *atomic.Int64, d time.Duration) {
	for {
		old := a.Load()
		v := int64(d)
		if old != 0 {
			v = old + int64(smoothing*float64(int64(d)-old))
		}
		if a.CompareAndSwap(old, v) {
			return
		}
	}
}

// livedOf returns what is kept of row n, and makes it when it is not there.
func (p *Pool) livedOf(n uint32) *lived {
	r := p.rows.at(n)
	if r.lived == 0 {
		i := p.lives.alloc()
		*p.lives.at(i) = newLived()
		p.rows.at(n).lived = i + 1
	}
	return *p.lives.at(r.lived - 1)
}

// peek returns what is kept of a row, nil when nothing is.
func (p *Pool) peek(r *row) *lived {
	if r.lived == 0 {
		return nil
	}
	return *p.lives.at(r.lived - 1)
}

// reachedBy names the per-target checks that a row passed.
func (p *Pool) reachedBy(r *row) []string {
	if l := p.peek(r); l != nil {
		return l.reached
	}
	return nil
}

// learn merges what a use showed into the traits. Places come from the geo
// function, not from judges.
func (p *Pool) learn(n uint32, t proxy.Traits) {
	l := p.livedOf(n)
	l.traits = l.traits.Merge(t)
	if t.ExitIP.IsValid() && p.env.Geo != nil && l.traits.Country == "" && l.traits.ASN == 0 {
		l.traits.Country, l.traits.ASN, l.traits.Org = p.env.Geo(t.ExitIP)
	}
}

// exitOf is the address that targets see, as well as it is known.
func exitOf(e *proxy.Entry) netip.Addr {
	if e.Traits.ExitIP.IsValid() {
		return e.Traits.ExitIP
	}
	return e.Endpoint.Addr()
}

// entry is the view of row n.
func (p *Pool) entry(n uint32, now time.Time) proxy.Entry {
	r := p.rows.at(n)
	e := proxy.Entry{
		Endpoint: p.endpoint(n), Guess: r.flags&guess != 0, Pool: p.pools.names[r.pool], State: r.state,
		Score: r.health.Score(now, p.sources.prior(r.set)), Sources: p.sources.sets[r.set].names,
		FirstSeen: instant(r.first), LastChecked: instant(r.checked), LastLive: instant(r.last),
		Checks: proxy.Tally{OK: r.ok, Failed: r.failed}, Error: r.fault,
	}
	if r.state != proxy.Unsafe {
		e.NextCheck = time.UnixMilli(max(r.due, now.UnixMilli()))
	}
	if r.flags&login != 0 {
		e.Password = p.logins[n].password
	}
	if l := p.peek(r); l != nil {
		e.Traits, e.Latency, e.Uses = l.traits, l.latency, l.uses
	}
	return e
}

// record is row n as the store keeps it.
func (p *Pool) record(n uint32) proxy.Record {
	r := p.rows.at(n)
	rec := proxy.Record{
		Endpoint: p.endpoint(n), Guess: r.flags&guess != 0, Pool: p.pools.names[r.pool], Sources: p.sources.sets[r.set].names,
		Health: r.health, FirstSeen: instant(r.first), LastSeen: instant(r.seen), LastChecked: instant(r.checked), LastLive: instant(r.last),
		Passed: r.flags&passed != 0, Misses: uint32(r.misses), UseFails: uint32(r.strikes / 4),
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
	if r.fault.Class == proxy.Forbidden && p.forbidden(rec.Endpoint.Host) == nil && p.placeIsIP(r) {
		r.fault, r.checked = proxy.Fault{}, 0 // the policy allows it now
	}
	r.due = millis(rec.NextCheck)
	r.state = p.stateOf(r, now)
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

func (p *Pool) placeIsIP(r *row) bool { return !p.groups.at(r.group).place.named }
