package pool

import (
	"math"
	"slices"
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

// Len is for container/heap, as the following.
func (h *dueHeap) Len() int { return len(h.items) }

// Less orders by due time.
func (h *dueHeap) Less(i, j int) bool {
	return h.p.groups.at(h.items[i]).due < h.p.groups.at(h.items[j]).due
}

// Swap keeps the positions in the groups true.
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

// meteredRarer is how much longer entries of Config.Metered wait.
const meteredRarer = 12

// interval is how long a row waits for its next check.
func (p *Pool) interval(r *row) time.Duration {
	if len(p.cfg.Metered) > 0 && slices.Contains(p.cfg.Metered, p.pools.names[r.pool]) {
		return meteredRarer * p.usual(r)
	}
	return p.usual(r)
}

// usual is the interval of what costs nothing. The chance to come back falls
// with the number of misses about as 1/misses, so waits grow with them.
func (p *Pool) usual(r *row) time.Duration {
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
