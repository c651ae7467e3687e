package gateway

import (
	"context"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// retryPlan is Config.Retry ready for use, or that of a target's rule.
type retryPlan struct {
	Retry
	again map[int]bool // OnStatus
}

// targetRule is a TargetRule ready for use. Its counters are shared by all
// requests that it holds for.
type targetRule struct {
	cfg   TargetRule
	retry retryPlan
	pace  *rate.Limiter // nil: no limit
	slots chan struct{} // requests at a time; nil: no limit
}

// newRule makes a rule ready. What it leaves open holds as for other targets.
func newRule(c TargetRule, general Retry) *targetRule {
	plan := c.Retry
	or(&plan.Attempts, general.Attempts)
	or(&plan.BodyBuffer, general.BodyBuffer)
	orSlice(&plan.Methods, general.Methods)
	orSlice(&plan.OnStatus, general.OnStatus)
	r := &targetRule{cfg: c, retry: retryPlan{plan, setOf(plan.OnStatus)}}
	if c.Rate > 0 {
		r.pace = rate.NewLimiter(rate.Limit(c.Rate), 1) // evenly, not in bursts
	}
	if c.Concurrency > 0 {
		r.slots = make(chan struct{}, c.Concurrency)
	}
	return r
}

// newRules makes rules ready, by domain. Rules that are the same as before keep their counters.
func newRules(list []TargetRule, general Retry, old map[string]*targetRule) map[string]*targetRule {
	rules := map[string]*targetRule{}
	for _, c := range list {
		domain := ruleDomain(c.Domain)
		r := newRule(c, general)
		if before := old[domain]; before != nil {
			if before.cfg.Rate == c.Rate {
				r.pace = before.pace
			}
			if before.cfg.Concurrency == c.Concurrency {
				r.slots = before.slots
			}
		}
		rules[domain] = r
	}
	return rules
}

// ruleDomain is a configured domain as hosts are written.
func ruleDomain(s string) string { return strings.ToLower(strings.Trim(s, ".")) }

// ruleOf returns the rule with the longest domain that host is or is below of, nil for none.
func ruleOf(rules map[string]*targetRule, host string) *targetRule {
	for ok := len(rules) > 0; ok; _, host, ok = strings.Cut(host, ".") {
		if r := rules[host]; r != nil {
			return r
		}
	}
	return nil
}

// waiter gives the context of a wait, which ends when the client goes away, and
// what must be called when the wait is over.
type waiter func() (ctx context.Context, over func())

// enter waits for the target's turn, until latest at most, and refuses when
// that would be too soon. leave must be called when the request ends.
func (r *targetRule) enter(wait waiter, latest time.Time) (leave func(), ref *refusal) {
	if ref := r.takeSlot(wait, latest); ref != nil {
		return nil, ref
	}
	if ref := r.takeTurn(wait, latest); ref != nil {
		r.leave()
		return nil, ref
	}
	return r.leave, nil
}

// takeTurn waits as long as TargetRule.Rate asks for.
func (r *targetRule) takeTurn(wait waiter, latest time.Time) *refusal {
	if r.pace == nil {
		return nil
	}
	now := time.Now()
	turn := r.pace.ReserveN(now, 1)
	after := turn.DelayFrom(now)
	switch {
	case after <= 0:
		return nil
	case now.Add(after).After(latest):
		turn.CancelAt(now)
		return tooBusy(max(time.Second, after-latest.Sub(now)))
	}
	ctx, over := wait()
	defer over()
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		turn.Cancel()
		return errGone
	}
}

// tooBusy is the refusal of a target that has no turn left within the deadline:
// 503, which crawlers take for throttling, and not 429, which they take for a ban.
func tooBusy(wait time.Duration) *refusal {
	return &refusal{code: codeOverload, msg: "too many requests for this target (gateway.targets)", retryAfter: wait}
}

// takeSlot waits until fewer than TargetRule.Concurrency requests run.
func (r *targetRule) takeSlot(wait waiter, latest time.Time) *refusal {
	if r.slots == nil {
		return nil
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	ctx, over := wait()
	defer over()
	limit := time.NewTimer(time.Until(latest))
	defer limit.Stop()
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-limit.C:
		return tooBusy(time.Second)
	case <-ctx.Done():
		return errGone
	}
}

// leave gives the slot back.
func (r *targetRule) leave() {
	if r.slots != nil {
		<-r.slots
	}
}
