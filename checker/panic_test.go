package checker_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// TestThreat92AWorkerPanics: a mistake in a check costs that check alone. The
// job is given back unjudged, the panic is counted, and the workers go on.
func TestThreat92AWorkerPanics(t *testing.T) {
	t.Parallel()
	const bad = 6
	var poison atomic.Value
	poison.Store("")
	guard := loopback.Guard(t)
	reg := prometheus.NewRegistry()
	q := newQueue()
	b := newBench(t, withQueue(q), workers(2), func(_ *checker.Config, e *checker.Env) {
		e.Metrics = reg
		e.Dialer = dial.New(dial.Config{}, dial.Env{Policy: labPolicy, Roots: e.Roots, Control: func(network, addr string, c syscall.RawConn) error {
			if addr == poison.Load() {
				panic("a mistake")
			}
			return guard(network, addr, c)
		}})
	})
	worse, good := b.add(t, lab.Upstream{}), b.add(t, lab.Upstream{})
	poison.Store(worse.Address())
	for range bad {
		q.jobs = append(q.jobs, jobOf(worse))
	}
	q.jobs = append(q.jobs, jobOf(good), jobOf(good))
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	given, passed := 0, 0
	for _, v := range q.verdicts {
		switch {
		case v.Job.Entries[0].Endpoint == good && len(v.Outcomes) == 1 && v.Outcomes[0].Class == proxy.OK:
			passed++
		case len(v.Outcomes) == 0 && anyNote(v, "panicked"):
			given++
		}
	}
	if given != bad || passed != 2 {
		t.Errorf("%d were given back and %d passed, want %d and 2", given, passed, bad)
	}
	if s := b.Status(); s.Running != 0 {
		t.Errorf("%d checks are still counted as running", s.Running)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "freeway_check_panics_total" && f.GetMetric()[0].GetCounter().GetValue() != bad {
			t.Errorf("%v panics are counted, want %d", f.GetMetric(), bad)
		}
	}
}

// TestThreat92AskingAJudgePanics: the judge counts as down, and is asked again.
func TestThreat92AskingAJudgePanics(t *testing.T) {
	t.Parallel()
	var sound atomic.Bool
	guard := loopback.Guard(t)
	b := newBench(t, func(_ *checker.Config, e *checker.Env) {
		e.Control = func(network, addr string, c syscall.RawConn) error {
			if !sound.Load() {
				panic("a mistake")
			}
			return guard(network, addr, c)
		}
	})
	ep := b.add(t, lab.Upstream{})
	if v := b.Check(context.Background(), jobOf(ep)); len(v.Outcomes) != 0 || b.Status().Judges[0].Up {
		t.Errorf("judged without a judge: %+v", v)
	}
	sound.Store(true)
	if _, o := b.one(t, ep); o.Class != proxy.OK {
		t.Errorf("afterwards: %v, want ok", o.Class)
	}
}
