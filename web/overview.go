package web

import (
	"fmt"
	"math"
	"net/http"
	"sort"

	"freeway/pool"
)

// share is one bar of a list of bars.
type share struct {
	Name    string
	N       int
	Percent float64 // of the largest
}

// overviewData is what the overview shows.
type overviewData struct {
	Stats     pool.Stats
	Usable    int
	Answered  string
	Attempts  string
	P50, P95  int
	Countries []share
	Protocols []share
	Concerns  []string
}

func (d *Dashboard) overview(*http.Request) (any, error) {
	s := d.env.Pool.Stats()
	out := overviewData{Stats: s, Usable: d.usable(), Countries: bars(s.Countries, 12), Answered: "–", Attempts: "–"}
	protocols := map[string]int{}
	for p, n := range s.Protocols {
		protocols[p.String()] = n
	}
	out.Protocols = bars(protocols, 4)
	out.P50, out.P95 = d.latency(d.env.Now())
	if m := s.LastMinute; m.Requests > 0 {
		out.Answered = fmt.Sprintf("%.1f %%", 100*float64(m.Answered)/float64(m.Requests))
		out.Attempts = fmt.Sprintf("%.2f", float64(m.Picks)/float64(m.Requests))
	}
	out.Concerns = d.concerns(s, out.Usable)
	return out, nil
}

// bars makes bars of counts, the longest first.
func bars(counts map[string]int, most int) []share {
	var out []share
	for name, n := range counts {
		if name == "" {
			name = "unknown"
		}
		out = append(out, share{Name: name, N: n})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].N > out[j].N || out[i].N == out[j].N && out[i].Name < out[j].Name })
	out = out[:min(len(out), most)]
	for i := range out {
		out[i].Percent = 100 * float64(out[i].N) / float64(max(out[0].N, 1))
	}
	return out
}

const (
	failuresShown = 3    // runs that failed in a row before a source is a concern
	offBy         = 0.15 // between score and what is observed before calibration is a concern
	enoughUses    = 200  // in one tenth of the score, for that
)

// concerns are what needs attention, the worst first.
func (d *Dashboard) concerns(s pool.Stats, usable int) []string {
	var out []string
	switch {
	case s.Total == 0:
		out = append(out, "The pool is empty: no list has been read yet, or none named a proxy.")
	case usable == 0 && s.New > 0:
		out = append(out, "No proxy can be used yet; the first checks are running.")
	case usable == 0:
		out = append(out, "No proxy can be used. Requests are answered with 503 until a check passes.")
	}
	if d.env.Concerns != nil {
		out = append(out, d.env.Concerns()...)
	}
	out = append(out, d.sourceConcerns()...)
	for _, c := range s.Calibration {
		if c.Uses >= enoughUses && math.Abs(float64(c.OK)/float64(c.Uses)-(c.Low+c.High)/2) > offBy {
			out = append(out, fmt.Sprintf("Of the uses that were given a score of %.1f to %.1f, %.0f %% worked: the score is off there.", c.Low, c.High, 100*float64(c.OK)/float64(c.Uses)))
		}
	}
	return out
}

// sourceConcerns are those about lists.
func (d *Dashboard) sourceConcerns() []string {
	if d.env.Scraper == nil {
		return nil
	}
	var out []string
	on, failing := 0, 0
	for _, r := range d.env.Scraper.Results() {
		if !r.Enabled {
			continue
		}
		on++
		if r.Failures >= failuresShown {
			failing++
			if failing <= 5 {
				out = append(out, fmt.Sprintf("Source %s failed %d times in a row: %s", r.Name, r.Failures, r.Err))
			}
		} else if r.Err == "" && r.Usual > 20 && r.Candidates < r.Usual/10 {
			out = append(out, fmt.Sprintf("Source %s gave %d endpoints where it usually gives %d; what it gave before is kept.", r.Name, r.Candidates, r.Usual))
		}
	}
	if failing > 5 {
		out = append(out, fmt.Sprintf("%d more sources fail; see Sources.", failing-5))
	}
	if on == 0 {
		out = append(out, "No source is switched on.")
	}
	return out
}
