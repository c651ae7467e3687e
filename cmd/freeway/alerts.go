package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/api"
)

// maxEpisodes bounds the alerts that are remembered.
const maxEpisodes = 1000

// episode is an action that an alert brought about, from its beginning until
// it is forgotten: while it is known, the same alert does not begin it again.
type episode struct {
	api.ActiveAlert
	startsAt time.Time // of the alert; what is not later belongs to this episode
	heard    time.Time // the last time
	over     bool      // it has ended, and that was said
}

// episodeKey is an alert with all its labels, and what it brings about.
type episodeKey struct{ labels, action string }

// effects are what alerts change.
type effects interface {
	rest(source string, until time.Time) error // until has passed: no longer
	faster(factor float64)                     // 1: as configured
}

// alertBook maps alerts to actions and ends these when their time has come. It
// is an api.AlertSink.
type alertBook struct {
	do  effects
	log *slog.Logger
	now func() time.Time
	say func(alertNote) // to the audit log
	met *alertMetrics

	turn sync.Mutex // held while effects follow the episodes, so that they do so in order

	mu    sync.Mutex // protects the fields below
	rules []api.AlertAction
	known map[episodeKey]*episode
	wake  chan struct{} // tells Run that an end has moved; holds one
}

// newAlertBook makes one without rules.
func newAlertBook(do effects, log *slog.Logger, now func() time.Time, say func(alertNote), reg prometheus.Registerer) *alertBook {
	b := &alertBook{do: do, log: log, now: now, say: say, known: map[episodeKey]*episode{}, wake: make(chan struct{}, 1)}
	b.met = newAlertMetrics(b, reg)
	return b
}

// apply takes other rules. What they no longer name ends: its effects a moment
// later, since the caller may hold what these need.
func (b *alertBook) apply(rules []api.AlertAction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = rules
	for _, e := range b.known {
		if !slices.ContainsFunc(rules, func(r api.AlertAction) bool { return r.Alert == e.Alert && r.Action == e.Action }) {
			if e.Until.After(b.now()) {
				e.Until = b.now()
			}
			e.startsAt = time.Time{} // should it be named again, it may begin again
		}
	}
	b.poke()
}

// Notify implements api.AlertSink.
func (b *alertBook) Notify(by string, alerts []api.Alert) api.AlertsReport {
	b.turn.Lock()
	defer b.turn.Unlock()
	var r api.AlertsReport
	for _, a := range alerts {
		result := b.take(by, a)
		b.met.received.WithLabelValues(result).Inc()
		switch result {
		case "started":
			r.Started++
		case "repeated":
			r.Repeated++
		case "undone":
			r.Undone++
		case "failed":
			r.Failed++
		default:
			r.Ignored++
		}
	}
	b.settle()
	return r
}

// take does what one alert asks for and returns what came of it. Of several
// actions the most notable result counts.
func (b *alertBook) take(by string, a api.Alert) string {
	b.mu.Lock()
	rules := b.rules
	b.mu.Unlock()
	results := map[string]bool{}
	for _, r := range rules {
		if r.Alert == a.Labels["alertname"] {
			results[b.follow(by, r, a)] = true
		}
	}
	for _, r := range []string{"failed", "started", "undone", "repeated"} {
		if results[r] {
			return r
		}
	}
	return "ignored"
}

// follow does what a rule says about an alert.
func (b *alertBook) follow(by string, r api.AlertAction, a api.Alert) string {
	k, now := episodeKey{labelText(a.Labels), r.Action}, b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.known[k]
	if e != nil {
		e.heard = now
	}
	switch {
	case a.Status == "resolved" && (e == nil || a.StartsAt.Before(e.startsAt) || !e.Until.After(now)):
		return "repeated" // of an action that has ended, or was never begun
	case a.Status == "resolved":
		e.Until = now
		return "undone"
	case e != nil && !a.StartsAt.After(e.startsAt):
		return "repeated"
	}
	return b.begin(by, k, r, a)
}

// begin starts an action. The caller holds mu.
func (b *alertBook) begin(by string, k episodeKey, r api.AlertAction, a api.Alert) string {
	now := b.now()
	e := &episode{ActiveAlert: api.ActiveAlert{Alert: r.Alert, Action: r.Action, Factor: r.Factor, Since: now, Until: now.Add(r.For)}, heard: now}
	if e.startsAt = a.StartsAt; e.startsAt.After(now) {
		e.startsAt = now
	}
	if r.Action == api.RestSource {
		e.Source = a.Labels["source"]
		until := b.restUntil(e.Source, now)
		if e.Until.After(until) {
			until = e.Until
		}
		if err := b.do.rest(e.Source, until); err != nil {
			b.log.Warn("an alert cannot be followed", "alert", r.Alert, "action", r.Action, "err", err)
			return "failed"
		}
	}
	if b.known[k] == nil && len(b.known) >= maxEpisodes && !b.forget(now) {
		b.log.Warn("an alert cannot be followed", "alert", r.Alert, "action", r.Action, "err", "too many are in force")
		return "failed"
	}
	if old := b.known[k]; old != nil {
		b.finish(old)
	}
	b.known[k] = e
	b.log.Info("an alert has begun an action", "alert", e.Alert, "action", e.Action, "source", e.Source, "factor", e.Factor, "until", e.Until.UTC().Format(time.RFC3339), "by", by)
	b.say(alertNote{At: now.UTC(), Kind: "alert", Event: "begun", By: by, ActiveAlert: e.ActiveAlert})
	return "started"
}

// labelText has all labels of an alert, in order.
func labelText(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(name + "\x00" + labels[name] + "\x00")
	}
	return b.String()
}
