package pool

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"freeway/proxy"
)

const (
	// agree is how many different exits must say the same before the target is
	// to blame, within agreeTime and with no success in between.
	agree     = 3
	agreeTime = time.Minute
	// A ban lasts banTime · 2ⁿ up to maxBan, or as long as the target says, up
	// to maxRetryAfter. It is forgotten banMemory after it ended.
	banTime       = time.Minute
	maxBan        = 32 * time.Minute
	maxRetryAfter = 24 * time.Hour
	banMemory     = time.Hour

	maxTargets  = 4096             // domains that are remembered
	maxFine     = 64               // exits whose working is remembered beside reports
	maxPairs    = 4096             // exits that are remembered of a domain
	maxAllPairs = 64 * maxTargets  // of all domains together; a half of it is for domains that have few
	pairMemory  = 3 * pairHalfLife // how long the record of a pair stays after its last use
)

// target is one domain. Bans are by domain, circuits by port and host.
type target struct {
	// order is held while an outcome is judged here and applied to the rows, so
	// that nothing is taken back that was not charged yet. Picks do without it.
	order sync.Mutex

	all *targets // that it is one of

	mu        sync.Mutex // protects the fields below
	touched   time.Time
	pairs     map[netip.Addr]*pair
	circuits  map[sight]*circuit
	refused   []suspect                // exits that it refused, in a row
	reported  []suspect                // exits that clients say it refused
	fine      map[netip.Addr]time.Time // when exits worked that nobody has reported since the first report
	throttled time.Time                // until when refusals are nobody's ban
	resting   map[netip.Addr]time.Time // until when exits are not used; nil: none has to rest
}

// newTarget returns one that nothing is known of.
func newTarget(now time.Time, all *targets) *target {
	return &target{all: all, touched: now, pairs: map[netip.Addr]*pair{}, circuits: map[sight]*circuit{}}
}

// pair is a target and an exit. Its bans and failures are in a row, and each
// have their own time.
type pair struct {
	banned time.Time // until then
	shut   time.Time // until then not used because it failed
	bans   int
	fails  int
	record evidence // survives a success
}

// evidence is how uses of an exit went at one domain, each counting half after
// pairHalfLife. It is only kept of pairs that failed at some time: what went well
// elsewhere is in the score of the proxy itself.
type evidence struct {
	ok, fail float32
	at       time.Time
}

const (
	// pairHalfLife is about as long as sites keep an address out.
	pairHalfLife = time.Hour
	// pairPrior is how many uses at the domain the proxy's own score is worth:
	// the first failure halves it.
	pairPrior = 1
)

// add counts a use.
func (e *evidence) add(ok bool, now time.Time) {
	f := e.fade(now)
	e.ok, e.fail, e.at = e.ok*f, e.fail*f, now
	if ok {
		e.ok++
	} else {
		e.fail++
	}
}

// fade is what the evidence counts by now.
func (e *evidence) fade(now time.Time) float32 {
	return float32(math.Exp2(-max(now.Sub(e.at), 0).Seconds() / pairHalfLife.Seconds()))
}

// shrink is the probability that a use at the domain works, of a proxy whose own
// score is p: the Beta posterior mean, shrunk towards p. It is never above p, in
// which the successes are counted already: who failed once is not better than who
// never did.
func (e *evidence) shrink(p float64, now time.Time) float64 {
	if e.ok == 0 && e.fail == 0 {
		return p
	}
	f := float64(e.fade(now))
	ok, fail := f*float64(e.ok), f*float64(e.fail)
	return min(p, (ok+pairPrior*p)/(ok+fail+pairPrior))
}

// until is when the pair may be used again.
func (p *pair) until() time.Time {
	if p.shut.After(p.banned) {
		return p.shut
	}
	return p.banned
}

// finding is what a target makes of an outcome.
type finding struct {
	weight float32         // how much of a failure is the proxy's own
	due    []proxy.Outcome // earlier outcomes whose blame is certain now
	undo   []proxy.Outcome // earlier outcomes that were charged and are nobody's fault
	change bool            // what is kept in the store has changed
}

// observe takes the outcome of a use through an exit of a pool, and decides whose
// fault it was. lately says that a use of the same host and port worked within agreeTime.
func (x *target) observe(o proxy.Outcome, pool string, exit netip.Addr, lately bool, now time.Time) finding {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.touched = now
	f := finding{due: x.expire(now)}
	f.weight, _, _ = o.Blame()
	switch k := kindOf(&o); {
	case o.Class == proxy.OK:
		f.due = append(f.due, x.succeed(&o, exit, now)...)
		f.change = true
	case o.Class == proxy.Banned:
		x.refuse(o, exit, now)
		f.change = true
	case k != other:
		c := x.circuit(sight{spotOf(&o.Target), pool}, now)
		c.worked = lately
		x.fail(c, k, o, exit, &f, now)
	case o.Class == proxy.PortDenied && o.Target.Port == 443:
		x.failPair(exit, now)
	}
	return f
}

// expire lets go of what nobody agreed to in time.
func (x *target) expire(now time.Time) (due []proxy.Outcome) {
	for _, c := range x.circuits {
		due = append(due, c.expire(now)...)
	}
	for _, list := range []*[]suspect{&x.refused, &x.reported} {
		for len(*list) > 0 && now.Sub((*list)[0].at) > agreeTime {
			*list = (*list)[1:]
		}
	}
	maps.DeleteFunc(x.fine, func(_ netip.Addr, at time.Time) bool { return len(x.reported) == 0 || now.Sub(at) > agreeTime })
	return due
}

// succeed notes that an exit works here, and that the target is up, whichever
// pool could not reach it.
func (x *target) succeed(o *proxy.Outcome, exit netip.Addr, now time.Time) (due []proxy.Outcome) {
	x.refused, x.throttled = nil, time.Time{}
	if o.Origin == proxy.FromFeedback {
		x.reported = nil
	} else if len(x.reported) > 0 && len(x.fine) < maxFine && !slices.ContainsFunc(x.reported, func(s suspect) bool { return s.exit == exit }) {
		if x.fine == nil {
			x.fine = map[netip.Addr]time.Time{}
		}
		x.fine[exit] = now
	}
	if p := x.pairs[exit]; p != nil {
		*p = pair{record: p.record}
		p.record.add(true, now)
	}
	for at, c := range x.circuits { // few of them: only what failed lately has any
		if at.spot == spotOf(&o.Target) {
			due = append(due, c.succeed(o.Request)...)
		}
	}
	return due
}

// acquit lets an exit be used here although it did not deliver; bans stay, and so
// does the record: it comes after those that did not fail.
func (x *target) acquit(exit netip.Addr) {
	if p := x.pairs[exit]; p != nil {
		p.fails, p.shut = 0, time.Time{}
	}
}

// refuse notes a ban. When several exits are refused in a row the target is
// throttling, and nobody is banned for it. What clients report looked like a
// success at first, so there it is that several are reported and nobody works
// who is not.
func (x *target) refuse(o proxy.Outcome, exit netip.Addr, now time.Time) {
	list, alone := &x.refused, true
	if o.Origin == proxy.FromFeedback {
		delete(x.fine, exit)
		list, alone = &x.reported, len(x.fine) == 0
	}
	*list = agreeing(*list, exit, now, o)
	if len(*list) >= agree && alone {
		for _, s := range *list {
			x.unban(s.exit)
		}
		x.throttled = now.Add(max(min(o.RetryAfter, maxBan), banTime/2))
		return
	}
	if now.Before(x.throttled) {
		return
	}
	p := x.pair(exit, now)
	d := min(banTime<<min(p.bans, 10), maxBan)
	if o.RetryAfter > 0 {
		d = min(o.RetryAfter, maxRetryAfter)
	}
	p.bans++
	if o.RetryAfter == 0 { // else the target has said when it is over
		p.record.add(false, now)
	}
	p.banned = now.Add(d)
}

// unban takes back a ban that was the first.
func (x *target) unban(exit netip.Addr) {
	if p := x.pairs[exit]; p != nil && p.bans <= 1 {
		if p.bans, p.banned = 0, (time.Time{}); p.fails == 0 {
			delete(x.pairs, exit)
		}
	}
}

// failPair notes that an exit did not deliver for this target. The first time
// may be chance.
func (x *target) failPair(exit netip.Addr, now time.Time) {
	p := x.pair(exit, now)
	p.fails++
	p.record.add(false, now)
	if p.fails > 1 {
		p.shut = now.Add(min(banTime<<min(p.fails-2, 10), maxBan))
	}
}

// pair returns what is remembered of an exit, and makes it when there is nothing
// or it ended long ago.
func (x *target) pair(exit netip.Addr, now time.Time) *pair {
	p := x.pairs[exit]
	if p != nil && (p.until().IsZero() || now.Sub(p.until()) < banMemory) {
		return p
	}
	if n := len(x.pairs); n >= x.all.room() {
		x.thin(n*3/4, now)
	}
	fresh := &pair{}
	if p != nil {
		fresh.record = p.record
	} else {
		x.all.pairs.Add(1)
	}
	p = fresh
	x.pairs[exit] = p
	return p
}

// forgotten reports whether nothing is to be remembered of the pair any more:
// neither its bans and failures, nor how its uses went.
func (p *pair) forgotten(now time.Time) bool {
	return now.Sub(p.until()) > banMemory && now.Sub(p.record.at) > pairMemory
}

// thin leaves at most so many pairs: first go some that may be used again, then any.
func (x *target) thin(most int, now time.Time) {
	before := len(x.pairs)
	defer func() { x.all.pairs.Add(int64(len(x.pairs) - before)) }()
	for _, all := range []bool{false, true} {
		for exit, p := range x.pairs { // maps are walked in random order
			if len(x.pairs) <= most {
				return
			}
			if all || !now.Before(p.until()) {
				delete(x.pairs, exit)
			}
		}
	}
}

// rests returns until when an exit rests, the zero time for one that never did.
func (x *target) rests(exit netip.Addr) time.Time {
	if x == nil {
		return time.Time{}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.resting[exit]
}

// take begins the rest of an exit that is used now, or reports that it rests
// already.
func (x *target) take(exit netip.Addr, interval time.Duration, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if now.Before(x.resting[exit]) {
		return false
	}
	if x.resting == nil {
		x.resting = map[netip.Addr]time.Time{}
	}
	if len(x.resting) >= maxPairs {
		x.wake(now)
	}
	if len(x.resting) < 4*maxPairs { // more exits than that have not been used within the interval
		x.resting[exit] = now.Add(interval)
	}
	x.touched = now
	return true
}

// wake forgets exits that have rested.
func (x *target) wake(now time.Time) {
	maps.DeleteFunc(x.resting, func(_ netip.Addr, until time.Time) bool { return !now.Before(until) })
}

// allows reports whether an exit may be used here, and how it did. In need those that only
// failed here may, too; those that the target has banned never.
func (x *target) allows(exit netip.Addr, need bool, now time.Time) (ok bool, e evidence) {
	if x == nil {
		return true, e
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.pairs[exit]
	if p == nil {
		return true, e
	}
	until := p.until()
	if need {
		until = p.banned
	}
	return !now.Before(until), p.record
}
