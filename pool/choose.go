package pool

import (
	"slices"
	"strconv"
	"time"

	"freeway/proxy"
)

// choice is one Pick from one label.
type choice struct {
	p      *Pool
	want   proxy.Want
	target *target // nil: nothing is known of it
	panic  bool    // ejections do not count
	crowd  bool    // those that are busy count as well
	need   bool    // so do those that only failed at the target, for there is nobody else
	now    time.Time
}

// eligible reports whether the item may be handed out now.
func (c *choice) eligible(it *item) bool {
	if !c.works(it) || !c.crowd && it.slot.inflight.Load() >= maxLoad || c.avoids(it) {
		return false
	}
	if c.want.MinInterval > 0 && c.now.Before(c.target.rests(it.exit)) {
		return false
	}
	ok, _ := c.target.allows(it.exit, c.need, c.now)
	return ok
}

// works reports whether the item is live, or as good as that in panic.
func (c *choice) works(it *item) bool {
	switch it.slot.status.Load() {
	case slotUp:
		return true
	case slotEjected:
		return c.panic
	}
	return false
}

// avoids reports whether this request has tried the item or its exit.
func (c *choice) avoids(it *item) bool {
	return len(c.want.AvoidExits) > 0 && slices.Contains(c.want.AvoidExits, it.exit) ||
		len(c.want.Avoid) > 0 && slices.Contains(c.want.Avoid, it.entry.Endpoint)
}

// matches reports whether the item is what the want asks for, busy or not.
func (c *choice) matches(it *item) bool { return matches(it, &c.want.Filter, c.want.Need) }

// from picks from one label by the configured rotation or, when all are busy,
// the one that is in use least.
func (c *choice) from(l *label) (*item, string) {
	if c.crowd {
		return c.least(l.view(&c.want.Filter, c.want.Need).items), "all are busy, least used"
	}
	switch c.p.settings.Load().rotation {
	case "round-robin":
		return c.next(l.view(&c.want.Filter, c.want.Need)), "round-robin"
	case "random":
		return c.random(l), "random"
	case "least-used":
		return c.leastExit(l.view(&c.want.Filter, c.want.Need)), "least used"
	case "fastest":
		return c.fastest(l.view(&c.want.Filter, c.want.Need)), "fastest"
	}
	return c.adaptive(l)
}

const (
	among = 3  // adaptive choice: best of so many
	draws = 24 // random draws before all are looked at
)

// clearly is how much cheaper one must be to be better. Estimates are not more
// exact than that, and whoever leads by nothing should not get everything.
const clearly = 0.9

// adaptive takes the best of three: two choices already keep everybody off the
// one that looks best, and a third costs nothing.
func (c *choice) adaptive(l *label) (*item, string) {
	var found [among]drawn
	n := c.sample(l, found[:], func(v *view) (int, float32) { return v.draw(c.p.random()) })
	if n == 0 {
		return nil, ""
	}
	d := c.best(found[:n])
	d.head.use(c.now)
	return d.it, c.why(d.it, n)
}

// drawn is an item that was drawn, with what counts the uses of its exit.
type drawn struct {
	it    *item
	head  *slot   // of one endpoint of the exit, always the same for a filter
	alone bool    // the exit has no other endpoint
	part  float32 // see view.parts
}

// draw takes any of the items of the exit that is drawn.
func (c *choice) draw(v *view, exit func(*view) (int, float32)) drawn {
	i, part := exit(v)
	items := v.exit(i)
	return drawn{c.one(items), items[0].slot, len(items) == 1, part}
}

// used is how many uses the exit had lately, more if it has a part of its weight only:
// its owner's exits have a share together.
func (d drawn) used(now time.Time) float64 { return float64(d.head.used(now)) / float64(d.part) }

// best returns the one with the lowest expected cost, its share considered; now and then
// one that has not proved yet what it is worth.
func (c *choice) best(found []drawn) drawn {
	if len(found) > 1 && !c.panic && c.p.below(tryEvery) == 0 {
		if d, ok := unproved(found); ok {
			return d
		}
	}
	sum := 0.0
	for _, d := range found {
		sum += d.used(c.now)
	}
	mean := sum / float64(len(found))
	best, low := found[0], 0.0
	for i, d := range found {
		over := max(1, (d.used(c.now)+shareFew)/(mean+shareFew))
		if cost := c.cost(d.it) * over * over; i == 0 || cost < clearly*low {
			best, low = d, cost
		}
	}
	return best
}

// random takes any exit, each with the same chance.
func (c *choice) random(l *label) *item {
	var found [1]drawn
	c.sample(l, found[:], func(v *view) (int, float32) { return int(c.p.below(uint64(v.exits()))), 1 })
	return found[0].it
}

const (
	// shareTime is how fast uses are forgotten when shares are compared.
	shareTime = 30 * time.Second
	// shareFew is how many uses say nothing. Beyond the average of those that it is compared
	// with, the cost of one grows with the square of its uses: whoever was used has
	// proved good, and would be used ever more (of three equal exits one got all of 200
	// uses), while the others are left to their checks, which come rarely.
	shareFew = 2
	// tryEvery is how many choices there are for one that takes somebody with less than
	// proveUses and no failure among them, if there is any: the only way to learn whether
	// it is as good as those who have proved it.
	tryEvery  = 8
	proveUses = 24
)

// unproved returns the one with the fewest uses ever; ok is false when all have enough,
// have failed more than now and then, or leave from exits with other endpoints, of which not each
// has to be tried.
func unproved(found []drawn) (least drawn, ok bool) {
	few := uint32(proveUses)
	for _, d := range found {
		e := &d.it.entry
		if n := d.it.slot.uses.Load(); d.alone && n < few && e.Uses.Failed == 0 && d.it.slot.slower.Load() == 0 && e.Checks.Failed <= e.Checks.OK/4 {
			least, few, ok = d, n, true
		}
	}
	return least, ok
}

// use counts a use. One that another goroutine counts at the same time may be lost.
func (s *slot) use(now time.Time) { s.lately.Store(shareTurn(now)<<32 | uint64(s.used(now)+1)) }

// used is how many uses there were lately.
func (s *slot) used(now time.Time) uint32 {
	v := s.lately.Load()
	return uint32(v) >> min(shareTurn(now)-v>>32, 31)
}

// shareTurn numbers the times after which uses count half.
func shareTurn(now time.Time) uint64 { return uint64(now.Unix()) / uint64(shareTime/time.Second) }

// sample fills found with different eligible items, fewer when there are no
// more, and returns how many. Most wants match most items, so it draws from
// all first, then from those that match, and looks at each only in the end.
func (c *choice) sample(l *label, found []drawn, exit func(*view) (int, float32)) int {
	n := 0
	for try := 0; try < draws && n < len(found) && l.all.exits() > 0; try++ {
		d := c.draw(l.all, exit)
		if c.matches(d.it) && c.eligible(d.it) && !slices.Contains(found[:n], d) {
			found[n] = d
			n++
		}
	}
	if n > 0 {
		return n
	}
	v := l.view(&c.want.Filter, c.want.Need)
	for try := 0; try < draws && n < len(found) && v.exits() > 0; try++ {
		if d := c.draw(v, exit); c.eligible(d.it) && !slices.Contains(found[:n], d) {
			found[n] = d
			n++
		}
	}
	if n > 0 || len(v.items) == 0 {
		return n
	}
	start := int(c.p.below(uint64(len(v.items))))
	for i := range v.items {
		if it := v.items[(start+i)%len(v.items)]; c.eligible(it) {
			found[n] = drawn{it: it, head: it.slot, part: 1}
			if n++; n == len(found) {
				break
			}
		}
	}
	return n
}

// one is any of the items of an exit.
func (c *choice) one(items []*item) *item {
	if len(items) == 1 {
		return items[0]
	}
	return items[c.p.below(uint64(len(items)))]
}

// typicalLoad is how many uses at a time a free proxy bears before they slow
// each other down.
const typicalLoad = 8

// maxLoad is how many uses at a time an endpoint has at most while there are
// others.
const maxLoad = 64

// lostTry is what a failure costs beside its time: a try of those that a request
// has, and what it may be lost for if none works. Without it the fast and
// unreliable were taken for the slow and reliable, and 89 % of uses worked
// instead of over 93 (TestMonth).
const lostTry = lostCost

// leastCost is what a success costs beside its latency: differences of some
// milliseconds are no reason to send everything through one exit.
const leastCost = 100 * time.Millisecond

// cost is the expected time until a success, if this item and then its equals
// are tried until one works: Ls + (1-p)/p · Lf (Simon and Kadane 1975), more
// when the item is busy. In panic only the probability counts.
func (c *choice) cost(it *item) float64 {
	_, here := c.target.allows(it.exit, c.need, c.now)
	p := max(here.shrink(it.entry.Score, c.now), 1e-3)
	if c.panic {
		return 1 / p
	}
	bad := time.Duration(it.slot.bad.Load())
	if bad == 0 {
		bad = failCost
	}
	t := (it.latency() + leastCost).Seconds() + (1-p)/p*(bad+lostTry).Seconds()
	return t * (1 + float64(it.slot.inflight.Load())/typicalLoad) * float64(1+it.slot.slower.Load())
}

// latency is what a success costs, a guess at the typical when none was seen.
func (it *item) latency() time.Duration {
	if d := time.Duration(it.slot.good.Load()); d > 0 {
		return d
	}
	if it.entry.Latency > 0 {
		return it.entry.Latency
	}
	return failCost // the median of public proxies is 3 s as well
}

// why says what spoke for the item, for people.
func (c *choice) why(it *item, of int) string {
	ms := it.latency().Milliseconds()
	if r := it.why.Load(); r != nil && !c.panic && r.of == of && r.ms == ms {
		return r.text
	}
	b := make([]byte, 0, 64)
	b = append(b, "best of "...)
	b = strconv.AppendInt(b, int64(of), 10)
	b = append(b, ": score "...)
	b = strconv.AppendFloat(b, it.entry.Score, 'f', 2, 64)
	b = append(b, ", "...)
	b = strconv.AppendInt(b, ms, 10)
	b = append(b, " ms"...)
	if c.panic {
		return string(append(b, ", panic: few are left"...))
	}
	r := &reason{of, ms, string(b)}
	it.why.Store(r)
	return r.text
}

// next goes round the exits in the order of their addresses.
func (c *choice) next(v *view) *item {
	if v.exits() == 0 {
		return nil
	}
	start := c.p.round.Add(1)
	for i := range v.exits() {
		items := v.exit(int((start + uint64(i)) % uint64(v.exits())))
		for j := range items {
			if it := items[(int(start)+j)%len(items)]; c.eligible(it) {
				return it
			}
		}
	}
	return nil
}

// look is how many of many are looked at for the least used.
const look = 1024

// leastExit takes the exit that is in use least, and of those the one that was used
// least, and of its endpoints the same; of many, it looks at a part.
func (c *choice) leastExit(v *view) *item {
	var best *item
	var low uint64
	n := v.exits()
	start, seen := int(c.p.below(uint64(max(n, 1)))), 0
	for i := 0; i < n && seen < look; i++ {
		items := v.exit((start + i) % n)
		sum := uint64(0)
		for _, it := range items {
			sum += it.slot.load()
		}
		if best == nil || sum < low {
			if it := c.least(items); it != nil {
				best, low = it, sum
			}
		}
		seen += len(items)
	}
	return best
}

// load orders slots by what is in use now, then by all uses ever.
func (s *slot) load() uint64 { return uint64(uint32(s.inflight.Load()))<<32 | uint64(s.uses.Load()) }

// least takes the one that is in use least, and of those the one that was used
// least; of many, it looks at a part.
func (c *choice) least(items []*item) *item {
	var best *item
	var low uint64
	start := int(c.p.below(uint64(max(len(items), 1))))
	seen := 0
	for i := range items {
		it := items[(start+i)%len(items)]
		if !c.eligible(it) {
			continue
		}
		used := it.slot.load()
		if best == nil || used < low {
			best, low = it, used
		}
		if seen++; seen == look {
			break
		}
	}
	return best
}

// fastest takes the first in the order of latency.
func (c *choice) fastest(v *view) *item {
	for _, it := range v.byTime() {
		if c.eligible(it) {
			return it
		}
	}
	return nil
}
