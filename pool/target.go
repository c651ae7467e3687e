package pool

import (
	"maps"
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
	// A target that is down is answered for fast, for downTime doubled with
	// every time in a row that it is found down again, up to maxDown.
	downTime = 10 * time.Second
	maxDown  = 2 * time.Minute
	// A ban lasts banTime · 2ⁿ up to maxBan, or as long as the target says, up
	// to maxRetryAfter. It is forgotten banMemory after it ended.
	banTime       = time.Minute
	maxBan        = 32 * time.Minute
	maxRetryAfter = 24 * time.Hour
	banMemory     = time.Hour

	maxTargets = 4096 // domains that are remembered
	maxPairs   = 4096 // exits that are remembered of a domain
)

// target is one domain.
type target struct {
	mu        sync.Mutex // protects the fields below
	touched   time.Time
	pairs     map[netip.Addr]*pair
	suspects  []suspect // exits that could not reach it, in a row
	silent    []suspect // exits that reached it and got nothing, in a row
	refused   []suspect // exits that it refused, in a row
	downUntil time.Time
	downs     int       // times in a row that it was found down
	throttled time.Time // until when refusals are nobody's ban
}

// pair is a target and an exit. Its bans and failures are in a row.
type pair struct {
	until time.Time
	bans  int
	fails int
}

// suspect is an exit that agrees, and the outcome whose blame waits for the
// others' word.
type suspect struct {
	exit    netip.Addr
	at      time.Time
	outcome proxy.Outcome
}

// finding is what a target makes of an outcome.
type finding struct {
	weight float32         // how much of a failure is the proxy's own
	due    []proxy.Outcome // earlier outcomes whose blame is certain now
	change bool            // what is kept in the store has changed
}

// observe takes the outcome of a use, and decides whose fault it was.
func (x *target) observe(o proxy.Outcome, exit netip.Addr, now time.Time) finding {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.touched = now
	self, pair, suspicion := o.Blame()
	f := finding{weight: self}
	f.due = x.expire(now)
	switch {
	case o.Class == proxy.OK:
		f.due = append(f.due, x.succeed(exit)...)
		f.change = true
	case o.Class == proxy.Banned:
		x.refuse(o, exit, now)
		f.change = true
	case suspicion > 0:
		f.weight = 0 // until the others have spoken
		x.suspect(o, exit, now)
		x.failPair(exit, now)
	case pair > 0:
		if x.agreeing(&x.silent, exit, now, o) {
			f.weight = 0
		}
		x.failPair(exit, now)
	case o.Class == proxy.PortDenied && o.Target.Port == 443:
		x.failPair(exit, now)
	}
	return f
}

// expire takes out whom nobody joined in time: their blame is their own.
func (x *target) expire(now time.Time) (due []proxy.Outcome) {
	for len(x.suspects) > 0 && now.Sub(x.suspects[0].at) > agreeTime {
		due = append(due, x.suspects[0].outcome)
		x.suspects = x.suspects[1:]
	}
	for _, list := range []*[]suspect{&x.silent, &x.refused} {
		for len(*list) > 0 && now.Sub((*list)[0].at) > agreeTime {
			*list = (*list)[1:]
		}
	}
	return due
}

// succeed: the target is up, so whoever failed to reach it is to blame.
func (x *target) succeed(exit netip.Addr) (due []proxy.Outcome) {
	for _, s := range x.suspects {
		due = append(due, s.outcome)
	}
	x.suspects, x.silent, x.refused = nil, nil, nil
	x.downs, x.downUntil, x.throttled = 0, time.Time{}, time.Time{}
	delete(x.pairs, exit)
	return due
}

// agreeing adds an exit to a list and reports whether enough say the same.
func (x *target) agreeing(list *[]suspect, exit netip.Addr, now time.Time, o proxy.Outcome) bool {
	if i := slices.IndexFunc(*list, func(s suspect) bool { return s.exit == exit }); i >= 0 {
		(*list)[i].at = now
		slices.SortFunc(*list, func(a, b suspect) int { return a.at.Compare(b.at) })
	} else {
		*list = append(*list, suspect{exit, now, o})
	}
	if len(*list) > agree {
		*list = (*list)[len(*list)-agree:]
	}
	return len(*list) >= agree
}

// suspect notes an exit that could not reach the target. When enough agree, it
// is down and none of them is to blame.
func (x *target) suspect(o proxy.Outcome, exit netip.Addr, now time.Time) {
	if !x.agreeing(&x.suspects, exit, now, o) {
		return
	}
	for _, s := range x.suspects {
		delete(x.pairs, s.exit)
	}
	x.suspects = nil
	x.downUntil = now.Add(min(downTime<<min(x.downs, 8), maxDown))
	x.downs++
}

// refuse notes a ban. When several exits are refused in a row the target is
// throttling, and nobody is banned for it.
func (x *target) refuse(o proxy.Outcome, exit netip.Addr, now time.Time) {
	if o.Origin == proxy.FromTraffic && x.agreeing(&x.refused, exit, now, o) {
		for _, s := range x.refused {
			if p := x.pairs[s.exit]; p != nil && p.bans <= 1 {
				delete(x.pairs, s.exit)
			}
		}
		x.throttled = now.Add(max(min(o.RetryAfter, maxBan), banTime/2))
		return
	}
	if now.Before(x.throttled) && o.Origin == proxy.FromTraffic {
		return
	}
	p := x.pair(exit, now)
	d := min(banTime<<min(p.bans, 10), maxBan)
	if o.RetryAfter > 0 {
		d = min(o.RetryAfter, maxRetryAfter)
	}
	p.bans++
	p.until = now.Add(d)
}

// failPair notes that an exit did not deliver for this target. The first time
// may be chance.
func (x *target) failPair(exit netip.Addr, now time.Time) {
	p := x.pair(exit, now)
	p.fails++
	if p.fails > 1 && now.Add(banTime).After(p.until) {
		p.until = now.Add(min(banTime<<min(p.fails-2, 10), maxBan))
	}
}

// pair returns what is remembered of an exit, and makes it when there is nothing
// or it ended long ago.
func (x *target) pair(exit netip.Addr, now time.Time) *pair {
	p := x.pairs[exit]
	if p != nil && (p.until.IsZero() || now.Sub(p.until) < banMemory) {
		return p
	}
	if len(x.pairs) >= maxPairs {
		x.thin(now)
	}
	p = &pair{}
	x.pairs[exit] = p
	return p
}

// thin makes room for pairs: first go those that have ended, then any.
func (x *target) thin(now time.Time) {
	maps.DeleteFunc(x.pairs, func(_ netip.Addr, p *pair) bool { return !now.Before(p.until) })
	for exit := range x.pairs {
		if len(x.pairs) < maxPairs*3/4 {
			return
		}
		delete(x.pairs, exit)
	}
}

// verdict on a pair: whether it may be used, and how much less likely than
// elsewhere it is to work.
func (x *target) allows(exit netip.Addr, now time.Time) (ok bool, odds float64) {
	if x == nil {
		return true, 1
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.pairs[exit]
	if p == nil {
		return true, 1
	}
	return !now.Before(p.until), 1 / float64(int(1)<<min(p.fails, 8))
}
