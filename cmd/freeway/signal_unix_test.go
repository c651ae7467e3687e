//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestReloadOnSignal: SIGHUP reads the configuration again. The test listens,
// too, so that the signal never ends the process.
func TestReloadOnSignal(t *testing.T) {
	hup := make(chan os.Signal, 10)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	r := serveFile(t, nothingWorks)
	eventually(t, "the signal reloads", func() bool {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-hup
		return counterOf(t, r, "ok") > 0
	})
}

// counterOf reads the number of reloads with a result.
func counterOf(t *testing.T, r *running, result string) float64 {
	t.Helper()
	all, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "freeway_config_reloads_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
