package checker

import (
	"context"
	"slices"
	"sync"

	"freeway/proxy"
)

// errand is a use of a proxy that does not depend on others. Run is called with a
// try of its own, beside other errands. In order, again then says whether it is run
// once more, alone, and take takes what came of it.
type errand struct {
	run    func(ctx context.Context, u *try)
	again  func(r *result) bool
	take   func(r *result)
	canary bool // it counts only if plain HTTP works
	target bool // of several, all are taken, also after one that failed the check
}

// errands are those of one proxy. Its zero value has none.
type errands struct {
	all    []errand
	pages  *examiner // whose canary pages are asked for; nil: nobody's
	group  *sync.WaitGroup
	cancel context.CancelFunc
	failed []any // what run panicked with
}

// maxErrands is how many errands one proxy is used for at the same time: about
// what a browser asks of it. Several at a time some may not bear; see again.
// All checks together have an eighth of their number under way, which the
// division of the limit on open files has room for.
const maxErrands = 6

// errandsFor is how many errands may be under way beside so many checks.
func errandsFor(concurrency int) int { return max(maxErrands, concurrency/8) }

// errands makes up those that are due, for a proxy whose tunnel, plain HTTP or both
// work. The judge is the one that is asked for pages by plain HTTP, nil for none.
func (t *try) errands(tunnel *step, plain *examiner) errands {
	pages := t.pages(plain)
	return errands{pages: pages, all: slices.Concat(t.canaries(pages), t.otherPorts(tunnel), t.sixth(tunnel), t.reachTargets())}
}

// start begins with all.
func (e *errands) start(ctx context.Context, t *try) {
	if len(e.all) == 0 {
		return
	}
	ctx, e.cancel = context.WithCancel(ctx)
	e.group, e.failed = new(sync.WaitGroup), make([]any, len(e.all))
	own := make(chan struct{}, maxErrands)
	for i, x := range e.all {
		u := *t
		u.unsure = false // it has spoken the protocol
		u.budget.more()  // every one has its own time, as the judge's had
		e.group.Go(func() {
			defer func() { e.failed[i] = recover() }()
			for _, turn := range []chan struct{}{own, t.s.errands} {
				select {
				case turn <- struct{}{}:
					defer func() { <-turn }()
				case <-ctx.Done(): // run says so
				}
			}
			x.run(ctx, &u)
		})
	}
}

// wait waits for all, and goes on with a panic of one.
func (e *errands) wait() {
	if e.group == nil {
		return
	}
	e.group.Wait()
	for _, p := range e.failed {
		passOn(p)
	}
}

// end ends those that still run, which nobody takes.
func (e *errands) end() {
	if e.group != nil {
		e.cancel()
		e.wait()
	}
}

// take waits for all and takes the results in order.
func (e *errands) take(ctx context.Context, t *try, r *result) {
	e.wait()
	taken := false // the one before, and it was a target
	for _, x := range e.all {
		if x.canary && r.plain == nil {
			continue // plain HTTP does not work, so nobody will send pages this way
		}
		if taken = r.passed() || x.target && taken; taken {
			if x.again(r) {
				t.budget.more()
				x.run(ctx, t)
			}
			x.take(r)
		}
		taken = taken && x.target
	}
}

// again reports whether an errand that failed so is done again, alone: several at the
// same time, or one connection more, may have been too many for the proxy. What
// was changed on the way was, and a port that is denied is.
func (f *fault) again() bool {
	return f != nil && f.class != proxy.Tampered && f.class != proxy.PortDenied && f.class != proxy.Canceled
}
