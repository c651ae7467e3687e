package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// serverMetrics counts what belongs to no part.
type serverMetrics struct {
	reloads   *prometheus.CounterVec
	auditLost prometheus.Counter
}

// newRegistry makes the one registry, with what is known of the process.
func newRegistry() (*prometheus.Registry, *serverMetrics) {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := promauto.With(r)
	f.NewGaugeVec(prometheus.GaugeOpts{Name: "freeway_build_info", Help: "Always 1; the label holds the version."},
		[]string{"version"}).WithLabelValues(versionText()).Set(1)
	return r, &serverMetrics{
		reloads: f.NewCounterVec(prometheus.CounterOpts{Name: "freeway_config_reloads_total",
			Help: "Attempts to reload the configuration, by result: ok or failed."}, []string{"result"}),
		auditLost: f.NewCounter(prometheus.CounterOpts{Name: "freeway_audit_lost_total",
			Help: "Requests that are missing in the audit log because it was too slow or could not be written."}),
	}
}

// reloaded counts an attempt to reload the configuration.
func (m *serverMetrics) reloaded(ok bool) {
	result := "failed"
	if ok {
		result = "ok"
	}
	m.reloads.WithLabelValues(result).Inc()
}
