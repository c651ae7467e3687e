package pool_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/pool"
	"freeway/proxy"
)

// TestCalibration: each use is counted where its score was, and those that are
// nobody's fault are not counted.
func TestCalibration(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	p, found := livePool(t, pool.Config{}, pool.Env{Metrics: reg}, 5)
	e := pick(t, p, at(found[0].Endpoint, proxy.Target{})).Entry
	x := target(t, "shop.example")
	for _, class := range []proxy.Class{proxy.OK, proxy.Canceled, proxy.Banned, proxy.PortDenied} {
		use(t, p, at(e.Endpoint, x), outcome(class))
		p.Forgive("shop.example")
	}
	low := int(e.Score * 10)
	failed := pick(t, p, at(found[1].Endpoint, x))
	failed.Report(refused())
	failed.Report(outcome(proxy.OK)) // the first word counts
	got := p.Stats().Calibration
	if len(got) != 10 {
		t.Fatalf("%d rows, want 10", len(got))
	}
	uses, ok := 0, 0
	for i, c := range got {
		uses += c.Uses
		ok += c.OK
		if c.Low < 0 || c.High > 1 || c.High-c.Low < .0999 || c.OK > c.Uses || i > 0 && got[i-1].High != c.Low {
			t.Errorf("row %d = %+v", i, c)
		}
	}
	if uses != 2 || ok != 1 || got[low].Uses == 0 {
		t.Errorf("Calibration = %+v, want two uses, one of them good, in row %d", got, low)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == "freeway_score_calibration_total" {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	if shares := gauges(t, reg); shares["uses predicted"] == 0 || shares["uses observed"] == 0 {
		t.Errorf("freeway_score_calibration has %v, want what was predicted and observed", shares)
	}
	if sum != 2 {
		t.Errorf("the metric counts %v uses, want 2", sum)
	}
}

// gauges counts the series of freeway_score_calibration by what they are of.
func gauges(t *testing.T, reg *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, f := range families {
		if f.GetName() == "freeway_score_calibration" {
			for _, m := range f.GetMetric() {
				labels := map[string]string{}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				out[labels["of"]+" "+labels["value"]]++
			}
		}
	}
	return out
}

// TestCalibrationOfChecks: checks of live ones that come when they are due count,
// those that come right after something has happened do not.
func TestCalibrationOfChecks(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 2)
	checks := func() (n, passed int, mean float64) {
		for _, c := range p.Stats().Calibration {
			n += c.Checks
			passed += c.Passed
			mean += c.PredictedChecks
		}
		return n, passed, mean
	}
	now = now.Add(15 * time.Second)
	report(p, found[0].Endpoint, proxy.OK)
	if n, _, _ := checks(); n != 0 {
		t.Errorf("%d checks count 15 s after the one before, want 0", n)
	}
	now = now.Add(pool.DefaultRecheck)
	e, _ := p.Find(found[0].Endpoint)
	report(p, found[0].Endpoint, proxy.Timeout)
	if n, passed, mean := checks(); n != 1 || passed != 0 || math.Abs(mean-e.Score) > 1e-5 {
		t.Errorf("%d checks, %d passed, predicted %v; want 1, 0, %v", n, passed, mean, e.Score)
	}
	now = now.Add(pool.DefaultRecheck)
	report(p, found[0].Endpoint, proxy.OK) // it was not live
	if n, _, _ := checks(); n != 1 {
		t.Errorf("%d checks count, want that of a resting one not to", n)
	}
}

// TestGetSaysHowAndWhen: the history holds the score after each outcome, and the
// time of the next check is explained.
func TestGetSaysHowAndWhen(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 1)
	for _, step := range []struct {
		class proxy.Class
		next  string
	}{
		{proxy.OK, "5m0s after a check that passed"}, {proxy.Timeout, "15s after miss 1 of one that has lived"},
		{proxy.Timeout, "30s after miss 2"}, {proxy.Timeout, "1m0s after miss 3"}, {proxy.Timeout, "2m0s after miss 4"},
		{proxy.Timeout, "5m0s after miss 5"}, {proxy.Timeout, "10m0s after 6 misses in a row"}, {proxy.OK, "5m0s after a check that passed"},
	} {
		now = now.Add(time.Minute)
		report(p, found[0].Endpoint, step.class)
		d, ok := p.Get(found[0].Endpoint.ID())
		if !ok || !strings.HasPrefix(d.Next, step.next) {
			t.Errorf("after %v: Next = %q, want %q", step.class, d.Next, step.next)
		}
		if len(d.Scores) != len(d.History) || math.Abs(d.Scores[0]-d.Entry.Score) > 1e-6 {
			t.Errorf("after %v: Scores = %v, want one for each of %d, and the first %v", step.class, d.Scores, len(d.History), d.Entry.Score)
		}
	}
	fresh := candidates(t, "http://30.0.0.1:80")
	add(t, p, "list", fresh)
	if d, _ := p.Get(fresh[0].Endpoint.ID()); !strings.HasPrefix(d.Next, "never checked") {
		t.Errorf("Next of a new one = %q", d.Next)
	}
	p.CheckNow(fresh[0].Endpoint.ID())
	if d, _ := p.Get(fresh[0].Endpoint.ID()); !strings.HasPrefix(d.Next, "somebody asked") {
		t.Errorf("Next of one that was asked for = %q", d.Next)
	}
}
