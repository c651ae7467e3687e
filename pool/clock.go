package pool

import (
	"sync/atomic"
	"time"
)

// clock tells the time of the pool: it never runs backwards, and goes by the
// monotonic clock between two looks at the wall, so that ages, sessions and
// due times survive a wall clock that is set back. A wall clock that is ahead
// (set forward, or the machine slept) is followed.
type clock struct {
	read func() time.Time
	base time.Time    // wall and monotonic reading at the start
	skew atomic.Int64 // nanoseconds to add; only grows
	last atomic.Int64 // Unix nanoseconds that were told last
}

// leap is how far the wall clock must be ahead before it is followed; less is
// what clocks that are kept in time by small corrections do.
const leap = 2 * time.Second

// newClock starts a clock at what read says; nil is the system's.
func newClock(read func() time.Time) *clock {
	if read == nil {
		read = time.Now
	}
	return &clock{read: read, base: read()}
}

// now returns the time of the pool, without a monotonic reading.
func (c *clock) now() time.Time {
	t := c.read()
	skew := c.skew.Load()
	ours := c.base.UnixNano() + int64(t.Sub(c.base)) + skew // by the monotonic clock, when both readings have it
	if ahead := t.UnixNano() - ours; ahead > int64(leap) {
		c.skew.CompareAndSwap(skew, skew+ahead)
		ours = t.UnixNano()
	}
	for {
		last := c.last.Load()
		if ours <= last {
			return time.Unix(0, last)
		}
		if c.last.CompareAndSwap(last, ours) {
			return time.Unix(0, ours)
		}
	}
}

// seconds is t as the compact records keep it; the zero time is 0.
func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Unix(), 0), 1<<32-1))
}

// instant is the time that seconds made; 0 is the zero time.
func instant(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

// millis is t as due times are kept; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
