package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	pools, all := p.targets.reaching(&want, now)
	if len(pools) == 0 {
		return proxy.Lease{}, p.targetDown(&want)
	}
	if want.Session == (proxy.SessionKey{}) { // one has its exit, in whatever pool
		want.Pools = pools
	}
	s := p.current(now)
	if p.panicky(s, &want) { // few are left, and which of them work is all that counts
		s = p.newest(s, now)
	}
	it, why, err := p.pickFrom(s, &want, now)
	if again := p.second(s, err, now); again != nil {
		it, why, err = p.pickFrom(again, &want, now)
	}
	if !all && errors.Is(err, proxy.ErrNone) {
		return proxy.Lease{}, p.targetDown(&want)
	}
	if err != nil {
		p.metrics.picks.WithLabelValues(pickResult(err)).Inc()
		p.rates.misses.add(now, 1)
		return proxy.Lease{}, err
	}
	if it.slot.inflight.Load() >= maxLoad {
		p.metrics.busy.Inc()
	}
	p.metrics.picked.Inc()
	p.rates.picks.add(now, 1)
	return p.lease(it, why, want.Session), nil
}

// targetDown says that all pools that could serve cannot reach the target.
func (p *Pool) targetDown(want *proxy.Want) error {
	p.metrics.picks.WithLabelValues("target_down").Inc()
	return fmt.Errorf("%s: %w", want.Target, proxy.ErrTargetDown)
}

// lease counts a use of the item until it is closed.
func (p *Pool) lease(it *item, why string, session proxy.SessionKey) proxy.Lease {
	l := &lease{p: p, it: it}
	if session != (proxy.SessionKey{}) {
		l.session = new(session)
	}
	it.slot.inflight.Add(1)
	it.slot.uses.Add(1)
	return proxy.Lease{Entry: it.entry, Why: why, Report: l.report, Close: l.close}
}

type lease struct {
	p        *Pool
	it       *item
	session  *proxy.SessionKey // nil: none
	reported atomic.Bool
	closed   atomic.Bool
}

// report tells the pool how the use went; only the first word counts.
func (l *lease) report(o proxy.Outcome) {
	if l.reported.Swap(true) {
		return
	}
	o.Endpoint = l.it.entry.Endpoint
	if o.Origin == 0 {
		o.Origin = proxy.FromTraffic
	}
	weight := l.p.observe(o, l.it.entry.Pool, l.it.exit)
	if l.session != nil {
		l.p.sessions.used(*l.session, l.it.exit, &o, weight)
	}
	if weight > 0 || o.Class == proxy.OK {
		l.p.calibration.uses.add(l.it.entry.Score, o.Class == proxy.OK)
	}
}

// close ends the use; once is enough.
func (l *lease) close() {
	if !l.closed.Swap(true) {
		l.it.slot.inflight.Add(-1)
	}
}

// second returns the snapshot in which to look again after a Pick from s had
// that error, nil for none. That a session's exit is lost is said once: to look
// again would find the session free, and move it without a word.
func (p *Pool) second(s *snapshot, err error, now time.Time) *snapshot {
	if err == nil || errors.Is(err, errLostNow) {
		return nil
	}
	if again := p.newest(s, now); again != s {
		return again
	}
	return nil
}

// pickFrom picks from a snapshot, for a session or freely.
func (p *Pool) pickFrom(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	if want.Session != (proxy.SessionKey{}) {
		return p.pickSession(s, want, now)
	}
	return p.choose(s, want, now)
}

// choose picks freely: from the first of the wanted pools that has something
// eligible. Where all exits failed at the target, if it has not banned them, one of them is tried
// all the same: when they fail by chance, or only by what is asked, that is better than nothing.
func (p *Pool) choose(s *snapshot, want *proxy.Want, now time.Time) (*item, string, error) {
	c := choice{p: p, want: *want, now: now}
	if want.Target.Domain != "" {
		c.target = p.targets.get(want.Target.Domain)
	}
	for {
		for _, name := range poolsOf(want) {
			l := s.labels[name]
			if l == nil {
				continue
			}
			c.panic = p.panics(s, l)
			for _, c.crowd = range []bool{false, true} {
				if it, why := c.from(l); it != nil && c.take(it) {
					return it, why, nil
				}
			}
		}
		if c.need || c.target == nil {
			return nil, "", c.none(s)
		}
		c.need = true
	}
}

// take begins the rest of the item's exit, where it has to rest. It reports
// false when somebody else was faster.
func (c *choice) take(it *item) bool {
	if c.want.MinInterval <= 0 || c.want.Target.Domain == "" {
		return true
	}
	return c.p.targets.make(c.want.Target.Domain, c.now).take(it.exit, c.want.MinInterval, c.now)
}

// poolsOf returns the labels to pick from, in order.
func poolsOf(want *proxy.Want) []string {
	if len(want.Pools) > 0 {
		return want.Pools
	}
	return publicOnly
}

// publicOnly are the pools of a want that names none.
var publicOnly = []string{proxy.PublicPool}

// panics reports whether so many endpoints were ejected by traffic that the
// fault is probably elsewhere, and ejections do not count.
func (p *Pool) panics(s *snapshot, l *label) bool {
	left := l.live - int(p.ejections.Load()-s.ejections)
	return l.recent > left && left < max(5, l.recent/10)
}

// panicky reports whether panics does for a pool that is wanted.
func (p *Pool) panicky(s *snapshot, want *proxy.Want) bool {
	return slices.ContainsFunc(poolsOf(want), func(name string) bool {
		l := s.labels[name]
		return l != nil && p.panics(s, l)
	})
}

// none says why there is nothing, with counts that lead to the cause.
func (c *choice) none(s *snapshot) error {
	e := &proxy.NoneError{RetryAfter: noneRetry}
	live, match, total := 0, 0, 0
	for i := range c.p.states {
		total += int(c.p.states[i].Load())
	}
	for _, name := range poolsOf(&c.want) {
		if l := s.labels[name]; l != nil {
			live += l.live
			match += len(l.view(&c.want.Filter, c.want.Need).items)
		}
	}
	switch pools := strings.Join(poolsOf(&c.want), ", "); {
	case c.p.states[proxy.Live].Load() == 0:
		e.Reason = fmt.Sprintf("0 live of %d known", total)
	case live == 0:
		e.Reason = fmt.Sprintf("0 live in pool %s; %d live of %d known", pools, c.p.states[proxy.Live].Load(), total)
	case c.want.MinInterval > 0 && c.soonest(s, e):
	case match == 0:
		e.Reason = fmt.Sprintf("0 live match; %d live before %s", live, strings.Join(c.conditions(), " "))
	default:
		e.Reason = fmt.Sprintf("%d live match, but all were tried already, failed lately, rest or are banned by the target", match)
	}
	return e
}

// soonest fills in when the first exit has rested that could be used but for that. It
// reports false when there is none.
func (c *choice) soonest(s *snapshot, e *proxy.NoneError) bool {
	rested := *c
	rested.want.MinInterval, rested.crowd = 0, true
	var first time.Time
	for it := range rested.usable(s, true) {
		if until := c.target.rests(it.exit); first.IsZero() || until.Before(first) {
			first = until
		}
	}
	if first.IsZero() {
		return false
	}
	c.resting(e, first, "all exits rest between two uses for the target, the first")
	return true
}

// resting fills in that the exit that is waited for has rested then.
func (c *choice) resting(e *proxy.NoneError, until time.Time, who string) {
	e.Rest = max(until.Sub(c.now), time.Millisecond)
	e.RetryAfter = e.Rest
	e.Reason = fmt.Sprintf("%s for another %v", who, e.Rest.Round(time.Millisecond))
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

// pickResult is the label of the metric for an error of Pick.
func pickResult(err error) string {
	if errors.Is(err, proxy.ErrSessionLost) {
		return "session_lost"
	}
	return "none"
}
