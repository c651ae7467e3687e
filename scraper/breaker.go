package scraper

import (
	"context"
	"errors"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/sony/gobreaker/v2"
)

const (
	// tripAfter failures in a row a source is left alone, until breakerRest has
	// passed; then one run decides. The back-off is never shorter than that, so
	// what the breaker keeps away is what would come sooner: a reload, a source
	// that is switched on again, a clock that is set.
	tripAfter   = 3
	breakerRest = time.Minute
)

// breaker is the circuit breaker of one source or host.
type breaker = gobreaker.TwoStepCircuitBreaker[struct{}]

// newBreaker makes one that opens after so many failures in a row, for rest. An
// error that is the end of a context says nothing.
func newBreaker(failures uint32, rest time.Duration) *breaker {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     rest,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errUnsaid) },
	})
}

// errUnsaid ends a use of a breaker that says nothing about the other side.
var errUnsaid = errors.New("nothing was found out")

// sourceBreaker makes the breaker of a source that is read by a schedule.
func sourceBreaker(sched cron.Schedule, now time.Time) *breaker {
	rest := breakerRest
	if sched != nil {
		rest = min(rest, backOff(tripAfter, gap(sched, now), true))
	}
	return newBreaker(tripAfter, rest)
}

// openError says that a source is left alone.
type openError struct{ err error }

func (e openError) Error() string {
	return "the source failed again and again and is left alone for now"
}
func (e openError) Unwrap() error { return e.err }

// guarded is run behind the breaker of the source. insist runs it even when
// that is open, as somebody who asks for it wants; when that goes well the
// breaker is closed.
func (s *Scraper) guarded(ctx context.Context, st *state, insist bool) error {
	s.mu.Lock()
	b := st.breaker
	s.mu.Unlock()
	done, shut := b.Allow()
	if shut != nil && !insist {
		return openError{shut}
	}
	err := s.run(ctx, st)
	switch {
	case shut != nil && err == nil:
		s.mu.Lock()
		st.breaker = sourceBreaker(st.sched, s.now())
		s.mu.Unlock()
	case shut != nil:
	case err != nil && ctx.Err() != nil:
		done(errUnsaid)
	default:
		done(err)
	}
	return err
}
