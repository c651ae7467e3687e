package proxy_test

import (
	"math"
	"testing"
	"time"

	"freeway/proxy"
)

// TestScoreFades compares scores with those that the formulas give, over the
// whole range of times, also where the tables end.
func TestScoreFades(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	h := proxy.Health{}.Observe(start, true, 1).Observe(start.Add(time.Minute), true, 1).Observe(start.Add(2*time.Minute), false, 1)
	for seconds := range int64(3000) {
		d := seconds * seconds / 2 // to 52 days
		now := start.Add(2*time.Minute + time.Duration(d)*time.Second)
		half := math.Exp2(-float64(d) / proxy.HalfLife.Seconds())
		want := float64(h.OK+h.Fail) * half
		if got := h.Weight(now); math.Abs(got-want) > 1e-6*want {
			t.Fatalf("after %d s the weight is %v, want %v", d, got, want)
		}
		up := 0.42 + (float64(h.Up)-0.42)*math.Exp(-float64(d)/(97*60))
		if got := h.On(now); math.Abs(got-up) > 1e-6 {
			t.Fatalf("after %d s On is %v, want %v", d, got, up)
		}
	}
}
