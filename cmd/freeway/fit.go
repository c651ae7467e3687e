package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/config"
)

// fitted is what the parts of the server get of a configuration: within the
// budget of descriptors, and with what alerts asked for.
func (s *server) fitted(cfg config.Config) config.Config {
	b := s.budgetOf(cfg)
	return b.fit(hastened(cfg, s.alerts.factor()))
}

// budgetOf divides the descriptors for a configuration.
func (s *server) budgetOf(cfg config.Config) budget {
	limit, _ := fileLimit()
	return shareFiles(limit, cfg)
}

// watchBudget shows the budget in /metrics and says what had to be cut.
func (s *server) watchBudget(reg prometheus.Registerer) {
	reg.MustRegister(liveBudget{s})
	s.sayCuts(s.cfg)
}

// sayCuts logs the values that the limit on open files does not allow.
func (s *server) sayCuts(cfg config.Config) {
	b := s.budgetOf(cfg)
	if cuts := b.cuts(cfg); len(cuts) > 0 {
		s.log.Warn("the limit on open files does not allow what is configured", "limit", b.Limit, "cut", strings.Join(cuts, ", "))
	}
}

// liveBudget is the metric of the budget in force.
type liveBudget struct{ s *server }

// Describe implements prometheus.Collector.
func (l liveBudget) Describe(out chan<- *prometheus.Desc) { budget{}.Describe(out) }

// Collect implements prometheus.Collector.
func (l liveBudget) Collect(out chan<- prometheus.Metric) {
	l.s.budgetOf(l.s.current()).Collect(out)
}
