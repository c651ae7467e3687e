package main

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/api"
	"freeway/config"
)

// Bounds of the checker's configuration while alerts make it faster.
const (
	fastestRecheck = time.Second
	fastestRate    = 1e6
)

// alertEffects are those on a server. Changes of the rate wait for a reload
// that is under way.
type alertEffects struct{ s *server }

func (e alertEffects) rest(source string, until time.Time) error {
	return e.s.scraper.Rest(source, until)
}

func (e alertEffects) faster(factor float64) {
	s := e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hasten == factor {
		return
	}
	fits := s.fitted(s.cfg)
	if err := errors.Join(s.pool.Apply(poolConfig(fits)), s.checker.Apply(fits.Checker)); err != nil {
		s.log.Error("the rate of checks cannot be changed", "err", err)
		return
	}
	s.hasten = factor
	s.log.Info("the rate of checks has changed", "factor", factor)
}

// hastened is a configuration with checks that go so many times as fast.
func hastened(cfg config.Config, factor float64) config.Config {
	if factor > 1 {
		cfg.Checker.Rate = min(cfg.Checker.Rate*factor, fastestRate)
		cfg.Checker.Recheck = max(time.Duration(float64(cfg.Checker.Recheck)/factor), min(fastestRecheck, cfg.Checker.Recheck))
	}
	return cfg
}

// openAlerts makes what follows alerts.
func (s *server) openAlerts() {
	s.hasten = 1
	s.alerts = newAlertBook(alertEffects{s}, s.log, time.Now, func(n alertNote) {
		if s.audit != nil {
			s.audit.note(n)
		}
	}, s.registry)
	s.alerts.apply(s.cfg.Admin.Alertmanager.Actions)
}

// alertNote is a line in the audit log that is about no request.
type alertNote struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`  // alert
	Event string    `json:"event"` // begun or ended
	By    string    `json:"by,omitempty"`
	api.ActiveAlert
}

// alertMetrics count what alerts do.
type alertMetrics struct{ received *prometheus.CounterVec }

// newAlertMetrics registers them.
func newAlertMetrics(b *alertBook, reg prometheus.Registerer) *alertMetrics {
	f := promauto.With(reg)
	m := &alertMetrics{f.NewCounterVec(prometheus.CounterOpts{Name: "freeway_alerts_received_total",
		Help: "Alerts that came to the webhook, by result: started, repeated, undone, ignored or failed."}, []string{"result"})}
	for _, r := range []string{"started", "repeated", "undone", "ignored", "failed"} {
		m.received.WithLabelValues(r)
	}
	for _, action := range []string{api.RestSource, api.CheckFaster} {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: "freeway_alert_actions", Help: "What alerts have brought about and is in force, by action.",
			ConstLabels: prometheus.Labels{"action": action}}, func() float64 { return float64(b.count(action)) })
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "freeway_alert_check_factor", Help: "How many times as fast checks go as configured, because of alerts; 1: none asks for that."}, b.factor)
	return m
}

// count is how many of an action are in force.
func (b *alertBook) count(action string) (n int) {
	for _, a := range b.Active() {
		if a.Action == action {
			n++
		}
	}
	return n
}
