package proxy_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freeway/proxy"
)

var epoch = time.Unix(1_800_000_000, 0)

type observation struct {
	after  time.Duration
	ok     bool
	weight float32
}

func drawObservations(t *rapid.T) []observation {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) observation {
		return observation{
			after:  time.Duration(rapid.Int64Range(-int64(time.Hour), int64(72*time.Hour)).Draw(t, "after")),
			ok:     rapid.Bool().Draw(t, "ok"),
			weight: rapid.Float32Range(-1, 3).Draw(t, "weight"),
		}
	}), 0, 60).Draw(t, "observations")
}

func replay(obs []observation) (proxy.Health, time.Time) {
	var h proxy.Health
	now := epoch
	for _, o := range obs {
		now = now.Add(o.after)
		h = h.Observe(now, o.ok, o.weight)
	}
	return h, now
}

func TestHealthIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, now := replay(drawObservations(t))
		prior := rapid.Float64().Draw(t, "prior")
		at := now.Add(time.Duration(rapid.Int64().Draw(t, "later")))
		if s := h.Score(at, prior); !(s >= 0 && s <= 1) {
			t.Fatalf("Score = %v, want 0 to 1", s)
		}
	})
}

func TestHealthIsMonotonic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, now := replay(drawObservations(t))
		prior := rapid.Float64Range(0, 1).Draw(t, "prior")
		w := rapid.Float32Range(0.01, 1).Draw(t, "weight")
		before := h.Score(now, prior)
		const eps = 1e-6
		if after := h.Observe(now, true, w).Score(now, prior); after < before-eps {
			t.Fatalf("a success lowered the score from %v to %v", before, after)
		}
		if after := h.Observe(now, false, w).Score(now, prior); after > before+eps {
			t.Fatalf("a failure raised the score from %v to %v", before, after)
		}
		if h.Score(now, min(prior+0.1, 1)) < before-eps {
			t.Fatal("a better prior lowered the score")
		}
	})
}

func TestHealthForgets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, now := replay(drawObservations(t))
		prior := rapid.Float64Range(0, 1).Draw(t, "prior")
		last := math.Abs(h.Score(now, prior) - prior)
		for range 20 {
			now = now.Add(3 * time.Hour)
			d := math.Abs(h.Score(now, prior) - prior)
			if d > last+1e-6 {
				t.Fatalf("without evidence the score moved away from the prior: %v to %v", last, d)
			}
			last = d
		}
		if now = now.Add(30 * 24 * time.Hour); math.Abs(h.Score(now, prior)-prior) > 0.01 {
			t.Fatalf("after a month the score is %v, want the prior %v", h.Score(now, prior), prior)
		}
	})
}

func TestHealthFollowsMeasurements(t *testing.T) {
	t.Parallel()
	// P(passes next | n passes in a row), sweeps 12 minutes apart, from public lists.
	for _, tt := range []struct {
		passes   int
		low, top float64
	}{{1, .18, .36}, {3, .5, .65}, {5, .65, .8}, {40, .88, 1}} {
		var h proxy.Health
		now := epoch
		for range tt.passes {
			now = now.Add(12 * time.Minute)
			h = h.Observe(now, true, 1)
		}
		if s := h.Score(now, proxy.DefaultPrior); s < tt.low || s > tt.top {
			t.Errorf("after %d passes the score is %.3f, want %.2f to %.2f", tt.passes, s, tt.low, tt.top)
		}
	}
}

func TestHealthIgnoresNonsense(t *testing.T) {
	t.Parallel()
	h := proxy.Health{}.Observe(epoch, true, float32(math.NaN())).Observe(epoch, true, -1).Observe(epoch, false, 0)
	if h != (proxy.Health{}) {
		t.Errorf("weights that are not positive changed %+v", h)
	}
	if s := h.Score(epoch, math.NaN()); s != proxy.DefaultPrior {
		t.Errorf("Score with no prior = %v, want %v", s, proxy.DefaultPrior)
	}
	if w := (proxy.Health{}).Observe(epoch, true, 5).Weight(epoch); w != 1 {
		t.Errorf("one observation weighs %v, want at most 1", w)
	}
	back := (proxy.Health{}).Observe(epoch, true, 1).Observe(epoch.Add(-time.Hour), true, 1)
	if back.OK != 2 || back.At != uint32(epoch.Unix()) {
		t.Errorf("a clock that went backwards gave %+v", back)
	}
}

func TestWorthYield(t *testing.T) {
	t.Parallel()
	if y := (proxy.Worth{}).Yield(); y != proxy.DefaultPrior {
		t.Errorf("unknown source yields %v, want %v", y, proxy.DefaultPrior)
	}
	if y := (proxy.Worth{Checked: 1000, EverLive: 500}).Yield(); y < .49 || y > .51 {
		t.Errorf("source with half live yields %v", y)
	}
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	later := start.Add(proxy.HalfLife)
	h := proxy.Health{}.Observe(start, true, 1).Observe(start, false, 1).Observe(later, true, 1)
	got, want := h.Withdraw(start, 1), proxy.Health{}.Observe(start, true, 1).Observe(later, true, 1)
	if math.Abs(float64(got.Fail-want.Fail)) > 1e-6 || got.OK != want.OK || got.At != want.At {
		t.Errorf("Withdraw = %+v, want %+v", got, want)
	}
	if got := h.Withdraw(later, 1); got.Fail != 0 {
		t.Errorf("Withdraw of more than there is leaves %v", got.Fail)
	}
	if got := h.Withdraw(later, float32(math.NaN())); got != h {
		t.Errorf("Withdraw of nothing = %+v, want %+v", got, h)
	}
}
