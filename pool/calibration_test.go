package pool_test

import (
	"testing"

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
	if sum != 2 {
		t.Errorf("the metric counts %v uses, want 2", sum)
	}
}
