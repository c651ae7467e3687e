package main

import (
	"os"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// What one tunnel needs: a goroutine for each direction, a descriptor for each side.
const (
	tunnelGoroutines  = 2
	tunnelDescriptors = 2
)

// watchdog tells what each tunnel costs now, in goroutines and descriptors,
// which is constant as long as nothing leaks. What belongs to no tunnel is taken
// off: one of each for every other connection, a descriptor for every check, and
// the least that was ever left over, which is the rest of the process.
type watchdog struct {
	now                     func() usage
	goroutines, descriptors *prometheus.Desc

	mu    sync.Mutex // protects least
	least *usage     // of what was left over; nil: not known
}

// usage is how many there are of what may leak, and of what explains them.
type usage struct {
	goroutines, descriptors int // descriptors is 0 where they cannot be counted
	tunnels, others, checks int // others: connections of clients that are no tunnels
}

// watchLeaks registers the watchdog of a server whose gateway and checker are open.
func (s *server) watchLeaks() {
	s.registry.MustRegister(newWatchdog(func() usage {
		connections, tunnels, _ := s.gateway.Counts()
		return usage{runtime.NumGoroutine(), openDescriptors(), tunnels, max(0, connections-tunnels), s.checker.Status().Running}
	}))
}

// newWatchdog makes a watchdog that looks with now.
func newWatchdog(now func() usage) *watchdog {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("freeway_watchdog_"+name, help, nil, nil)
	}
	return &watchdog{now: now,
		goroutines:  desc("goroutines_per_tunnel", "Goroutines that nothing but the open tunnels explains, per tunnel; about 2, and more only when they leak. Without tunnels: all of them."),
		descriptors: desc("descriptors_per_tunnel", "Descriptors that nothing but the open tunnels explains, per tunnel; about 2, and more only when they leak. Without tunnels: all of them.")}
}

// Describe implements prometheus.Collector.
func (w *watchdog) Describe(out chan<- *prometheus.Desc) {
	out <- w.goroutines
	out <- w.descriptors
}

// Collect implements prometheus.Collector.
func (w *watchdog) Collect(out chan<- prometheus.Metric) {
	u := w.now()
	goroutines, descriptors := w.perTunnel(u)
	out <- prometheus.MustNewConstMetric(w.goroutines, prometheus.GaugeValue, goroutines)
	if u.descriptors > 0 {
		out <- prometheus.MustNewConstMetric(w.descriptors, prometheus.GaugeValue, descriptors)
	}
}

// perTunnel takes off what has nothing to do with tunnels.
func (w *watchdog) perTunnel(u usage) (goroutines, descriptors float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := usage{goroutines: u.goroutines - u.others, descriptors: u.descriptors - u.others - u.checks}
	rest := usage{goroutines: left.goroutines - tunnelGoroutines*u.tunnels, descriptors: left.descriptors - tunnelDescriptors*u.tunnels}
	if w.least == nil {
		w.least = &rest
	}
	w.least.goroutines = min(w.least.goroutines, rest.goroutines)
	w.least.descriptors = min(w.least.descriptors, rest.descriptors)
	n := float64(max(1, u.tunnels))
	return float64(left.goroutines-w.least.goroutines) / n, float64(left.descriptors-w.least.descriptors) / n
}

// openDescriptors counts the descriptors of this process, 0 where the system does
// not show them.
func openDescriptors() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, err := f.Readdirnames(-1)
		_ = f.Close()
		if err == nil {
			return max(0, len(names)-1) // without the one that looks
		}
	}
	return 0
}
