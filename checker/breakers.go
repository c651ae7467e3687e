package checker

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// breakers counts the circuit breakers of the judges by state. A judge's name is
// a host and therefore no label.
type breakers struct {
	c    *Checker
	desc *prometheus.Desc
}

// newBreakers makes the collector.
func newBreakers(c *Checker) breakers {
	return breakers{c, prometheus.NewDesc("freeway_judge_breakers", "Circuit breakers of judges by state: closed, open, or half-open where the next direct request decides.", []string{"state"}, nil)}
}

// Describe implements prometheus.Collector.
func (b breakers) Describe(out chan<- *prometheus.Desc) { out <- b.desc }

// Collect implements prometheus.Collector.
func (b breakers) Collect(out chan<- prometheus.Metric) {
	count := map[string]int{}
	for _, j := range b.c.Status().Judges {
		count[j.Breaker]++
	}
	for _, state := range []gobreaker.State{gobreaker.StateClosed, gobreaker.StateHalfOpen, gobreaker.StateOpen} {
		out <- prometheus.MustNewConstMetric(b.desc, prometheus.GaugeValue, float64(count[state.String()]), state.String())
	}
}
