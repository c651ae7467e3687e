package lab_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

// figures of a schedule over several upstreams.
func figures(kind lab.Behaviour, upstreams, sweeps int) (up float64, runs []int) {
	n := 0
	for seed := range uint64(upstreams) {
		run := 0
		for _, u := range append(lab.Ups(kind, seed, sweeps), false) {
			if u {
				n++
				run++
			} else if run > 0 {
				runs = append(runs, run)
				run = 0
			}
		}
	}
	slices.Sort(runs)
	return float64(n) / float64(upstreams*sweeps), runs
}

// TestSchedules compares with the population model that the schedules follow.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind     lab.Behaviour
		low, top float64 // part of the sweeps that pass
	}{
		{lab.Stable, 0.92, 0.98},      // 0.97, and a few have left
		{lab.OnOff, 0.25, 0.33},       // 0.42 on, of which 5/7.2 pass
		{lab.Flapping, 0.025, 0.045},  // 0.8/24.8, and a little more right after a pass
		{lab.OneShot, 1. / 121, .009}, // one of 120
	} {
		got, runs := figures(tt.kind, 1000, 120)
		if got < tt.low || got > tt.top {
			t.Errorf("%s: up in %.4f of the sweeps, want %.4f to %.4f", tt.kind, got, tt.low, tt.top)
		}
		if tt.kind == lab.Flapping && runs[len(runs)/2] != 1 {
			t.Errorf("flapping: the median run has %d sweeps, want 1", runs[len(runs)/2])
		}
	}
}

func TestScheduleDoesNotDependOnQuestions(t *testing.T) {
	t.Parallel()
	var often []time.Duration
	for i := range 600 {
		often = append(often, time.Duration(i)*time.Second)
	}
	for _, kind := range []lab.Behaviour{lab.Stable, lab.OnOff, lab.Flapping, lab.OneShot} {
		for seed := range uint64(20) {
			a, as := lab.UpAt(kind, seed, 60, often...)
			b, bs := lab.UpAt(kind, seed, 60, often[len(often)-1])
			if a[len(a)-1] != b[0] || as[len(as)-1] != bs[0] {
				t.Errorf("%s %d: asked often %v since %s, asked once %v since %s", kind, seed, a[len(a)-1], as[len(as)-1], b[0], bs[0])
			}
		}
	}
}

func TestScheduleSaysSinceWhen(t *testing.T) {
	t.Parallel()
	var at []time.Duration
	for i := range 2000 {
		at = append(at, time.Duration(i)*time.Second)
	}
	up, since := lab.UpAt(lab.OnOff, 5, 60, at...)
	for i := 1; i < len(up); i++ {
		if up[i] != up[i-1] && (since[i] > at[i] || since[i] <= at[i-1]) {
			t.Errorf("it changes between %s and %s, but says since %s", at[i-1], at[i], since[i])
		}
		if up[i] == up[i-1] && since[i] != since[i-1] {
			t.Errorf("since changes at %s without a change", at[i])
		}
	}
}

func TestSpeed(t *testing.T) {
	t.Parallel()
	slow, _ := lab.UpAt(lab.OnOff, 9, 1, 0, 12*time.Hour, 24*time.Hour, 36*time.Hour)
	fast, _ := lab.UpAt(lab.OnOff, 9, 3600, 0, 12*time.Second, 24*time.Second, 36*time.Second)
	if !slices.Equal(slow, fast) {
		t.Errorf("at speed 3600 it is up %v, at speed 1 %v", fast, slow)
	}
}

// TestScheduledTraffic: ground truth and traffic agree, in both states.
func TestScheduledTraffic(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Seed: 11, Upstreams: 200, Mix: []lab.Share{{Behaviour: lab.OnOff, Weight: 1, Protocols: []proxy.Protocol{proxy.HTTP}}}})
	var wg sync.WaitGroup
	ups := 0
	for _, tr := range l.Truth()[:60] {
		if tr.Up == tr.UpSince.IsZero() {
			t.Errorf("%s is up: %v, since %s", tr.Endpoint, tr.Up, tr.UpSince)
		}
		c := through(t, l, tr.Endpoint, "")
		if c.Timeout = time.Second; tr.Up {
			c.Timeout = 20 * time.Second
			ups++
		}
		wg.Go(func() {
			res, _, err := get(c, l.HTTPTarget()+"/status/200")
			if ok := err == nil && res.StatusCode == 200; ok != tr.Up {
				t.Errorf("%s is up: %v, but a request gives %v", tr.Endpoint, tr.Up, err)
			}
		})
	}
	wg.Wait()
	if ups == 0 || ups == 60 {
		t.Errorf("%d of 60 are up, want some", ups)
	}
}
