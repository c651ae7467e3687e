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
	LastRun     time.Time      `json:"last_run,omitzero"` // zero: not yet
	Took        time.Duration  `json:"took"`              // nanoseconds
	Status      int            `json:"status"`            // HTTP status of the last answer; 0: none, or a file
	NotModified bool           `json:"not_modified"`      // unchanged since the run before
	Bytes       int64          `json:"bytes"`             // decoded
	Runs        int            `json:"runs"`              // so far, failed ones too
	TotalBytes  int64          `json:"total_bytes"`       // of all runs, decoded
	Pages       int            `json:"pages"`             // requests that were answered
	Format      string         `json:"format"`            // as which the list was read last
	Rows        int            `json:"rows"`              // lines, rows or objects seen
	Candidates  int            `json:"candidates"`        // endpoints found; after NotModified those of the run before
	Refused     map[string]int `json:"refused,omitempty"` // by reason, what looked like an entry
	Yield       proxy.Yield    `json:"yield"`
	Err         string         `json:"error"`         // "" when the run went well
	Failures    int            `json:"failures"`      // runs failed in a row
	Next        time.Time      `json:"next,omitzero"` // zero: not scheduled
	Worth       proxy.Worth    `json:"worth"`
	Usual       int            `json:"usual"`               // endpoints of a usual run; far less is an alarm
	Mirror      string         `json:"mirror_of,omitempty"` // the source that names nearly the same endpoints; this one is then read less often

	Found      []proxy.Candidate `json:"-"` // only from Fetch
	Rejections []Rejection       `json:"-"` // only from Fetch, the first 1000
}
