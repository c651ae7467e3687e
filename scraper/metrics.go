package scraper

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// metrics is what a Scraper counts. Labels: the source and how a run ended,
// both from bounded sets; never an address.
type metrics struct {
	runs     *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	received *prometheus.CounterVec
	requests *prometheus.CounterVec
	fresh    *prometheus.CounterVec
	seconds  *prometheus.CounterVec
	took     prometheus.Histogram
}

// newMetrics registers the metrics; reg may be nil.
func newMetrics(reg prometheus.Registerer, s *Scraper) (*metrics, error) {
	m := &metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_runs_total",
			Help: "Runs of a source by result: ok, not_modified, alarm, failed, or skipped because the run before had not ended or the breaker is open.",
		}, []string{"source", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_read_bytes_total",
			Help: "Decoded bytes of lists read.",
		}, []string{"source"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_received_bytes_total",
			Help: "Bytes of lists as they came over the network.",
		}, []string{"source"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_requests_total",
			Help: "Requests for lists, those after redirects and failed ones too.",
		}, []string{"source"}),
		fresh: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_new_endpoints_total",
			Help: "Endpoints that the source named before any other.",
		}, []string{"source"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "freeway_scraper_run_seconds_total",
			Help: "Time of all runs of a source.",
		}, []string{"source"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "freeway_scraper_run_duration_seconds",
			Help:    "Time of one run of a source with all its pages.",
			Buckets: prometheus.ExponentialBuckets(0.05, 2, 12), // to 102 s
		}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.runs, m.bytes, m.received, m.requests, m.fresh, m.seconds, m.took, newStanding(s)} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// count counts one run that ended with result.
func (m *metrics) count(source, result string) { m.runs.WithLabelValues(source, result).Inc() }

// ran counts a run with its result, its bytes and its time.
func (m *metrics) ran(source string, o outcome) {
	result := "ok"
	switch {
	case errors.Is(o.err, errAlarm):
		result = "alarm"
	case o.err != nil:
		result = "failed"
	case o.NotModified:
		result = "not_modified"
	}
	m.count(source, result)
	m.bytes.WithLabelValues(source).Add(float64(o.Bytes))
	m.received.WithLabelValues(source).Add(float64(o.Received))
	m.requests.WithLabelValues(source).Add(float64(o.Requests))
	if o.gave {
		m.fresh.WithLabelValues(source).Add(float64(o.Yield.New))
	}
	m.seconds.WithLabelValues(source).Add(o.Took.Seconds())
	m.took.Observe(o.Took.Seconds())
}

// standing collects what the sources are worth when it is asked, so that
// sources which are gone leave nothing behind.
type standing struct {
	s     *Scraper
	gauge []gauge
}

// gauge is one value of a Result.
type gauge struct {
	desc  *prometheus.Desc
	value func(Result) float64
}

// breakerStates are the numbers of the states that a breaker names.
func breakerStates() map[string]float64 {
	return map[string]float64{gobreaker.StateClosed.String(): 0, gobreaker.StateHalfOpen.String(): 1, gobreaker.StateOpen.String(): 2}
}

// stamp is a time as metrics have it, 0 for none.
func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

// newStanding makes the collector. It asks s only when it is itself asked, so s
// need not be complete yet.
func newStanding(s *Scraper) *standing {
	make := func(name, help string, value func(Result) float64) gauge {
		return gauge{prometheus.NewDesc("freeway_scraper_"+name, help, []string{"source"}, nil), value}
	}
	return &standing{s: s, gauge: []gauge{
		make("candidates", "Endpoints that the source named in its latest good run.", func(r Result) float64 { return float64(r.Candidates) }),
		make("usual_candidates", "Endpoints that a usual run of the source finds; far less is an alarm.", func(r Result) float64 { return float64(r.Usual) }),
		make("failures", "Runs of the source that failed in a row.", func(r Result) float64 { return float64(r.Failures) }),
		make("breaker_state", "The circuit breaker of the source: 0 closed, 1 half-open, 2 open.", func(r Result) float64 { return breakerStates()[r.Breaker] }),
		make("last_run_timestamp_seconds", "When the source was read last.", func(r Result) float64 { return stamp(r.LastRun) }),
		make("listed", "Endpoints of the source that are known.", func(r Result) float64 { return float64(r.Worth.Listed) }),
		make("live", "Of the listed, live now.", func(r Result) float64 { return float64(r.Worth.Live) }),
		make("ever_live", "Of the listed, live at any time.", func(r Result) float64 { return float64(r.Worth.EverLive) }),
		make("checked", "Of the listed, checked at least once.", func(r Result) float64 { return float64(r.Worth.Checked) }),
		make("first_live", "Of the checked, live at their first check.", func(r Result) float64 { return float64(r.Worth.FirstLive) }),
		make("exclusive", "Of the listed, named by no other source.", func(r Result) float64 { return float64(r.Worth.Exclusive) }),
		make("exclusive_live", "Of the exclusive, live now.", func(r Result) float64 { return float64(r.Worth.OnlyLive) }),
		make("latency_seconds", "Median latency of those live now, 0 when it is not known.", func(r Result) float64 { return r.Worth.Latency.Seconds() }),
		make("changed_timestamp_seconds", "When the list last named another set.", func(r Result) float64 { return stamp(r.Changed) }),
	}}
}

// Describe implements prometheus.Collector.
func (c *standing) Describe(out chan<- *prometheus.Desc) {
	for _, g := range c.gauge {
		out <- g.desc
	}
}

// Collect implements prometheus.Collector.
func (c *standing) Collect(out chan<- prometheus.Metric) {
	for _, r := range c.s.Results() {
		if r.LastRun.IsZero() {
			continue
		}
		for _, g := range c.gauge {
			out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, g.value(r), r.Name)
		}
	}
}
