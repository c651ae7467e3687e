package pool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// Pick hands out an endpoint for one attempt, and never waits. The errors are
// proxy.ErrNone with the reason, proxy.ErrSessionLost, proxy.ErrTargetDown, and
// that of ctx.
func (p *Pool) Pick(ctx context.Context, want proxy.Want) (proxy.Lease, error) {
	if err := ctx.Err(); err != nil {
		return proxy.Lease{}, err
	}
	now := p.clock.now()
	if d := want.Target.Domain; d != "" && p.targets.down(d, now) {
		p.metrics.picks.WithLabelValues("target_down").Inc()
		return proxy.Lease{}, fmt.Errorf("%s: %w", d, proxy.ErrTargetDown)
	}
	s := p.current(now)
	it, why, err := p.pickFrom(s, &want, now)
	if err != nil {
		if again := p.newest(s, now); again != s {
			it, why, err = p.pickFrom(again, &want, now)
		}
	}
	if err != nil {
		p.metrics.picks.WithLabelValues(pickResult(err)).Inc()
		p.rates.misses.add(now, 1)
		return proxy.Lease{}, err
	}
	p.metrics.picked.Inc()
	p.rates.picks.add(now, 1)
	return p.lease(it, why), nil
}

// lease counts a use of the item until it is closed.
func (p *Pool) lease(it *item, why string) proxy.Lease {
	l := &lease{p: p, it: it}
	it.slot.inflight.Add(1)
	it.slot.uses.Add(1)
	return proxy.Lease{Entry: it.entry, Why: why, Report: l.report, Close: l.close}
}

type lease struct {
	p        *Pool
	it       *item
	reported atomic.Bool
	closed   atomic.Bool
}

func (l *lease) report(o proxy.Outcome) {
	if l.reported.Swap(true) {
		return
	}
	o.Endpoint = l.it.entry.Endpoint
	if o.Origin == 0 {
		o.Origin = proxy.FromTraffic
	}
	l.p.observe(o, l.it.exit)
}

func (l *lease) close() {
	if !l.closed.Swap(true) {
		l.it.slot.inflight.Add(-1)
	}
}

// pickFrom picks from a snapshot, for a session or freely.
func (p *Pool) pickFrom(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	if want.Session != (proxy.SessionKey{}) {
		return p.pickSession(s, want, now)
	}
	return p.choose(s, want, now)
}

// choice is one Pick from one label.
type choice struct {
	p      *Pool
	want   *proxy.Want
	target *target // nil: nothing is known of it
	panic  bool    // ejections do not count
	crowd  bool    // those that are busy count as well
	now    time.Time
}

// choose picks freely: from the first of the wanted pools that has something
// eligible.
func (p *Pool) choose(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	c := choice{p: p, want: want, now: now}
	if want.Target.Domain != "" {
		c.target = p.targets.get(want.Target.Domain)
	}
	for _, name := range poolsOf(want) {
		l := s.labels[name]
		if l == nil {
			continue
		}
		c.panic = p.panics(s, l)
		for _, c.crowd = range []bool{false, true} {
			if it, why := c.from(l); it != nil {
				return it, why, nil
			}
		}
	}
	return nil, "", c.none(s)
}

func poolsOf(want *proxy.Want) []string {
	if len(want.Pools) > 0 {
		return want.Pools
	}
	return []string{proxy.PublicPool}
}

// panics reports whether so many endpoints were ejected by traffic that the
// fault is probably elsewhere, and ejections do not count.
func (p *Pool) panics(s *snapshot, l *label) bool {
	left := l.live - int(p.ejections.Load()-s.ejections)
	return l.recent > left && left < max(5, l.recent/10)
}

// eligible reports whether the item may be handed out now.
func (c *choice) eligible(it *item) bool {
	switch it.slot.status.Load() {
	case slotUp:
	case slotEjected:
		if !c.panic {
			return false
		}
	default:
		return false
	}
	if !c.crowd && it.slot.inflight.Load() >= maxLoad {
		return false
	}
	if len(c.want.AvoidExits) > 0 && slices.Contains(c.want.AvoidExits, it.exit) {
		return false
	}
	if len(c.want.Avoid) > 0 && slices.Contains(c.want.Avoid, it.entry.Endpoint) {
		return false
	}
	ok, _ := c.target.allows(it.exit, c.now)
	return ok
}

func (c *choice) matches(it *item) bool { return matches(it, &c.want.Filter, c.want.Need) }

// from picks from one label by the configured rotation.
func (c *choice) from(l *label) (*item, string) {
	switch c.p.settings.Load().rotation {
	case "round-robin":
		return c.next(l.view(&c.want.Filter, c.want.Need)), "round-robin"
	case "random":
		return c.random(l), "random"
	case "least-used":
		return c.least(l.view(&c.want.Filter, c.want.Need)), "least used"
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
	var found [among]*item
	n := c.sample(l, found[:], func(v *view) int { return v.draw(c.p.random()) })
	best, low := (*item)(nil), 0.0
	for _, it := range found[:n] {
		if cost := c.cost(it); best == nil || cost < clearly*low {
			best, low = it, cost
		}
	}
	if best == nil {
		return nil, ""
	}
	return best, c.why(best, n)
}

func (c *choice) random(l *label) *item {
	var found [1]*item
	c.sample(l, found[:], func(v *view) int { return int(c.p.below(uint64(v.exits()))) })
	return found[0]
}

// sample fills found with different eligible items, fewer when there are no
// more, and returns how many. Most wants match most items, so it draws from
// all first, then from those that match, and looks at each only in the end.
func (c *choice) sample(l *label, found []*item, exit func(*view) int) int {
	n := 0
	for try := 0; try < draws && n < len(found) && l.all.exits() > 0; try++ {
		it := c.one(l.all.exit(exit(l.all)))
		if c.matches(it) && c.eligible(it) && !slices.Contains(found[:n], it) {
			found[n] = it
			n++
		}
	}
	if n > 0 {
		return n
	}
	v := l.view(&c.want.Filter, c.want.Need)
	for try := 0; try < draws && n < len(found) && v.exits() > 0; try++ {
		if it := c.one(v.exit(exit(v))); c.eligible(it) && !slices.Contains(found[:n], it) {
			found[n] = it
			n++
		}
	}
	if n > 0 || len(v.items) == 0 {
		return n
	}
	start := int(c.p.below(uint64(len(v.items))))
	for i := range v.items {
		if it := v.items[(start+i)%len(v.items)]; c.eligible(it) {
			found[n] = it
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

// cost is the expected time until a success, if this item and then its equals
// are tried until one works: Ls + (1-p)/p · Lf (Simon and Kadane 1975), more
// when the item is busy. In panic only the probability counts.
func (c *choice) cost(it *item) float64 {
	_, odds := c.target.allows(it.exit, c.now)
	p := max(it.entry.Score*odds, 1e-3)
	if c.panic {
		return 1 / p
	}
	bad := time.Duration(it.slot.bad.Load())
	if bad == 0 {
		bad = failCost
	}
	t := it.latency().Seconds() + (1-p)/p*bad.Seconds()
	return t * (1 + float64(it.slot.inflight.Load())/typicalLoad)
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

func (c *choice) why(it *item, of int) string {
	b := make([]byte, 0, 64)
	b = append(b, "best of "...)
	b = strconv.AppendInt(b, int64(of), 10)
	b = append(b, ": score "...)
	b = strconv.AppendFloat(b, it.entry.Score, 'f', 2, 64)
	b = append(b, ", "...)
	b = strconv.AppendInt(b, it.latency().Milliseconds(), 10)
	b = append(b, " ms"...)
	if c.panic {
		b = append(b, ", panic: few are left"...)
	}
	return string(b)
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

// least takes the one that is in use least, and of those the one that was used
// least; of many, it looks at a part.
func (c *choice) least(v *view) *item {
	const look = 1024
	var best *item
	var low uint64
	start := int(c.p.below(uint64(max(len(v.items), 1))))
	seen := 0
	for i := range v.items {
		it := v.items[(start+i)%len(v.items)]
		if !c.eligible(it) {
			continue
		}
		used := uint64(uint32(it.slot.inflight.Load()))<<32 | uint64(it.slot.uses.Load())
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

// none says why there is nothing, with counts that lead to the cause.
func (c *choice) none(s *snapshot) error {
	e := &proxy.NoneError{RetryAfter: noneRetry}
	live, match, total := 0, 0, 0
	for i := range c.p.states {
		total += int(c.p.states[i].Load())
	}
	for _, name := range poolsOf(c.want) {
		if l := s.labels[name]; l != nil {
			live += l.live
			match += len(l.view(&c.want.Filter, c.want.Need).items)
		}
	}
	switch pools := strings.Join(poolsOf(c.want), ", "); {
	case c.p.states[proxy.Live].Load() == 0:
		e.Reason = fmt.Sprintf("0 live of %d known", total)
	case live == 0:
		e.Reason = fmt.Sprintf("0 live in pool %s; %d live of %d known", pools, c.p.states[proxy.Live].Load(), total)
	case match == 0:
		e.Reason = fmt.Sprintf("0 live match; %d live before %s", live, strings.Join(c.conditions(), " "))
	default:
		e.Reason = fmt.Sprintf("%d live match, but all were tried already, failed lately or are banned by the target", match)
	}
	return e
}

// noneRetry is when it makes sense to ask again: failing proxies are checked
// again after 15 s, and new ones go live all the time.
const noneRetry = 5 * time.Second

// conditions describes the filter and the abilities that are needed.
func (c *choice) conditions() []string {
	var out []string
	if parts := describe(&c.want.Filter); len(parts) > 0 {
		out = append(out, "the filter")
		out = append(out, parts...)
	}
	for _, n := range needNames {
		if c.want.Need&n.cap != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

var needNames = [...]struct {
	cap  proxy.Caps
	name string
}{
	{proxy.NeedForward, "need=forward"}, {proxy.NeedTunnel, "need=tunnel"}, {proxy.NeedTunnelAny, "need=tunnel_any"},
	{proxy.NeedRemoteDNS, "need=remote_dns"}, {proxy.NeedIPv6, "need=ipv6"},
}

func pickResult(err error) string {
	switch err {
	case proxy.ErrSessionLost:
		return "session_lost"
	}
	return "none"
}
