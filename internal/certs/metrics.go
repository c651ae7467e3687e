package certs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts for all keepers of a process. The labels are the listener
// and the configured names. A nil one counts nothing. Use NewMetrics.
type Metrics struct {
	expiry, refused *prometheus.GaugeVec
	reads           *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	labels := []string{"listener", "certificate"}
	return &Metrics{
		expiry: f.NewGaugeVec(prometheus.GaugeOpts{Name: "freeway_certificate_expiry_timestamp_seconds",
			Help: "When the certificate that is served expires, in Unix time."}, labels),
		refused: f.NewGaugeVec(prometheus.GaugeOpts{Name: "freeway_certificate_refused",
			Help: "1 while the files of a certificate, or the answer of the ACME authority, are refused and an older certificate, or none, is served."}, labels),
		reads: f.NewCounterVec(prometheus.CounterOpts{Name: "freeway_certificate_renewals_total",
			Help: "New certificates found in files or fetched by ACME, by result: ok or refused."}, append(labels, "result")),
	}
}

// set notes what is served.
func (m *Metrics) set(listener, name string, expires time.Time, refused bool) {
	if m == nil {
		return
	}
	m.expiry.WithLabelValues(listener, name).Set(float64(expires.Unix()))
	m.refuse(listener, name, refused)
}

// refuse notes whether something newer is refused.
func (m *Metrics) refuse(listener, name string, refused bool) {
	if m == nil {
		return
	}
	v := 0.0
	if refused {
		v = 1
	}
	m.refused.WithLabelValues(listener, name).Set(v)
}

// tried counts a certificate that came.
func (m *Metrics) tried(listener, name string, ok bool) {
	if m == nil {
		return
	}
	result := "refused"
	if ok {
		result = "ok"
	}
	m.reads.WithLabelValues(listener, name, result).Inc()
}

// forget drops the gauges of a listener before they are set anew.
func (m *Metrics) forget(listener string) {
	if m == nil {
		return
	}
	m.expiry.DeletePartialMatch(prometheus.Labels{"listener": listener})
	m.refused.DeletePartialMatch(prometheus.Labels{"listener": listener})
}
