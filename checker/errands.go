package checker

import (
	"context"
	"slices"

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

// errands are those of one proxy. They belong to one goroutine; nil has none.
type errands struct {
	all    []errand
	pages  *examiner // whose canary pages are asked for; nil: nobody's
	ctx    context.Context
	cancel context.CancelFunc
	done   []chan struct{} // closed when it was run; nil: it was not begun
	failed []any           // what run panicked with
	own    int             // how many are under way or wait to be looked at
}

// maxErrands is how many errands one proxy is used for at the same time: about
// what a browser asks of it. Several at a time some may not bear; see again.
// All checks together have a quarter of their number under way beside each other,
// which the division of the limit on open files has room for. Where there is no
// place for one, the check runs it itself when it is its turn.
const maxErrands = 6

// errandsFor is how many errands may be under way beside so many checks.
func errandsFor(concurrency int) int { return max(maxErrands, concurrency/4) }

// errands makes up those that are due, for a proxy whose tunnel, plain HTTP or both
// work. The judge is the one that is asked for pages by plain HTTP, nil for none. end must follow.
func (t *try) errands(ctx context.Context, tunnel *step, plain *examiner) *errands {
	pages := t.pages(plain)
	e := &errands{pages: pages, all: slices.Concat(t.canaries(pages), t.otherPorts(tunnel), t.sixth(tunnel), t.reachTargets())}
	e.ctx, e.cancel = context.WithCancel(ctx)
	e.done, e.failed = make([]chan struct{}, len(e.all)), make([]any, len(e.all))
	e.start(t)
	return e
}

// start begins with as many as there are places for.
func (e *errands) start(t *try) {
	for i := range e.all {
		if e.done[i] != nil {
			continue
		}
		if e.own == maxErrands {
			return
		}
		select {
		case t.s.errands <- struct{}{}:
		default:
			return
		}
		e.own++
		done := make(chan struct{})
		e.done[i] = done
		u := t.fork()
		go func() {
			defer close(done)
			defer func() { <-u.s.errands }()
			defer func() { e.failed[i] = recover() }()
			e.all[i].run(e.ctx, u)
		}()
	}
}

// fork returns a try of the same proxy that has time of its own, as the judge's had.
func (t *try) fork() *try {
	u := *t
	u.unsure = false // it has spoken the protocol
	u.budget.more()
	return &u
}

// get has errand i run, here if it was not begun, and goes on with a panic of it.
func (e *errands) get(t *try, i int) {
	if e.done[i] == nil {
		e.done[i] = make(chan struct{})
		defer close(e.done[i])
		e.all[i].run(e.ctx, t.fork())
		return
	}
	<-e.done[i]
	e.own--
	p := e.failed[i]
	e.failed[i] = nil
	passOn(p)
}

// wait waits for those that were begun.
func (e *errands) wait() {
	for _, done := range e.done {
		if done != nil {
			<-done
		}
	}
}

// end ends those that still run, which nobody takes, and goes on with a panic of one.
func (e *errands) end() {
	if e == nil {
		return
	}
	e.cancel()
	e.wait()
	for _, p := range e.failed {
		passOn(p)
	}
}

// take takes the results in order.
func (e *errands) take(t *try, r *result) {
	taken := false // the one before, and it was a target
	for i, x := range e.all {
		if x.canary && r.plain == nil {
			continue // plain HTTP does not work, so nobody will send pages this way
		}
		if taken = r.passed() || x.target && taken; taken {
			e.start(t)
			e.get(t, i)
			if x.again(r) {
				e.wait() // so that it is alone
				t.budget.more()
				x.run(e.ctx, t)
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
