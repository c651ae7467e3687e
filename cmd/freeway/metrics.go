package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// serverMetrics counts what belongs to no part.
type serverMetrics struct {
	reloads  *prometheus.CounterVec
	reloadOK prometheus.Gauge
	reloadAt prometheus.Gauge
	pending  prometheus.Gauge

	staleSecrets prometheus.Gauge
	adminPanics  prometheus.Counter
}

// countersOf registers a counter that is kept elsewhere, a series for each value of a label.
func countersOf(reg prometheus.Registerer, name, help, label string, values map[string]func() uint64) {
	f := promauto.With(reg)
	for of, value := range values {
		f.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: prometheus.Labels{label: of}}, func() float64 { return float64(value()) })
	}
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
		reloadOK: f.NewGauge(prometheus.GaugeOpts{Name: "freeway_config_last_reload_successful",
			Help: "1 when the latest reload worked, or there was none; 0 when the configuration before it is still in force."}),
		reloadAt: f.NewGauge(prometheus.GaugeOpts{Name: "freeway_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration in force was read."}),
		pending: f.NewGauge(prometheus.GaugeOpts{Name: "freeway_config_restart_pending",
			Help: "Keys of the configuration file whose change waits for a restart."}),
		adminPanics: f.NewCounter(prometheus.CounterOpts{Name: "freeway_admin_panics_total",
			Help: "Requests to the admin listener that ended in a panic; the log has more."}),
		staleSecrets: f.NewGauge(prometheus.GaugeOpts{Name: "freeway_secrets_unreadable",
			Help: "Secrets whose file or variable cannot be read or is empty, so that the old value holds."}),
	}
}

// reloaded counts an attempt to reload the configuration, after which so many
// keys wait for a restart.
func (m *serverMetrics) reloaded(ok bool, pending int) {
	if !ok {
		m.reloads.WithLabelValues("failed").Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.inForce(pending)
}

// inForce notes that a configuration was taken up just now.
func (m *serverMetrics) inForce(pending int) {
	m.reloadOK.Set(1)
	m.reloadAt.SetToCurrentTime()
	m.pending.Set(float64(pending))
}
