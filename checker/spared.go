package checker

import (
	"context"
	"fmt"
	"runtime/debug"

	"freeway/dial"
	"freeway/proxy"
)

// panicNote is that of a job whose check panicked.
const panicNote = "given back: the check panicked, which is a defect; the log has more"

// spared is examine, but a mistake in it costs this check alone: the job is
// given back unjudged.
func (c *Checker) spared(ctx context.Context, k *check) (v proxy.Verdict, d *doubt) {
	defer c.running.Add(-1)
	defer k.drop()
	lost := proxy.Verdict{Job: k.job, Notes: []string{panicNote}}
	if k.panicked {
		return lost, nil
	}
	defer c.recovered(func() { v, d = lost, nil })
	return c.examine(ctx, k)
}

// sendSpared is sendAhead, but a mistake in it costs this check alone.
func (c *Checker) sendSpared(ctx context.Context, k *check, scout *dial.Scout, resume func(quick bool)) (away, quick bool) {
	defer c.recovered(func() { k.panicked, away, quick = true, false, false })
	return k.sendAhead(ctx, scout, resume)
}

// askSpared is askDirectly, but a mistake in it only means that the judge does
// not answer.
func (c *Checker) askSpared(ctx context.Context, s *settings, e *examiner) (seen sightingOf, f *fault) {
	defer c.recovered(func() {
		f = &fault{stage: proxy.StageVerify, class: proxy.Garbage, why: "asking it panicked, which is a defect; the log has more"}
	})
	return c.askDirectly(ctx, s, e)
}

// recovered is deferred: it counts and logs a panic, and calls instead.
func (c *Checker) recovered(instead func()) {
	if p := recover(); p != nil {
		c.metrics.panics.Inc()
		c.log.Error("a check panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		instead()
	}
}
