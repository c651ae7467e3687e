package scraper

import (
	"time"

	"freeway/proxy"
)

// Result is what came of the latest run of a source.
type Result struct {
	Name        string         `json:"name"`
	URL         string         `json:"url"` // or the path of a file; keys and passwords masked
	Pool        string         `json:"pool"`
	Enabled     bool           `json:"enabled"`
	Via         string         `json:"via,omitempty"`     // "pool": fetched through Freeway's own upstreams; "": directly
	LastRun     time.Time      `json:"last_run,omitzero"` // zero: not yet
	Took        time.Duration  `json:"took_ns"`
	Status      int            `json:"status"`            // HTTP status of the last answer; 0: none, or a file
	NotModified bool           `json:"not_modified"`      // unchanged since the run before
	Bytes       int64          `json:"bytes"`             // decoded
	Received    int64          `json:"received"`          // bytes as they came over the network
	Requests    int            `json:"requests"`          // sent, those after a redirect too
	Pages       int            `json:"pages"`             // requests that were answered
	Total       Total          `json:"total"`             // of all runs
	Changed     time.Time      `json:"changed,omitzero"`  // when the list named another set than in the run before; the zero time: never seen
	Format      string         `json:"format"`            // as which the list was read last
	Packed      string         `json:"packed,omitempty"`  // "gzip", "zip", ... when the list itself was packed
	Charset     string         `json:"charset,omitempty"` // what it was converted from; "": UTF-8
	Rows        int            `json:"rows"`              // lines, rows or objects seen
	Candidates  int            `json:"candidates"`        // endpoints found; after NotModified those of the run before
	Refused     map[string]int `json:"refused,omitempty"` // by reason, what looked like an entry
	Yield       proxy.Yield    `json:"yield"`
	Err         string         `json:"error"`                // "" when the run went well
	Failures    int            `json:"failures"`             // runs failed in a row
	Breaker     string         `json:"breaker"`              // closed; open: failed again and again, and is left alone for a moment; half-open: the next run decides
	RestsUntil  time.Time      `json:"rests_until,omitzero"` // it is not read on its schedule before, because an alert asked for that
	Next        time.Time      `json:"next,omitzero"`        // zero: not scheduled
	Worth       proxy.Worth    `json:"worth"`
	Usual       int            `json:"usual"`               // endpoints of a usual run; far less is an alarm
	Mirror      string         `json:"mirror_of,omitempty"` // the source that names nearly the same endpoints; this one is then read less often

	Found      []proxy.Candidate `json:"-"` // only from Fetch
	Rejections []Rejection       `json:"-"` // only from Fetch, the first 1000
}

// Total is what all runs of a source came to and cost, failed ones too.
type Total struct {
	Runs     int           `json:"runs"`
	Requests int           `json:"requests"`
	Received int64         `json:"received"` // bytes as they came over the network
	Bytes    int64         `json:"bytes"`    // decoded
	Took     time.Duration `json:"took_ns"`
	Offered  int           `json:"offered"` // endpoints in lists that were taken; those named again count again
	New      int           `json:"new"`     // endpoints that nobody had named before
	Changed  int           `json:"changed"` // runs in which the list named another set than before
}

// add counts one run.
func (t Total) add(o outcome, changed bool) Total {
	t.Runs++
	t.Requests += o.Requests
	t.Received += o.Received
	t.Bytes += o.Bytes
	t.Took += o.Took
	if o.gave {
		t.Offered += len(o.haul.found)
		t.New += o.Yield.New
	}
	if changed {
		t.Changed++
	}
	return t
}
