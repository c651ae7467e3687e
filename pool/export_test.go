package pool

import (
	"context"
	"time"

	"freeway/proxy"
)

// Step is what Next does without the waiting, for simulations: a job that is
// due or how long there is none.
func (p *Pool) Step() (proxy.Job, time.Duration) {
	job, wait, _ := p.next()
	return job, wait
}

// Minute is what Run does every minute.
func (p *Pool) Minute(ctx context.Context) error { return p.sweep(ctx) }

// Walks returns how many walks are remembered, and how many entries they showed.
func (p *Pool) Walks() (walks, shown int) {
	p.walks.mu.Lock()
	defer p.walks.mu.Unlock()
	return len(p.walks.byID), p.walks.shown
}

// PickAndRebuild is what Pick does until it has found nothing, with a new
// snapshot made meanwhile, and whether it would look again in that.
func (p *Pool) PickAndRebuild(want proxy.Want) (again bool, err error) {
	now := p.clock.now()
	s := p.current(now)
	if _, _, err = p.pickFrom(s, &want, now); err != nil {
		p.changes.Add(1)
		p.rebuild()
	}
	return p.second(s, err, now) != nil, err
}

// Behind reports whether a snapshot that has just been made and took a second would be
// made anew after a change.
func (p *Pool) Behind() bool {
	s := *p.rebuilt()
	s.took = time.Second
	p.changes.Add(1)
	return p.behind(&s, s.made)
}
