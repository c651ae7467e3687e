package gateway

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// gate bounds what one user or one client may do. It is safe for all
// goroutines; the zero value lets everybody through.
type gate struct {
	cfg     ClientLimits
	rate    *rate.Limiter // nil: no limit
	bytes   *bandwidth    // nil: no limit
	running atomic.Int64
}

// newLimiter makes a limiter of that many a second, nil for 0. Without a burst
// one second's worth may come at once.
func newLimiter(perSecond float64, burst int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	if burst == 0 {
		burst = int(min(max(math.Ceil(perSecond), 1), 1<<30))
	}
	return rate.NewLimiter(rate.Limit(perSecond), burst)
}

// set changes the limits and keeps the counts of those that stay. Nobody else
// may use them meanwhile.
func (l *gate) set(c ClientLimits) {
	if l.cfg.Rate != c.Rate || l.cfg.Burst != c.Burst {
		l.rate = newLimiter(c.Rate, c.Burst)
	}
	if l.cfg.Bandwidth != c.Bandwidth {
		l.bytes = l.bytes.become(c.Bandwidth)
	}
	l.cfg = c
}

// enter counts a request or refuses it. whose is for people. leave must be
// called when an admitted request ends.
func (l *gate) enter(now time.Time, whose string) *refusal {
	if n := l.running.Add(1); l.cfg.Concurrency > 0 && n > int64(l.cfg.Concurrency) {
		l.running.Add(-1)
		return &refusal{code: codeQuota, msg: "too many requests of this " + whose + " at a time", retryAfter: time.Second}
	}
	if wait := delay(l.rate, now); wait > 0 {
		l.running.Add(-1)
		return &refusal{code: codeQuota, msg: "too many requests of this " + whose, retryAfter: wait}
	}
	return nil
}

// leave ends a request that enter has counted.
func (l *gate) leave() { l.running.Add(-1) }

// delay takes a token, or takes none and returns how long until there is one.
func delay(l *rate.Limiter, now time.Time) time.Duration {
	if l == nil {
		return 0
	}
	r := l.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// idle reports whether nothing is lost when the limits are made anew.
func (l *gate) idle(now time.Time) bool {
	return l.running.Load() == 0 && (l.rate == nil || l.rate.TokensAt(now) >= float64(l.rate.Burst()))
}
