package pool

import (
	"container/heap"
	"context"
	"io"
	"math"
	"time"

	"freeway/proxy"
)

// queueKind is where a group waits for its check.
type queueKind uint8

const (
	nowhere queueKind = iota
	hot               // live, lately live, or asked for: goes before everything else
	fresh             // never checked: at once, in the list of its best source
	cold              // dead: when it is due
)

// dueHeap orders groups by due time.
type dueHeap struct {
	p     *Pool
	items []uint32
}

func (h *dueHeap) Len() int { return len(h.items) }

func (h *dueHeap) Less(i, j int) bool {
	return h.p.groups.at(h.items[i]).due < h.p.groups.at(h.items[j]).due
}

func (h *dueHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.p.groups.at(h.items[i]).pos, h.p.groups.at(h.items[j]).pos = uint32(i), uint32(j)
}

// Push is for container/heap.
func (h *dueHeap) Push(x any) {
	n, _ := x.(uint32)
	h.p.groups.at(n).pos = uint32(len(h.items))
	h.items = append(h.items, n)
}

// Pop is for container/heap.
func (h *dueHeap) Pop() any {
	last := len(h.items) - 1
	n := h.items[last]
	h.items = h.items[:last]
	return n
}

// top returns when the first is due, the end of time when there is none.
func (h *dueHeap) top() int64 {
	if len(h.items) == 0 {
		return math.MaxInt64
	}
	return h.p.groups.at(h.items[0]).due
}

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

// plan says how a group waits, by its most urgent row.
func (p *Pool) plan(g *group, now time.Time) (queueKind, int64) {
	kind, due := nowhere, int64(math.MaxInt64)
	for n := g.head; n != none; n = p.rows.at(n).next {
		r := p.rows.at(n)
		if !p.wanted(r) {
			continue
		}
		due = min(due, r.due)
		switch {
		case r.flags&asked != 0, r.last != 0 && int(r.misses) <= len(resting):
			kind = hot
		case r.checked == 0 && kind != hot && r.due <= now.UnixMilli():
			kind = fresh
		case kind == nowhere:
			kind = cold
		}
	}
	return kind, max(due, 0)
}

// wanted reports whether a row is ever to be checked again.
func (p *Pool) wanted(r *row) bool {
	if p.cfg.Once && r.flags&judged != 0 {
		return false
	}
	return r.state != proxy.Unsafe || r.flags&asked != 0
}

// bestSource is the source of the group that has given most so far.
func (p *Pool) bestSource(g *group) *source {
	var best *source
	for n := g.head; n != none; n = p.rows.at(n).next {
		for _, id := range p.sources.sets[p.rows.at(n).set].ids {
			if s := p.sources.all[id]; best == nil || s.worth.Yield() > best.worth.Yield() {
				best = s
			}
		}
	}
	return best
}

// resting are the waits of an endpoint that was live, after so many misses, at
// the default Recheck: most come back soon or not at all.
var resting = [...]time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// scaled converts a time at the default Recheck to the configured one.
func (p *Pool) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (float64(p.cfg.Recheck) / float64(DefaultRecheck)))
}

// interval is how long a row waits for its next check. The chance to come back
// falls with the number of misses about as 1/misses, so waits grow with them.
func (p *Pool) interval(r *row) time.Duration {
	m := int(r.misses)
	switch {
	case m == 0:
		return p.cfg.Recheck
	case r.last != 0 && m <= len(resting):
		return p.scaled(resting[m-1])
	case r.last != 0:
		return p.cfg.Recheck * time.Duration(m-len(resting)+1)
	}
	return p.cfg.Recheck * time.Duration(m)
}

// schedule sets the next check of a row, with jitter of a tenth.
func (p *Pool) schedule(r *row, now time.Time) {
	d := p.interval(r)
	d += time.Duration((p.random()*2 - 1) * 0.1 * float64(d))
	r.due = now.Add(d).UnixMilli()
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
