package checker

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/proxy"
)

// metrics is what a Checker counts. No label names an address or a host.
type metrics struct {
	checks *prometheus.CounterVec
	void   prometheus.Counter
	dials  prometheus.Counter
	panics prometheus.Counter
	phases *prometheus.HistogramVec
}

// newMetrics registers the metrics; reg may be nil.
func newMetrics(reg prometheus.Registerer, c *Checker) (*metrics, error) {
	m := &metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_checks_total",
			Help: "Endpoints judged, by protocol and by how it went: ok, or the class of the failure.",
		}, []string{"protocol", "result"}),
		void: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freeway_checks_void_total",
			Help: "Addresses given back unjudged, because judge, network or clock were at fault or the check was interrupted.",
		}),
		dials: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freeway_check_dials_total",
			Help: "Connections to proxies made by checks.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freeway_check_panics_total",
			Help: "Checks, and direct requests to judges, that ended in a panic; the log has more.",
		}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "freeway_check_seconds",
			Help:    "Time of the steps of checks that passed: connect, tls, handshake, first_byte.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12), // to 10 s
		}, []string{"stage"}),
	}
	if reg == nil {
		return m, nil
	}
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(c.Status()) })
	}
	var errs []error
	for _, col := range []prometheus.Collector{m.checks, m.void, m.dials, m.panics, m.phases,
		gauge("freeway_judge_up", "Judges that answered the latest direct request.", func(s Status) float64 { return float64(s.up()) }),
		newBreakers(c),
		gauge("freeway_judges", "Judges configured.", func(s Status) float64 { return float64(len(s.Judges)) }),
		gauge("freeway_checks_running", "Checks under way.", func(s Status) float64 { return float64(s.Running) }),
		gauge("freeway_checks_held", "Failures that wait until a judge has answered directly.", func(s Status) float64 { return float64(s.Held) }),
	} {
		errs = append(errs, reg.Register(col))
	}
	return m, errors.Join(errs...)
}

// up counts the judges that are up.
func (s Status) up() int {
	n := 0
	for _, j := range s.Judges {
		if j.Up {
			n++
		}
	}
	return n
}

// count counts a verdict.
func (m *metrics) count(v proxy.Verdict) {
	if len(v.Outcomes) == 0 {
		m.void.Inc()
	}
	for _, o := range v.Outcomes {
		m.checks.WithLabelValues(o.Endpoint.Protocol.String(), o.Class.String()).Inc()
		if o.Class != proxy.OK {
			continue
		}
		p := o.Phases
		for stage, d := range map[string]float64{"connect": p.Connect.Seconds(), "tls": p.TLS.Seconds(),
			"handshake": p.Handshake.Seconds(), "first_byte": p.FirstByte.Seconds()} {
			if d > 0 {
				m.phases.WithLabelValues(stage).Observe(d)
			}
		}
	}
}
