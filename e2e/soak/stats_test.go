package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// series is n points over an hour: 100 at the start, growing by so much, with noise.
func series(n int, grows, noise float64, rng *rand.Rand) []point {
	var out []point
	for i := range n {
		at := time.Hour * time.Duration(i) / time.Duration(n)
		out = append(out, point{at, 100 + grows*at.Hours() + noise*rng.NormFloat64()})
	}
	return out
}

func TestSlope(t *testing.T) {
	t.Parallel()
	got, ok := slopeOf(series(3200, 10, 0, rand.New(rand.NewPCG(1, 1))), time.Hour)
	if want := 10.0 / 105; !ok || math.Abs(got.slope-want) > 1e-3 || got.high-got.low > 1e-6 {
		t.Errorf("a line that grows by 10 in an hour: %+v, want a slope of %v", got, want)
	}
	if _, ok := slopeOf(series(5, 0, 0, rand.New(rand.NewPCG(1, 1))), time.Hour); ok {
		t.Error("a slope of blocks without points")
	}
}

// TestSlopeInterval: about 95 of 100 intervals hold the true slope.
func TestSlopeInterval(t *testing.T) {
	t.Parallel()
	rng, hold, runs := rand.New(rand.NewPCG(2, 2)), 0, 2000
	for range runs {
		if got, _ := slopeOf(series(160, 0, 5, rng), time.Hour); got.low <= 0 && got.high >= 0 {
			hold++
		}
	}
	if part := float64(hold) / float64(runs); part < .93 || part > .97 {
		t.Errorf("%.3f of the intervals hold the true slope, want .95", part)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(99-i))
	}
	if got := quantile(d, .99); got != 99 {
		t.Errorf("quantile(0..99, .99) = %d, want 99", got)
	}
	if got := quantile(nil, .5); got != 0 {
		t.Errorf("quantile of nothing = %d", got)
	}
}
