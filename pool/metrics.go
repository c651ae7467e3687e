package pool

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/proxy"
)

// metrics counts what happens; what is, a collector reads when it is asked.
type metrics struct {
	picks   *prometheus.CounterVec
	picked  prometheus.Counter // picks with result ok
	busy    prometheus.Counter
	checks  [2]prometheus.Counter
	refused *prometheus.CounterVec
	news    prometheus.Counter
	saves   prometheus.Histogram
	failed  prometheus.Counter
	written prometheus.Counter
}

// newMetrics registers the metrics; with a nil Registerer they only count.
func newMetrics(reg prometheus.Registerer, p *Pool) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freeway_pool_checks_total", Help: "Verdicts on endpoints, by result."}, []string{"result"})
	m := &metrics{
		picks:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freeway_picks_total", Help: "Asked for an upstream, by what came of it."}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "freeway_pool_refused_total", Help: "Candidates not taken, by reason."}, []string{"reason"}),
		busy:    counter("freeway_picks_busy_total", "Upstreams given beyond the uses at a time that they should have, because all were busy."),
		news:    counter("freeway_pool_added_total", "Endpoints that were new."),
		saves: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "freeway_store_save_seconds", Help: "Time to write a batch.",
			Buckets: []float64{.001, .005, .02, .05, .1, .25, .5, 1, 5, 20}}),
		failed:  counter("freeway_store_save_failures_total", "Batches that could not be written."),
		written: counter("freeway_store_records_total", "Records written or deleted."),
	}
	m.picked = m.picks.WithLabelValues("ok")
	m.checks = [2]prometheus.Counter{checks.WithLabelValues("failed"), checks.WithLabelValues("passed")}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.picks, m.busy, checks, m.refused, m.news, m.saves, m.failed, m.written, newCollector(p)} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// added counts what became of a list.
func (m *metrics) added(y proxy.Yield) {
	m.news.Add(float64(y.New))
	for reason, n := range y.Refused {
		m.refused.WithLabelValues(reason).Add(float64(n))
	}
}

// checked counts a verdict on one endpoint.
func (m *metrics) checked(ok bool) {
	if ok {
		m.checks[1].Inc()
	} else {
		m.checks[0].Inc()
	}
}

// saved counts a write to the store.
func (m *metrics) saved(took time.Duration, records int, err error) {
	m.saves.Observe(took.Seconds())
	if err != nil {
		m.failed.Inc()
		return
	}
	m.written.Add(float64(records))
}

// collector reads the state of the pool.
type collector struct {
	p                                          *Pool
	entries, addresses, others, scores, shares *prometheus.Desc
}

// newCollector describes the gauges; their values are read when they are asked for.
func newCollector(p *Pool) *collector {
	return &collector{p,
		prometheus.NewDesc("freeway_pool_entries", "Endpoints, by state.", []string{"state"}, nil),
		prometheus.NewDesc("freeway_pool_queue_addresses", "Addresses that are due or being checked.", []string{"kind"}, nil),
		prometheus.NewDesc("freeway_pool_sessions", "Sessions that hold an exit.", nil, nil),
		prometheus.NewDesc("freeway_score_calibration_total", "Uses by traffic, by the score that the proxy had and by what became of them.",
			[]string{"score", "result"}, nil),
		prometheus.NewDesc("freeway_score_calibration", "Mean score and share that worked, by the score before; checks are those of live ones that came when due.",
			[]string{"score", "of", "value"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.entries, c.addresses, c.others, c.scores, c.shares} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	states, due, claimed := c.p.counts()
	for s, n := range states {
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(n), proxy.State(s).String())
	}
	ch <- prometheus.MustNewConstMetric(c.addresses, prometheus.GaugeValue, float64(due), "due")
	ch <- prometheus.MustNewConstMetric(c.addresses, prometheus.GaugeValue, float64(claimed), "checking")
	ch <- prometheus.MustNewConstMetric(c.others, prometheus.GaugeValue, float64(c.p.sessions.len()))
	c.p.calibration.collect(ch, c.scores, c.shares)
}
