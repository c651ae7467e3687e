package scraper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

const (
	// startSpread is the time after the start within which every source has
	// its first turn.
	startSpread = 3 * time.Second

	// tick is the longest time between two looks at the plan, so that a clock
	// that was set and a folder that changed are noticed.
	tick = 10 * time.Second

	// jitterPart of an interval, at most maxJitter, is added at random.
	jitterPart = 10
	maxJitter  = 2 * time.Minute

	// A source that failed is tried again after retryFirst (or its interval,
	// if that is shorter), then after twice that and so on up to retryMost (or
	// its interval, if that is longer).
	retryFirst = 30 * time.Second
	retryMost  = 6 * time.Hour
)

// Run reads every enabled source soon after the start and then when it is due,
// until ctx ends; it waits for running fetches and returns nil. It may run once
// at a time.
func (s *Scraper) Run(ctx context.Context) error {
	if !s.start() {
		return errors.New("the scraper is running already")
	}
	defer s.stop()
	var runs sync.WaitGroup
	defer runs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			s.refresh(ctx)
		case <-s.wake:
		}
		ready, wait := s.due()
		for _, st := range ready {
			runs.Go(func() { s.scheduled(ctx, st) })
		}
		timer.Reset(wait)
	}
}

// start plans the first turns; false when Run runs already.
func (s *Scraper) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return false
	}
	s.running = true
	s.clock = s.now()
	s.dismissStale()
	for _, st := range s.states {
		st.next = time.Time{}
		s.begin(st, s.clock)
	}
	return true
}

// stop forgets the plan and closes what is idle; Run has waited for the rest.
func (s *Scraper) stop() {
	s.mu.Lock()
	s.running = false
	for _, st := range s.states {
		st.next = time.Time{}
	}
	s.mu.Unlock()
	s.web.closeIdle()
}

// begin plans the first turn of a source that has none: at once for a file, soon
// for a list elsewhere, later when the run before a restart has to be waited
// for. The caller holds mu.
func (s *Scraper) begin(st *state, now time.Time) {
	if !st.on || !st.next.IsZero() {
		return
	}
	st.next = now
	if st.src.File == "" {
		st.next = now.Add(s.env.Jitter(startSpread))
	}
	if st.memo.NotBefore.After(st.next) && st.memo.NotBefore.Before(now.Add(maxHold)) {
		st.next = st.memo.NotBefore
	}
}

// due returns the sources whose turn it is, plans their next turns, and says
// how long to wait then. The next turn is planned before the run, so a run that
// takes longer than its interval loses turns instead of piling them up.
func (s *Scraper) due() (ready []*state, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	setBack := now.Before(s.clock.Add(-tick))
	s.clock = now
	wait = tick
	for _, st := range s.states {
		if !st.on || st.next.IsZero() {
			continue
		}
		if setBack && st.next.After(s.plan(st, now)) {
			st.next = s.plan(st, now)
		}
		st.next = st.wakes(st.next)
		if !st.next.After(now) {
			ready = append(ready, st)
			st.next = s.plan(st, now)
		}
		wait = min(wait, st.next.Sub(now))
	}
	slices.SortFunc(ready, byYield)
	return ready, max(wait, time.Millisecond)
}

// plan returns the turn after now: what the schedule says, with a random delay
// so that not all of the world asks at the full minute, more seldom or more
// often as the source is worth. The caller holds mu.
func (s *Scraper) plan(st *state, now time.Time) time.Time {
	next := st.sched.Next(now)
	switch p := paceOf(st.memo.Last.Worth, s.isMirror(st)); {
	case p == paceSlow:
		for range slow - 1 {
			next = st.sched.Next(next)
		}
	case p == paceFast && !st.own:
		if every, ok := st.sched.(cron.ConstantDelaySchedule); ok && every.Delay > 2*time.Minute {
			next = now.Add(every.Delay / 2)
		}
	}
	if st.src.File != "" {
		return next
	}
	return next.Add(s.env.Jitter(min(gap(st.sched, now)/jitterPart, maxJitter)))
}

// isMirror reports whether another source gives what st would and is well. The
// caller holds mu.
func (s *Scraper) isMirror(st *state) bool {
	const troubled = 3 // failures in a row
	other := s.states[st.memo.Mirror]
	return other != nil && other.on && other.memo.Failures < troubled
}

// byYield sorts sources, those that gave the most working endpoints first.
func byYield(a, b *state) int {
	return cmp.Or(cmp.Compare(b.memo.Last.Worth.Yield(), a.memo.Last.Worth.Yield()), cmp.Compare(a.rank, b.rank))
}

// gap is the time between the next two turns of a schedule.
func gap(sched cron.Schedule, now time.Time) time.Duration {
	next := sched.Next(now)
	return max(sched.Next(next).Sub(next), time.Second)
}

// backOff is how long a source rests after the n-th failure in a row. Failures
// that may pass soon are retried sooner than the schedule says, others later.
func backOff(n int, every time.Duration, soon bool) time.Duration {
	d := every
	if soon {
		d = min(every, retryFirst)
	}
	most := max(every, retryMost)
	for range n - 1 {
		if d *= 2; d >= most {
			return most
		}
	}
	return min(d, most)
}

// scheduled runs a source whose turn it is, unless a run of it is under way:
// then this turn is lost. The run of a definition that was replaced meanwhile
// does not count: the new one waits for its end and then has its first run.
func (s *Scraper) scheduled(ctx context.Context, st *state) {
	select {
	case st.turn <- struct{}{}:
	default:
		if s.hasRun(st) || !s.await(ctx, st) {
			s.metrics.count(st.src.Name, "skipped")
			return
		}
	}
	defer s.release(ctx, st)
	err := s.guarded(ctx, st, false)
	if _, open := errors.AsType[openError](err); open {
		s.metrics.count(st.src.Name, "skipped")
		return
	}
	if err != nil && ctx.Err() == nil {
		s.complain(st, err)
	}
}

// await takes the turn of a source that has not run yet, and gives it back when
// the run that it waited for was the source's own after all.
func (s *Scraper) await(ctx context.Context, st *state) bool {
	select {
	case st.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if s.hasRun(st) {
		s.release(ctx, st)
		return false
	}
	return true
}

// hasRun reports whether this definition of a source was ever run.
func (s *Scraper) hasRun(st *state) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !st.memo.Last.LastRun.IsZero()
}

// complain logs a failure: an alarm and the first in a row louder than the rest.
func (s *Scraper) complain(st *state, err error) {
	s.mu.Lock()
	n := st.memo.Failures
	s.mu.Unlock()
	log := s.env.Log.Debug
	if n <= 1 || errors.Is(err, errAlarm) {
		log = s.env.Log.Warn
	}
	log("source failed", "source", st.src.Name, "failures", n, "error", plain(err))
}

// refresh reads the folder again when it has changed, and withdraws what has
// left. Looking costs one Stat per file; what lists hold is read only when they
// are run.
func (s *Scraper) refresh(ctx context.Context) {
	s.mu.Lock()
	cfg, sources, before := s.cfg, s.sources, s.dir
	s.mu.Unlock()
	if sources.Dir != "" {
		var look string
		if listDir(sources.Dir, &look); look != before {
			s.install(cfg, sources)
			s.poke()
		}
	}
	s.withdraw(ctx)
}
