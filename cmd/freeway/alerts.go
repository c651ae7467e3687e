package main

import (
	"cmp"
	"context"
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

// forget makes room for an episode: of those that have ended, the one that has
// not been heard of for longest goes. The caller holds mu.
func (b *alertBook) forget(now time.Time) bool {
	var oldest episodeKey
	var found *episode
	for k, e := range b.known {
		if !e.Until.After(now) && (found == nil || e.heard.Before(found.heard)) {
			oldest, found = k, e
		}
	}
	if found != nil {
		b.finish(found)
		delete(b.known, oldest)
	}
	return found != nil
}

// restUntil returns how long alerts keep a source at rest; a time that has
// passed when none does. The caller holds mu.
func (b *alertBook) restUntil(source string, now time.Time) time.Time {
	until := now
	for _, e := range b.known {
		if e.Action == api.RestSource && e.Source == source && e.Until.After(until) {
			until = e.Until
		}
	}
	return until
}

// factor returns how many times as fast checks go: the highest that an alert
// in force asks for; 1 for nil.
func (b *alertBook) factor() float64 {
	if b == nil {
		return 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f, now := 1.0, b.now()
	for _, e := range b.known {
		if e.Action == api.CheckFaster && e.Until.After(now) {
			f = max(f, e.Factor)
		}
	}
	return f
}

// settle makes the effects what the episodes in force ask for. The caller
// holds turn.
func (b *alertBook) settle() {
	b.mu.Lock()
	now := b.now()
	var rested []string
	for _, e := range b.known {
		if !e.over && !e.Until.After(now) {
			if e.Source != "" && !slices.Contains(rested, e.Source) {
				rested = append(rested, e.Source)
			}
			b.finish(e)
		}
	}
	untils := map[string]time.Time{}
	for _, source := range rested {
		untils[source] = b.restUntil(source, now)
	}
	b.poke()
	b.mu.Unlock()
	for source, until := range untils {
		b.do.rest(source, until) //nolint:errcheck // a source that is gone does not rest
	}
	b.do.faster(b.factor())
}

// finish says that an episode has ended. The caller holds mu.
func (b *alertBook) finish(e *episode) {
	if e.over {
		return
	}
	e.over = true
	b.log.Info("what an alert began has ended", "alert", e.Alert, "action", e.Action, "source", e.Source)
	b.say(alertNote{At: b.now().UTC(), Kind: "alert", Event: "ended", ActiveAlert: e.ActiveAlert})
}

// poke tells Run to look again.
func (b *alertBook) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run ends actions when their time has come, until ctx ends.
func (b *alertBook) Run(ctx context.Context) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		t.Reset(b.nextEnd())
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-t.C:
		}
		if b.nextEnd() <= 0 {
			b.turn.Lock()
			b.settle()
			b.turn.Unlock()
		}
	}
}

// nextEnd is the time until something ends; an hour when nothing is in force.
func (b *alertBook) nextEnd() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait, now := time.Hour, b.now()
	for _, e := range b.known {
		if !e.over {
			wait = min(wait, e.Until.Sub(now))
		}
	}
	return wait
}

// Active implements api.AlertSink.
func (b *alertBook) Active() []api.ActiveAlert {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []api.ActiveAlert
	for _, e := range b.known {
		if e.Until.After(b.now()) {
			out = append(out, e.ActiveAlert)
		}
	}
	slices.SortFunc(out, func(x, y api.ActiveAlert) int {
		return cmp.Or(x.Since.Compare(y.Since), strings.Compare(x.Alert, y.Alert), strings.Compare(x.Source, y.Source))
	})
	return out
}

// labelText has all labels of an alert, in order.
func labelText(labels map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		b.WriteString(name + "\x00" + labels[name] + "\x00")
	}
	return b.String()
}
