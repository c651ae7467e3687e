package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Errors that are worse than a failure.
var (
	errWrong = errors.New("a wrong answer")
	errMoved = errors.New("a session had another exit without a word")
)

// thirds is into how many parts the measured time is cut for the p99.
const thirds = 3

// tally is what became of the clients' requests.
type tally struct {
	began time.Time     // of the load
	warm  time.Duration // not measured
	part  time.Duration // of the measured time

	mu      sync.Mutex // protects the fields below
	right   int
	failed  int
	wrong   int
	moved   int
	why     map[string]int
	kinds   map[string]int
	took    [thirds][]time.Duration // of requests through the gateway
	control [thirds][]time.Duration // of the same through an upstream
	late    []time.Duration         // the latest of took, for show
}

// summary is a part of a tally.
type summary struct{ right, failed int }

// since is which part was right since then.
func (a summary) since(b summary) float64 {
	n := a.right - b.right
	return float64(n) / float64(max(n+a.failed-b.failed, 1))
}

// sum returns the numbers so far.
func (r *tally) sum() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	return summary{r.right, r.failed}
}

// recent returns the p99 since it was last called.
func (r *tally) recent() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.late = r.late[:0] }()
	return quantile(r.late, .99)
}

// add takes a request of a kind of client that began then.
func (r *tally) add(kind string, began time.Time, err error) {
	took := time.Since(began)
	third := int((began.Sub(r.began) - r.warm) / r.part)
	measured := began.After(r.began.Add(r.warm)) && third < thirds
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case kind == controlKind && (err != nil || !measured):
	case kind == controlKind:
		r.control[third] = append(r.control[third], took)
	case err != nil:
		r.fail(kind, err)
	default:
		r.right++
		r.kinds[kind]++
		r.late = append(r.late, took)
		if measured && timed[kind] {
			r.took[third] = append(r.took[third], took)
		}
	}
}

// fail counts a failure by its reason.
func (r *tally) fail(kind string, err error) {
	r.failed++
	switch {
	case errors.Is(err, errWrong):
		r.wrong++
	case errors.Is(err, errMoved):
		r.moved++
	}
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	why := kind + ": " + strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '#'
		}
		return c
	}, fmt.Sprintf("%.100s", err))
	if len(r.why) < 500 || r.why[why] > 0 {
		r.why[why]++
	}
}

// reasons lists the most frequent failures.
func (r *tally) reasons(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for why, n := range r.why {
		out = append(out, fmt.Sprintf("%6d  %s", n, why))
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out[:min(n, len(out))]
}
