package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestWatchdog: what tunnels, other connections and checks need is no leak; what
// stays behind is.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	w := newWatchdog(nil)
	for _, step := range []struct {
		name                    string
		u                       usage
		goroutines, descriptors float64
	}{
		{"nothing runs", usage{40, 15, 0, 0, 0}, 0, 0},
		{"keep-alive connections", usage{60, 35, 0, 20, 0}, 0, 0},
		{"checks", usage{40, 35, 0, 0, 20}, 0, 0},
		{"tunnels", usage{240, 215, 100, 0, 0}, 2, 2},
		{"tunnels, others and checks", usage{250, 235, 100, 10, 10}, 2, 2},
		{"a goroutine left over by each", usage{340, 215, 100, 0, 0}, 3, 2},
		{"descriptors left over when all is quiet", usage{40, 45, 0, 0, 0}, 0, 30},
		{"less than ever before", usage{30, 15, 0, 0, 0}, 0, 0},
		{"then ten more are seen", usage{40, 15, 0, 0, 0}, 10, 0},
	} {
		if g, d := w.perTunnel(step.u); g != step.goroutines || d != step.descriptors {
			t.Errorf("%s: %v goroutines and %v descriptors per tunnel, want %v and %v", step.name, g, d, step.goroutines, step.descriptors)
		}
	}
}

func TestWatchdogMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	r.MustRegister(newWatchdog(func() usage { return usage{goroutines: 5, descriptors: openDescriptors()} }))
	all, err := r.Gather()
	if err != nil || len(all) == 0 {
		t.Fatalf("Gather = %v, %v", all, err)
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
