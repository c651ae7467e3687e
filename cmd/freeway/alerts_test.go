package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/api"
)

// effectsOf is a server without a server: which source rests until when, and
// how fast checks go.
type effectsOf struct {
	rests map[string]time.Time
	speed float64
}

func (e *effectsOf) rest(source string, until time.Time) error {
	if source == "" || source == "nobody" {
		return errors.New("unknown source")
	}
	e.rests[source] = until
	return nil
}

func (e *effectsOf) faster(f float64) { e.speed = f }

// TestAlertBook walks through episodes: each step says what comes, and what is
// in force afterwards.
func TestAlertBook(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_800_000_000, 0)
	now := began
	do := &effectsOf{rests: map[string]time.Time{}}
	var notes []string
	b := newAlertBook(do, slog.New(slog.DiscardHandler), func() time.Time { return now }, func(n alertNote) { notes = append(notes, n.Event+" "+n.Alert) }, prometheus.NewRegistry())
	rules := []api.AlertAction{
		{Alert: "Dead", Action: api.RestSource, For: time.Hour}, {Alert: "Slow", Action: api.RestSource, For: 2 * time.Hour},
		{Alert: "Low", Action: api.CheckFaster, Factor: 3, For: 30 * time.Minute}, {Alert: "Nothing", Action: api.CheckFaster, Factor: 5, For: 10 * time.Minute},
	}
	b.apply(rules)
	minutes := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	for _, tt := range []struct {
		at       int // minutes
		alert    string
		source   string
		resolved bool
		starts   int // minutes
		want     string
		rest     int // minutes until which source a rests; 0: it does not
		speed    float64
	}{
		{0, "Dead", "a", false, -5, "started", 60, 1},
		{1, "Dead", "a", false, -5, "repeated", 60, 1}, // is not prolonged
		{2, "Whatever", "a", false, -5, "ignored", 60, 1},
		{3, "Dead", "nobody", false, -5, "failed", 60, 1},
		{4, "Dead", "", false, -5, "failed", 60, 1},
		{5, "Slow", "a", false, -5, "started", 125, 1}, // the longer one counts
		{6, "Dead", "a", true, -5, "undone", 125, 1},
		{7, "Dead", "a", false, -5, "repeated", 125, 1}, // late
		{8, "Slow", "a", true, -9, "repeated", 125, 1},  // of an episode before
		{9, "Slow", "a", true, -5, "undone", 0, 1},
		{10, "Dead", "a", false, 10, "started", 70, 1}, // a new episode
		{71, "Dead", "a", false, 10, "repeated", 0, 1}, // its time is over
		{80, "Low", "", false, 79, "started", 0, 3},
		{81, "Nothing", "", false, 79, "started", 0, 5},
		{92, "Low", "", false, 79, "repeated", 0, 3}, // Nothing has ended by itself
		{93, "Low", "", true, 79, "undone", 0, 1},
		{94, "Low", "", true, 79, "repeated", 0, 1},
		{95, "Low", "", true, 0, "repeated", 0, 1},
	} {
		now = minutes(tt.at)
		a := api.Alert{Status: "firing", Labels: map[string]string{"alertname": tt.alert, "instance": "x"}, StartsAt: minutes(tt.starts)}
		if tt.resolved {
			a.Status = "resolved"
		}
		if tt.source != "" {
			a.Labels["source"] = tt.source
		}
		r := b.Notify("am", []api.Alert{a})
		got := map[string]int{"started": r.Started, "repeated": r.Repeated, "undone": r.Undone, "ignored": r.Ignored, "failed": r.Failed}
		if want := map[string]int{"started": 0, "repeated": 0, "undone": 0, "ignored": 0, "failed": 0, tt.want: 1}; !maps.Equal(got, want) {
			t.Errorf("minute %d, %s: %+v, want it %s", tt.at, tt.alert, got, tt.want)
		}
		if rests := do.rests["a"].After(now); rests != (tt.rest > 0) || rests && !do.rests["a"].Equal(minutes(tt.rest)) {
			t.Errorf("minute %d, %s: the source rests until %v, want minute %d", tt.at, tt.alert, do.rests["a"].Sub(began), tt.rest)
		}
		if do.speed != tt.speed || b.factor() != tt.speed {
			t.Errorf("minute %d, %s: checks go %v times as fast, want %v", tt.at, tt.alert, do.speed, tt.speed)
		}
	}
	if n := len(b.Active()); n != 0 || len(notes) != 10 {
		t.Errorf("%d actions are in force at the end; the audit log has %q", n, notes)
	}
}

// TestAlertBookIsBounded: a flood of alerts takes neither memory nor what is in force.
func TestAlertBookIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	do := &effectsOf{rests: map[string]time.Time{}}
	b := newAlertBook(do, slog.New(slog.DiscardHandler), func() time.Time { return now }, func(alertNote) {}, prometheus.NewRegistry())
	b.apply([]api.AlertAction{{Alert: "Low", Action: api.CheckFaster, Factor: 2, For: time.Hour}})
	flood := func(prefix string) api.AlertsReport {
		var all []api.Alert
		for i := range 2 * maxEpisodes {
			all = append(all, api.Alert{Status: "firing", StartsAt: now.Add(24 * time.Hour), Labels: map[string]string{"alertname": "Low", "n": fmt.Sprint(prefix, i)}})
		}
		return b.Notify("", all)
	}
	if r := flood("a"); r.Started != maxEpisodes || r.Failed != maxEpisodes {
		t.Errorf("a flood: %+v", r)
	}
	now = now.Add(2 * time.Hour)
	if r := flood("b"); r.Started != maxEpisodes || len(b.known) != maxEpisodes {
		t.Errorf("a flood when the first has ended: %+v, %d are known", r, len(b.known))
	}
}

// TestAlertsEndByThemselves, without anybody who asks.
func TestAlertsEndByThemselves(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 1)
	do := &effectsOf{rests: map[string]time.Time{}}
	b := newAlertBook(do, slog.New(slog.DiscardHandler), time.Now, func(n alertNote) {
		if n.Event == "ended" {
			ended <- n.Alert
		}
	}, prometheus.NewRegistry())
	b.apply([]api.AlertAction{{Alert: "Low", Action: api.CheckFaster, Factor: 2, For: 20 * time.Millisecond}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.Notify("", []api.Alert{{Status: "firing", StartsAt: time.Now(), Labels: map[string]string{"alertname": "Low"}}})
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it has not ended")
	}
	cancel()
	if err := <-done; err != nil || do.speed != 1 {
		t.Errorf("Run = %v; checks go %v times as fast", err, do.speed)
	}
}

// hook sends a notification to a server.
func (r *running) hook(t *testing.T, token, body string) (int, string) {
	t.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return r.ask(t, http.MethodPost, "/api/hooks/alertmanager", body, header)
}

// TestAlertHook: what Alertmanager 0.25 sends is followed, shown, written down
// and undone; strangers, other formats and a switched-off webhook are refused.
func TestAlertHook(t *testing.T) {
	t.Parallel()
	firing, err := os.ReadFile("testdata/alertmanager.json")
	if err != nil {
		t.Fatal(err)
	}
	resolved := bytes.ReplaceAll(firing, []byte(`"status":"firing"`), []byte(`"status":"resolved"`))
	r := serveFile(t, `gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: lab, url: "http://127.0.0.1:9/list.txt", schedule: "@every 24h"}]}
checker: {judges: ["http://127.0.0.1:9/"], own_ips: [127.0.0.1], rate: 100, recheck: 5m}
audit: {path: DIR/audit.jsonl}
`)
	if status, body := r.hook(t, "", string(firing)); status != http.StatusNotFound || !strings.Contains(body, "admin.alertmanager.actions") {
		t.Errorf("switched off: %d %s", status, body)
	}
	r.change(t, `listen: "127.0.0.1:0"}`, `listen: "127.0.0.1:0", alertmanager: {token: hooktoken, actions: [{alert: FreewaySourceDead, action: rest-source, for: 1h}, {alert: FreewayHealthyLow, action: check-faster, factor: 2.5, for: 10m}]}}`)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token, body string
		status            int
	}{
		{"no token", "", string(firing), 401},
		{"a wrong token", "hooktokem", string(firing), 401},
		{"another format", "hooktoken", `{"version":"3","alerts":[]}`, 422},
		{"no alerts", "hooktoken", `{"version":"4"}`, 422},
		{"no JSON", "hooktoken", `alert!`, 400},
		{"a flood", "hooktoken", `{"version":"4","alerts":[],"x":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
	} {
		if status, body := r.hook(t, tt.token, tt.body); status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, status, body, tt.status)
		}
	}
	for i, want := range []string{`{"started":2,"repeated":0,"undone":0,"ignored":1,"failed":1}`, `{"started":0,"repeated":2,"undone":0,"ignored":1,"failed":1}`} {
		if status, body := r.hook(t, "hooktoken", string(firing)); status != http.StatusOK || strings.TrimSpace(body) != want {
			t.Errorf("notification %d: %d %s, want %s", i+1, status, body, want)
		}
	}
	if _, body := r.get(t, "/api/sources"); !strings.Contains(body, `"rests_until":"`) {
		t.Errorf("the source does not rest: %s", body)
	}
	if _, body := r.get(t, "/readyz?verbose"); !strings.Contains(body, "1 at rest") {
		t.Errorf("readyz does not say that a source rests: %s", body)
	}
	if fits := r.fitted(r.current()).Checker; fits.Rate != 250 || fits.Recheck != 2*time.Minute {
		t.Errorf("checks: %v a second, every %v", fits.Rate, fits.Recheck)
	}
	_, body := r.get(t, "/metrics")
	for _, line := range []string{`freeway_alerts_received_total{result="started"} 2`, `freeway_alerts_received_total{result="ignored"} 2`, `freeway_alert_actions{action="rest-source"} 1`, "freeway_alert_check_factor 2.5"} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	var active api.ActiveAlerts
	if _, body := r.get(t, "/api/hooks/alertmanager"); json.Unmarshal([]byte(body), &active) != nil || active.Total != 2 {
		t.Errorf("in force: %s", body)
	}
	if _, body := r.hook(t, "hooktoken", string(resolved)); !strings.HasPrefix(body, `{"started":0,"repeated":1,"undone":2,"ignored":1`) {
		t.Errorf("resolved: %s", body)
	}
	if _, body := r.get(t, "/api/sources"); strings.Contains(body, `"rests_until"`) || r.fitted(r.current()).Checker.Rate != 100 {
		t.Errorf("resolved, and the actions go on: %s", body)
	}
	if _, body := r.get(t, "/api/openapi.json"); !strings.Contains(body, `"alertmanager-hook"`) {
		t.Error("the document does not describe the webhook")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(filepath.Dir(r.file), "audit.jsonl"))
	if err != nil || strings.Count(string(lines), `"kind":"alert","event":"begun","by":"alertmanager"`) != 2 || strings.Count(string(lines), `"event":"ended"`) != 2 {
		t.Errorf("the audit log: %v\n%s", err, lines)
	}
	if !strings.Contains(r.log.String(), "an alert has begun an action") || strings.Contains(r.log.String(), "hooktoken") {
		t.Errorf("the log:\n%s", r.log)
	}
}

// TestAlertRuleGoes: what a rule that is taken away began ends.
func TestAlertRuleGoes(t *testing.T) {
	t.Parallel()
	r := serveFile(t, `gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false}
checker: {judges: ["http://127.0.0.1:9/"], own_ips: [127.0.0.1], rate: 100}
`)
	r.change(t, `listen: "127.0.0.1:0"}`, `listen: "127.0.0.1:0", alertmanager: {actions: [{alert: Low, action: check-faster, factor: 2, for: 1h}]}}`)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	const low = `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Low"},"startsAt":"2026-01-01T00:00:00Z"}]}`
	if status, body := r.hook(t, "", low); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if f := r.fitted(r.current()).Checker.Rate; f != 200 {
		t.Errorf("rate %v, want 200", f)
	}
	r.change(t, "alert: Low", "alert: Else")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if f := r.fitted(r.current()).Checker.Rate; f != 100 || len(r.alerts.Active()) != 0 {
		t.Errorf("rate %v, want 100", f)
	}
}
