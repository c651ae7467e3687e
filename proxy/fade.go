package proxy

import (
	"math"
	"time"
)

// fade is what is left of evidence after some time: of counts, of whether the
// endpoint is on, and of its kind. 0 to 1.
type fade struct{ counts, on, kind float64 }

// Lists score 100,000 entries for one page, and three exponentials are half of a
// score. A time in seconds is split into 1,024ths and a rest, so that two small
// tables know all up to 12 days.
const fadeBits = 10

var (
	fadeSeconds = fadeTable(1)
	fadeBlocks  = fadeTable(1 << fadeBits)
)

// fadeTable knows what is left after 0, step, 2*step, ... seconds.
func fadeTable(step int) *[1 << fadeBits]fade {
	t := new([1 << fadeBits]fade)
	for i := range t {
		t[i] = fadeExactly(float64(i * step))
	}
	return t
}

// fadeExactly is the definition.
func fadeExactly(seconds float64) fade {
	half := func(life time.Duration) float64 { return math.Exp2(-seconds / life.Seconds()) }
	return fade{half(HalfLife), math.Exp(-seconds / mixing.Seconds()), half(typeHalfLife)}
}

// fadeAfter returns what is left after some seconds.
func fadeAfter(seconds uint32) fade {
	if seconds >= 1<<(2*fadeBits) {
		return fadeExactly(float64(seconds))
	}
	a, b := &fadeBlocks[seconds>>fadeBits], &fadeSeconds[seconds&(1<<fadeBits-1)]
	return fade{a.counts * b.counts, a.on * b.on, a.kind * b.kind}
}
