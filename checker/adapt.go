package checker

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// The time-outs follow what live proxies need: nearly all of the dead say
// nothing, and every second less that they are waited for is a second for
// another candidate. Each limit is twice the 99th percentile of the successes, so
// that less than one in a thousand of the live is lost by it: of a lognormal
// distribution with the sigma that free proxies have, .75, 0.06 %. When proxies
// become slower, those that still pass move the percentile up to the limit, and
// the limit to twice of that.
const (
	adaptMin    = 50                     // successes without which nothing is known
	adaptFactor = 2                      // of the 99th percentile
	adaptAge    = time.Minute            // without a success after which nothing is known any more
	adaptHalve  = 4096                   // successes after which old ones count half
	adaptEvery  = 100 * time.Millisecond // how often limits are worked out anew

	// A connect is sent again after one second (RFC 6298 section 2): one packet may get lost.
	minConnect = 1500 * time.Millisecond
	// An answer may have to wait for two connects of the proxy's own.
	minAnswer = 2500 * time.Millisecond
)

// sketch is a histogram of times by powers of the fourth root of 2. Its zero value is empty.
type sketch struct {
	counts [sketchSize]uint32
	total  uint32
	last   time.Time // of the latest, monotonic
}

// sketchSize buckets reach from 1 ms to over ten minutes.
const sketchSize = 4 * 20

// add counts a time.
func (s *sketch) add(d time.Duration, now time.Time) {
	i := int(math.Ceil(4 * math.Log2(max(d.Seconds()*1000, 1))))
	s.counts[min(i, sketchSize-1)]++
	s.last = now
	if s.total++; s.total < adaptHalve {
		return
	}
	s.total = 0
	for i := range s.counts {
		s.counts[i] /= 2
		s.total += s.counts[i]
	}
}

// p99 returns what 99 % of the times do not exceed; not ok when too little is known.
func (s *sketch) p99(now time.Time) (time.Duration, bool) {
	if s.total < adaptMin || now.Sub(s.last) > adaptAge {
		return 0, false
	}
	above := s.total / 100
	for i := sketchSize - 1; i >= 0; i-- {
		if s.counts[i] > above {
			return time.Duration(math.Exp2(float64(i)/4) * float64(time.Millisecond)), true
		}
		above -= s.counts[i]
	}
	return 0, false
}

// limit returns how long to wait at most for what was counted, between least and most.
func (s *sketch) limit(now time.Time, least, most time.Duration) time.Duration {
	p, ok := s.p99(now)
	if !ok {
		return most
	}
	return min(max(adaptFactor*p, least), most)
}

// limits are the time-outs in force.
type limits struct {
	connect time.Duration // TCP to the proxy
	answer  time.Duration // TLS to the proxy, and its answer to what it is asked first

	of    *settings
	until time.Time // when they are worked out anew
}

// tempo learns how fast live proxies are. Its zero value knows nothing.
type tempo struct {
	now atomic.Pointer[limits]

	mu              sync.Mutex // protects the fields below
	connect, answer sketch
}

// learn counts the times of one that passed. Proxied is how long it took for the
// first answer of one that was asked to forward at once, 0 for others.
func (t *tempo) learn(p proxy.Phases, proxied time.Duration) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connect.add(p.Connect, now)
	for _, d := range []time.Duration{p.TLS, p.Handshake, proxied} {
		if d > 0 {
			t.answer.add(d, now)
		}
	}
}

// limits returns the time-outs for a candidate.
func (t *tempo) limits(s *settings) *limits {
	now := time.Now()
	l := t.now.Load()
	if l != nil && l.of == s && now.Before(l.until) {
		return l
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := &limits{of: s, until: now.Add(adaptEvery),
		connect: t.connect.limit(now, minConnect, s.cfg.ConnectTimeout), answer: t.answer.limit(now, minAnswer, s.cfg.Timeout)}
	t.now.Store(next)
	return next
}

// limitsFor returns the time-outs of one test: s.full, those of the configuration,
// when they are fixed, and for a proxy that is in use, which has earned them.
func (c *Checker) limitsFor(s *settings, live bool) *limits {
	if s.cfg.FixedTimeouts || live {
		return &s.full
	}
	return c.tempo.limits(s)
}

// elastic is a context that ends at a time-out that may change meanwhile: who
// began to wait before anything was known is not waited for any longer than others.
type elastic struct {
	context.Context
	cancel context.CancelCauseFunc
	began  time.Time
	most   func() time.Duration // that is waited, as it is known now
	timer  *time.Timer
}

// elasticLook is how often an elastic looks at its time-out, after the first time.
const elasticLook = 500 * time.Millisecond

// newElastic makes one for what began at a time. It looks at its time-out first when
// it has taken some time, which it has in any case. stop ends it.
func newElastic(ctx context.Context, began time.Time, first time.Duration, most func() time.Duration) *elastic {
	e := &elastic{began: began, most: most}
	e.Context, e.cancel = context.WithCancelCause(ctx)
	e.timer = time.AfterFunc(time.Hour, e.look)
	e.timer.Reset(first - time.Since(began)) // not sooner: look uses timer
	return e
}

// look ends the context when it is time.
func (e *elastic) look() {
	rest := e.most() - time.Since(e.began)
	switch {
	case e.Context.Err() != nil:
	case rest > 0:
		e.timer.Reset(min(rest, elasticLook))
	default:
		e.cancel(context.DeadlineExceeded)
	}
}

// Err says that it was the time.
func (e *elastic) Err() error {
	if errors.Is(context.Cause(e.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return e.Context.Err()
}

// stop ends the context and returns how long it took.
func (e *elastic) stop() time.Duration {
	e.timer.Stop()
	e.cancel(nil)
	return time.Since(e.began)
}

// step bounds a step that began at a time by the time-out that which selects, as it is while the step
// goes on, times n. The function it returns ends that.
func (t *try) step(ctx context.Context, began time.Time, n time.Duration, which func(*limits) time.Duration) (context.Context, func()) {
	if t.limits == &t.s.full {
		return t.budget.startAt(ctx, began, n*which(t.limits))
	}
	left := t.budget.left
	e := newElastic(ctx, began, min(left, n*which(&leastLimits)), func() time.Duration { return min(left, n*which(t.c.tempo.limits(t.s))) })
	return e, func() { t.budget.left -= e.stop() }
}

// sureAnswer is how long an answer is waited for in any case.
func (t *try) sureAnswer() time.Duration {
	if t.limits == &t.s.full {
		return t.limits.answer
	}
	return min(minAnswer, t.limits.answer)
}

// leastLimits is what every candidate has.
var leastLimits = limits{connect: minConnect, answer: minAnswer}

func connectLimit(l *limits) time.Duration { return l.connect }

func answerLimit(l *limits) time.Duration { return l.answer }
