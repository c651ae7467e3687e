package pool

import (
	"context"
	"sync"
	"time"
)

const (
	flushEvery = time.Second // verdicts are on disk two seconds later at most
	sweepEvery = time.Minute
	// lastWrite bounds the write at the end of Run.
	lastWrite = 30 * time.Second
)

// Run keeps the snapshot fresh, writes what is learnt and lets time have its
// effect, until ctx ends. Then it writes everything; the error is that of the
// last write.
func (p *Pool) Run(ctx context.Context) error {
	var tasks sync.WaitGroup
	tasks.Go(func() { p.every(ctx, rebuildEvery, p.refresh) })
	tasks.Go(func() { p.every(ctx, sweepEvery, p.minutely) })
	if p.env.Store != nil {
		tasks.Go(func() { p.every(ctx, flushEvery, p.writeBehind()) })
	}
	tasks.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	return p.Flush(last)
}

// minutely does what is too costly to be done every second.
func (p *Pool) minutely(ctx context.Context) {
	_ = p.sweep(ctx) // its only error is that of ctx
	p.keepRequests()
}

// every calls f again and again until ctx ends.
func (p *Pool) every(ctx context.Context, d time.Duration, f func(context.Context)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

// refresh makes a new snapshot when the latest does not show everything, or has
// scores that have faded.
func (p *Pool) refresh(context.Context) {
	if p.stale() || p.clock.now().Sub(p.snap.Load().made) > itemAge {
		p.rebuild()
	}
}

// maxPause bounds how long a store that can be written again goes unnoticed. A
// store that needs longer pauses between costly attempts keeps them itself.
const maxPause = 15 * time.Second

// writeBehind returns the flush that Run does. A store that fails is tried
// again with growing pauses, and complained about once.
func (p *Pool) writeBehind() func(context.Context) {
	var pause, left time.Duration
	return func(ctx context.Context) {
		if left -= flushEvery; left > 0 {
			return
		}
		err := p.save(context.WithoutCancel(ctx))
		switch {
		case err == nil && pause > 0:
			p.log.Info("the store can be written again")
			pause = 0
		case err != nil:
			if pause == 0 {
				p.log.Error("the store cannot be written; going on in memory", "error", err)
			}
			pause = min(max(2*pause, flushEvery), maxPause)
			left = pause
		}
	}
}
