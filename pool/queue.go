package pool

import (
	"container/heap"
	"context"
	"io"
	"math"
	"time"

	"freeway/proxy"
)

// requeue puts a group where it belongs now. It must be called when anything
// has changed that decides about that.
func (p *Pool) requeue(n uint32, now time.Time) {
	p.unqueue(n)
	g := p.groups.at(n)
	if g.flags&claimed != 0 {
		return
	}
	kind, due := p.plan(g, now)
	if kind == fresh && !p.cfg.Once {
		kind, due = p.admit(n, now)
	} else {
		g.flags &^= parked
	}
	switch kind {
	case nowhere:
		return
	case hot:
		p.push(&p.hot, n, due)
	case cold:
		p.push(&p.cold, n, due)
	case fresh:
		s := p.bestSource(g)
		if s == nil {
			kind = cold
			p.push(&p.cold, n, due)
			break
		}
		if len(s.fresh) == 0 {
			s.stride = max(s.stride, p.stride)
		}
		s.fresh = append(s.fresh, n)
		p.fresh++
	}
	g.queue = kind
	if due < p.sleeps {
		p.wakeUp()
	}
}

// push puts a group into a heap.
func (p *Pool) push(h *dueHeap, n uint32, due int64) {
	p.groups.at(n).due = due
	heap.Push(h, n)
}

// unqueue takes a group out of where it waits. The lists of fresh ones are
// cleaned when their turn comes.
func (p *Pool) unqueue(n uint32) {
	g := p.groups.at(n)
	switch g.queue {
	case hot:
		heap.Remove(&p.hot, int(g.pos))
	case cold:
		heap.Remove(&p.cold, int(g.pos))
	case fresh:
		p.fresh--
	}
	g.queue = nowhere
}

// Next waits for the next address that is due and claims it; nobody else gets
// it until Report, or for ten minutes. In one-shot mode the error is io.EOF
// when everything has its verdict; else it is that of ctx. Any number of
// goroutines may wait.
func (p *Pool) Next(ctx context.Context) (proxy.Job, error) {
	if err := ctx.Err(); err != nil {
		return proxy.Job{}, err
	}
	select { // only one looks at the clock; the others wait for it
	case p.lead <- struct{}{}:
	case <-ctx.Done():
		return proxy.Job{}, ctx.Err()
	}
	defer func() { <-p.lead }()
	for {
		job, wait, err := p.next()
		if err != nil || len(job.Entries) > 0 {
			return job, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			timer.Stop()
			return proxy.Job{}, ctx.Err()
		}
		timer.Stop()
	}
}

// longest bounds a sleep, so that a mistake of a clock heals.
const longest = time.Hour

// next claims an address that is due, or says how long to sleep.
func (p *Pool) next() (proxy.Job, time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.now()
	p.sleeps = 0
	p.reclaim(now)
	for {
		n, ok := p.pop(now.UnixMilli())
		if !ok {
			break
		}
		if job := p.claim(n, now); len(job.Entries) > 0 {
			return job, 0, nil
		}
	}
	until := min(p.hot.top(), p.cold.top())
	if p.cfg.Once && until == math.MaxInt64 && len(p.claims) == 0 && p.holds == 0 {
		return proxy.Job{}, 0, io.EOF
	}
	if len(p.claimed) > 0 {
		until = min(until, p.claimed[0].until)
	}
	until = min(until, now.Add(longest).UnixMilli())
	p.sleeps = until
	return proxy.Job{}, max(time.Duration(until-now.UnixMilli())*time.Millisecond, time.Millisecond), nil
}

// pop takes the group whose turn it is: hot ones first, but for each eighth
// turn, then three never checked ones for one dead one.
func (p *Pool) pop(now int64) (uint32, bool) {
	p.turn++
	if p.turn%8 != 0 && p.hot.top() <= now {
		return p.popHeap(&p.hot), true
	}
	dead := p.cold.top() <= now
	if p.fresh > 0 && (!dead || p.turn%4 != 0) {
		if n, ok := p.popFresh(); ok {
			return n, true
		}
	}
	if dead {
		return p.popHeap(&p.cold), true
	}
	if p.hot.top() <= now {
		return p.popHeap(&p.hot), true
	}
	return 0, false
}

// popHeap takes the first of a heap that is not empty.
func (p *Pool) popHeap(h *dueHeap) uint32 {
	n, _ := heap.Pop(h).(uint32)
	p.groups.at(n).queue = nowhere
	return n
}

// popFresh shares the turns of never checked addresses among their sources in
// proportion to what each has given so far (stride scheduling, Waldspurger and
// Weihl 1995), and takes a random one of the source's.
func (p *Pool) popFresh() (uint32, bool) {
	for {
		var s *source
		for _, c := range p.sources.all {
			if len(c.fresh) > 0 && (s == nil || c.stride < s.stride) {
				s = c
			}
		}
		if s == nil {
			return 0, false
		}
		i, last := int(p.below(uint64(len(s.fresh)))), len(s.fresh)-1
		n := s.fresh[i]
		s.fresh[i] = s.fresh[last]
		s.fresh = s.fresh[:last]
		if p.groups.at(n).queue != fresh {
			continue // it was taken out of turn, or is another one by now
		}
		p.stride = s.stride
		s.stride += 1 / s.worth.Yield()
		p.unqueue(n)
		return n, true
	}
}

// wakeUp makes a sleeping Next look again.
func (p *Pool) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
