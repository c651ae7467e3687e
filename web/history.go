package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	firstInterval = 5 * time.Second // between samples, until the series is full
	maxPoints     = 720             // of a series; then every second one goes and the interval doubles
	sparkPoints   = 60              // the same for what is drawn small
	historyAge    = 24 * time.Hour
)

// series is a line over time that thins itself out: the first hour has a point
// every five seconds, a day one every two minutes.
type series[T any] struct {
	most   int
	every  time.Duration
	times  []time.Time
	values []T
}

// due reports whether a new point is wanted. The tolerance makes up for clocks
// that tick a little early.
func (s *series[T]) due(now time.Time) bool {
	n := len(s.times)
	return n == 0 || now.Sub(s.times[n-1]) >= s.every-firstInterval/2
}

// add appends a point when it is time for one.
func (s *series[T]) add(now time.Time, v T) {
	if !s.due(now) {
		return
	}
	if len(s.times) >= s.most {
		s.thin()
	}
	s.times, s.values = append(s.times, now), append(s.values, v)
	old := 0
	for old < len(s.times) && now.Sub(s.times[old]) > historyAge {
		old++
	}
	s.times, s.values = slices.Delete(s.times, 0, old), slices.Delete(s.values, 0, old)
}

// thin keeps every second point, the latest among them.
func (s *series[T]) thin() {
	n := 0
	for i := (len(s.times) + 1) % 2; i < len(s.times); i += 2 {
		s.times[n], s.values[n] = s.times[i], s.values[i]
		n++
	}
	s.times, s.values = s.times[:n], s.values[:n]
	s.every *= 2
}

// sample is the state of things at one moment.
type sample struct {
	Live, New, Resting, Dead, Unsafe int
	Requests, Answered, Attempts     int // of the last minute
	P50, P95                         int // milliseconds, of the requests of the last minute
}

// history is what the charts show.
type history struct {
	mu      sync.Mutex // protects the fields below
	all     series[sample]
	sources map[string]*series[int] // live proxies
}

func newHistory() *history {
	return &history{all: series[sample]{most: maxPoints, every: firstInterval}, sources: map[string]*series[int]{}}
}

// sample takes one reading.
func (d *Dashboard) sample() {
	if d.env.Pool == nil {
		return
	}
	now := d.env.Now()
	s := d.env.Pool.Stats()
	m := s.LastMinute
	x := sample{Live: s.Live, New: s.New, Resting: s.Resting, Dead: s.Dead, Unsafe: s.Unsafe, Requests: m.Requests, Answered: m.Answered, Attempts: m.Picks}
	x.P50, x.P95 = d.latency(now)
	h := d.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all.add(now, x)
	if d.env.Scraper == nil {
		return
	}
	seen := map[string]bool{}
	for _, r := range d.env.Scraper.Results() {
		seen[r.Name] = true
		line := h.sources[r.Name]
		if line == nil {
			line = &series[int]{most: sparkPoints, every: firstInterval}
			h.sources[r.Name] = line
		}
		line.add(now, r.Worth.Live)
	}
	for name := range h.sources {
		if !seen[name] {
			delete(h.sources, name)
		}
	}
}

// latency returns the median and the 95th percentile of the last minute's
// requests, in milliseconds; 0 when there were none.
func (d *Dashboard) latency(now time.Time) (p50, p95 int) {
	took := d.env.Pool.Took(now.Add(-time.Minute))
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	at := func(q float64) int { return int(took[int(q*float64(len(took)-1))].Milliseconds()) }
	return at(0.5), at(0.95)
}

// spark returns the line of a source.
func (h *history) spark(name string) []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if line := h.sources[name]; line != nil {
		return slices.Clone(line.values)
	}
	return nil
}

// chartData is what the script of the overview draws.
type chartData struct {
	Times       []int64            `json:"times"` // Unix seconds
	Lines       map[string][]*int  `json:"lines"` // null: there was nothing to measure
	Calibration []calibrationPoint `json:"calibration"`
}

// calibrationPoint compares the score of uses with how many worked.
type calibrationPoint struct {
	Predicted float64 `json:"predicted"`
	Observed  float64 `json:"observed"`
	Uses      int     `json:"uses"`
}

// historyJSON serves the charts' data.
func (d *Dashboard) historyJSON(w http.ResponseWriter, _ *http.Request) {
	out := d.history.chart()
	for _, c := range d.env.Pool.Stats().Calibration {
		if c.Uses > 0 {
			out.Calibration = append(out.Calibration, calibrationPoint{c.Predicted, float64(c.OK) / float64(c.Uses), c.Uses})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) //nolint:errcheck // the client went away
}

// chart turns the samples into lines.
func (h *history) chart() chartData {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := chartData{Times: []int64{}, Lines: map[string][]*int{}, Calibration: []calibrationPoint{}}
	put := func(name string, v int, known bool) {
		var p *int
		if known {
			p = &v
		}
		out.Lines[name] = append(out.Lines[name], p)
	}
	for i, t := range h.all.times {
		x := h.all.values[i]
		out.Times = append(out.Times, t.Unix())
		put("live", x.Live, true)
		put("new", x.New, true)
		put("resting", x.Resting, true)
		put("dead", x.Dead, true)
		put("unsafe", x.Unsafe, true)
		put("answered", 100*x.Answered/max(x.Requests, 1), x.Requests > 0)
		put("requests", x.Requests, true)
		put("attempts", 100*x.Attempts/max(x.Requests, 1), x.Requests > 0)
		put("p50", x.P50, x.P50 > 0)
		put("p95", x.P95, x.P95 > 0)
	}
	return out
}
