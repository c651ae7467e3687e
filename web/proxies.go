package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// pageSize is how many proxies one part of the table has.
const pageSize = 50

// proxyRow is one row of the table.
type proxyRow struct {
	ID    string
	Entry proxy.Entry
}

// proxiesData is the table and its form.
type proxiesData struct {
	Values map[string]string // of the form
	Sort   string
	Rows   []proxyRow
	Total  int
	More   string // where the next rows are; "": there are none
}

// filterFields are the form's fields, in order.
var filterFields = []string{"state", "protocol", "country", "anonymity", "tunnel", "max_latency", "min_score", "source", "pool", "exit", "url"}

func (d *Dashboard) proxies(r *http.Request) (any, error) {
	in := r.URL.Query()
	q := pool.Query{Sort: in.Get("sort"), Limit: pageSize, Cursor: in.Get("cursor")}
	out := proxiesData{Values: map[string]string{}, Sort: q.Sort}
	var errs []error
	for _, key := range filterFields {
		if v := in.Get(key); v != "" {
			out.Values[key] = v
			errs = append(errs, q.Filter.Set(key, v))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	entries, total, next, err := d.env.Pool.List(q)
	if err != nil {
		return nil, err
	}
	out.Total = total
	for _, e := range entries {
		out.Rows = append(out.Rows, proxyRow{e.Endpoint.ID(), e})
	}
	if next != "" {
		query := url.Values{"cursor": {next}}
		if q.Sort != "" {
			query.Set("sort", q.Sort)
		}
		for key, v := range out.Values {
			query.Set(key, v)
		}
		out.More = "/ui/proxies/more?" + query.Encode()
	}
	return out, nil
}

// stageBar is one check or use as a bar of its stages.
type stageBar struct {
	Outcome proxy.Outcome
	Origin  string
	Parts   []barPart
	Total   time.Duration
}

// barPart is a piece of a bar, in hundredths of the longest one.
type barPart struct {
	Name      string
	X, Width  float64
	Took      time.Duration
	Good, Bad bool
}

// proxyData is the drawer.
type proxyData struct {
	Row    proxyRow
	Why    string
	Notes  []string
	Bars   []stageBar
	Copied string // what the copy button copies
}

func (d *Dashboard) proxy(r *http.Request) (any, error) {
	detail, ok := d.env.Pool.Get(r.PathValue("id"))
	if !ok {
		return nil, errors.New("this proxy is not known any more")
	}
	out := proxyData{Row: proxyRow{detail.Entry.Endpoint.ID(), detail.Entry}, Why: detail.Why, Notes: detail.Notes, Copied: detail.Entry.Endpoint.String()}
	var longest time.Duration
	for _, o := range detail.History {
		longest = max(longest, total(o.Phases))
	}
	for _, o := range detail.History {
		out.Bars = append(out.Bars, stageBar{Outcome: o, Origin: origin(o.Origin), Parts: phases(o, longest), Total: total(o.Phases)})
	}
	return out, nil
}

func total(p proxy.Phases) time.Duration { return p.Connect + p.TLS + p.Handshake + p.FirstByte }

// phases cuts an outcome into its stages.
func phases(o proxy.Outcome, longest time.Duration) []barPart {
	var out []barPart
	x := 0.0
	for _, p := range []struct {
		name string
		took time.Duration
	}{{"connect", o.Phases.Connect}, {"tls", o.Phases.TLS}, {"handshake", o.Phases.Handshake}, {"first byte", o.Phases.FirstByte}} {
		if p.took <= 0 {
			continue
		}
		w := 100 * float64(p.took) / float64(max(longest, 1))
		out = append(out, barPart{Name: p.name, X: x, Width: w, Took: p.took})
		x += w
	}
	return out
}

func origin(o proxy.Origin) string {
	switch o {
	case proxy.FromCheck:
		return "check"
	case proxy.FromTraffic:
		return "use"
	}
	return "feedback"
}

func (d *Dashboard) checkNow(r *http.Request) (any, error) {
	if !d.env.Pool.CheckNow(r.PathValue("id")) {
		return nil, errors.New("this proxy is not known any more")
	}
	return note{Text: "It is next in the queue."}, nil
}

// restTime is how long the button lets a proxy rest.
const restTime = 10 * time.Minute

func (d *Dashboard) rest(r *http.Request) (any, error) {
	if !d.env.Pool.Rest(r.PathValue("id"), restTime) {
		return nil, errors.New("this proxy is not known any more")
	}
	return note{Text: fmt.Sprintf("It is not used for %v.", restTime)}, nil
}

func (d *Dashboard) ban(r *http.Request) (any, error) {
	ok, err := d.env.Pool.Delete(r.Context(), r.PathValue("id"))
	if err == nil && !ok {
		err = errors.New("this proxy is not known any more")
	}
	return note{Text: "It is removed and kept out for 30 days."}, err
}

// requestRow is one request with its attempts as a waterfall.
type requestRow struct {
	Trace proxy.Trace
	Bars  []attemptBar
	Right bool // the target's answer is passed on
}

// attemptBar is one attempt.
type attemptBar struct {
	Attempt proxy.Attempt
	ID      string
	Part    barPart
}

// requestsShown is how many of the latest requests are shown.
const requestsShown = 100

func (d *Dashboard) requests(*http.Request) (any, error) {
	var out []requestRow
	for _, t := range d.env.Pool.Requests(requestsShown) {
		out = append(out, requestRow{Trace: t, Right: t.Code == "", Bars: waterfall(t)})
	}
	return out, nil
}

// waterfall lays the attempts of a request behind each other.
func waterfall(t proxy.Trace) []attemptBar {
	var sum time.Duration
	for _, a := range t.Attempts {
		sum += a.Took
	}
	whole := float64(max(sum, t.Took, 1))
	var out []attemptBar
	x := 0.0
	for _, a := range t.Attempts {
		w := max(100*float64(a.Took)/whole, 0.5)
		out = append(out, attemptBar{a, a.Endpoint.ID(), barPart{Name: a.Stage.String(), X: min(x, 99.5), Width: w, Took: a.Took, Good: a.Class == proxy.OK, Bad: a.Class != proxy.OK}})
		x += w
	}
	return slices.Clip(out)
}
