package pool

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"freeway/proxy"
)

const (
	// forgetMisses is after how many checks failed in a row an endpoint is
	// forgotten: then .2 % come back, no more than of new ones.
	forgetMisses = 400
	// forgetTime is how long a dead endpoint that no source names is kept.
	forgetTime = 7 * 24 * time.Hour
	// fullPause is how long the pool does not look for room in vain again.
	fullPause = 10 * time.Second
)

// sweep lets time have its effect: resting endpoints die, dead ones are
// forgotten, sessions and tombstones end.
func (p *Pool) sweep(ctx context.Context) error {
	now := p.clock.now()
	p.sessions.sweep(p, now)
	p.sweepTargets(now)
	p.mu.Lock()
	for ep, until := range p.tombs {
		if until <= now.Unix() {
			p.liftTombstone(ep)
		}
	}
	p.mu.Unlock()
	return p.eachRow(ctx, func(n uint32, r *row) {
		if p.forgettable(r, now) {
			if p.groups.at(r.group).flags&claimed == 0 {
				p.forget(n)
			}
			return
		}
		if s := p.stateOf(r, now); s != r.state {
			p.count(r, -1)
			r.state = s
			p.count(r, 1)
			p.settle(n, now)
		}
	})
}

// forgettable reports whether a row is of no use to anybody.
func (p *Pool) forgettable(r *row, now time.Time) bool {
	if r.state != proxy.Dead && r.state != proxy.New || p.operators(r) {
		return false
	}
	if r.misses > forgetMisses {
		return true
	}
	return r.set == 0 && now.Sub(instant(r.seen)) > forgetTime
}

// operators reports whether the operator added the row; such rows stay until
// they are deleted.
func (p *Pool) operators(r *row) bool {
	id, ok := p.sources.byID[OperatorSource]
	return ok && p.sources.has(r.set, id)
}

// sweepTargets applies blame that nobody joined, and forgets targets that
// there is nothing to tell of.
func (p *Pool) sweepTargets(now time.Time) {
	p.targets.mu.RLock()
	all := make(map[string]*target, len(p.targets.byDomain))
	for d, x := range p.targets.byDomain {
		all[d] = x
	}
	p.targets.mu.RUnlock()
	pairs := 0
	for d, x := range all {
		due, idle, n := x.age(now)
		pairs += n
		for i := range due {
			p.mu.Lock()
			p.charge(&due[i], now)
			p.mu.Unlock()
		}
		if idle && p.targets.drop(d, x, now) {
			p.docs.put(docTarget+d, nil)
		}
	}
	p.targets.pairs.Store(int64(pairs))
}

// age expires what is old, and reports whether nothing is left and how many pairs are.
func (x *target) age(now time.Time) (due []proxy.Outcome, idle bool, pairs int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	due = x.expire(now)
	maps.DeleteFunc(x.pairs, func(_ netip.Addr, p *pair) bool { return p.forgotten(now) })
	maps.DeleteFunc(x.circuits, func(_ sight, c *circuit) bool { return c.idle(now) })
	x.wake(now)
	return due, x.idle(now), len(x.pairs)
}

// idle reports whether there is nothing to tell of the target. x.mu is held.
func (x *target) idle(now time.Time) bool {
	return len(x.pairs)+len(x.circuits)+len(x.refused)+len(x.resting) == 0 && !now.Before(x.throttled) && now.Sub(x.touched) > agreeTime
}

// makeRoom forgets a hundredth of the pool: the dead that never lived and
// missed most. It reports whether there is room then. p.mu is held.
func (p *Pool) makeRoom(now time.Time) bool {
	if now.Before(p.fullUntil) {
		return false
	}
	goal := max(p.cfg.MaxEntries/100, 1)
	var misses [forgetMisses + 2]int // how many dead ones by misses
	for n := range p.rows.size {
		if r := p.rows.at(n); p.disposable(r) {
			misses[min(int(r.misses), forgetMisses+1)]++
		}
	}
	least, sum := forgetMisses+1, 0
	for ; least > 0 && sum < goal; least-- {
		sum += misses[least]
	}
	for n := uint32(0); n < p.rows.size && goal > 0; n++ {
		if r := p.rows.at(n); p.disposable(r) && int(r.misses) > least {
			p.forget(n)
			goal--
		}
	}
	if p.byID.count < p.cfg.MaxEntries {
		return true
	}
	p.fullUntil = now.Add(fullPause)
	return false
}

// disposable reports whether a row may make room for a new one.
func (p *Pool) disposable(r *row) bool {
	return r.proto != 0 && r.state == proxy.Dead && r.last == 0 && !p.operators(r) && p.groups.at(r.group).flags&claimed == 0
}
