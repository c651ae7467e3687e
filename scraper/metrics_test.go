package scraper_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"freeway/proxy"
	"freeway/scraper"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 30)) })
	reg := prometheus.NewPedanticRegistry()
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}, scraper.Source{Name: "never", URL: url}), func(e *scraper.Env) { e.Metrics = reg })
	r.pool.worth["a"] = proxy.Worth{Listed: 30, Live: 4, EverLive: 9, Checked: 20, FirstLive: 7, Exclusive: 5, OnlyLive: 2, Latency: 1500 * time.Millisecond}
	if _, err := r.once(t, "a"); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatalf("Gather() = %v", err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) > 0 && m.GetLabel()[len(m.GetLabel())-1].GetValue() == "never" {
				t.Errorf("%s is there for a source that never ran", f.GetName())
			}
			got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"freeway_scraper_runs_total": 1, "freeway_scraper_candidates": 30, "freeway_scraper_live": 4, "freeway_scraper_ever_live": 9,
		"freeway_scraper_checked": 20, "freeway_scraper_listed": 30, "freeway_scraper_first_live": 7, "freeway_scraper_exclusive": 5, "freeway_scraper_exclusive_live": 2,
		"freeway_scraper_latency_seconds": 1.5, "freeway_scraper_requests_total": 1, "freeway_scraper_new_endpoints_total": 30,
		"freeway_scraper_received_bytes_total": float64(len(entries(0, 30))), "freeway_scraper_failures": 0, "freeway_scraper_usual_candidates": 30, "freeway_scraper_read_bytes_total": float64(len(entries(0, 30))),
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, want %v", name, v, want)
		}
	}
	if got["freeway_scraper_run_seconds_total"] <= 0 || got["freeway_scraper_changed_timestamp_seconds"] <= 0 {
		t.Errorf("time spent and time of the change = %v", got)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if _, err := scraper.Open(scraper.Config{}, scraper.Sources{}, scraper.Env{Metrics: reg}); err == nil {
		t.Error("Open() with a taken registry = nil, want an error")
	}
}

// TestAnAlarmIsLoud: a list that turns into garbage is logged as a warning each
// time, also behind another failure, counted, and shown with the source.
func TestAnAlarmIsLoud(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewPedanticRegistry()
		r := open(t, scraper.Config{Schedule: "@every 10m"}, list(scraper.Source{Name: "a", URL: "http://a.example/a"}), func(e *scraper.Env) {
			e.Metrics, e.Log = reg, slog.New(slog.NewTextHandler(&log, nil))
		})
		d := newDiary()
		r.SetTransport(d.wire(func(n int, req *http.Request) *http.Response {
			switch n {
			case 0:
				return reply(req, 200, entries(0, 100))
			case 1:
				return reply(req, 404, "")
			}
			return reply(req, 200, "<h1>Bad Gateway</h1>")
		}))
		run(t, r, 3*time.Hour)
		asked := len(d.of("/a"))
		if n := strings.Count(log.String(), "level=WARN"); n != asked-1 || n < 3 || strings.Count(log.String(), "error=\"alarm: 0 endpoints where about ") != n-1 {
			t.Errorf("%d warnings of %d requests, want one for each but the first:\n%s", n, asked, &log)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		alarms := 0.0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "freeway_scraper_runs_total" && m.GetLabel()[0].GetValue() == "alarm" {
					alarms += m.GetCounter().GetValue()
				}
			}
		}
		if int(alarms) != asked-2 {
			t.Errorf("%v alarms are counted, want %d", alarms, asked-2)
		}
		if res := r.Results()[0]; !strings.Contains(res.Err, "alarm") {
			t.Errorf("the source shows %q, want the alarm", res.Err)
		}
		if n, adds := r.pool.has("a"); n != 100 || adds != 1 {
			t.Errorf("the pool has %d endpoints after %d calls, want the 100 of before", n, adds)
		}
	})
}
