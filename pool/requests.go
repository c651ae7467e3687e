package pool

import (
	"sync"
	"time"

	"freeway/proxy"
)

const (
	maxRequests = 1000           // kept for Requests and Feedback
	requestAge  = 24 * time.Hour // after which they are not shown any more
)

// requests is the ring of the latest traces.
type requests struct {
	mu   sync.Mutex // protects the fields below
	ring []proxy.Trace
	next int

	unsaved bool      // the store does not have the latest
	oldest  time.Time // of those that the store has; zero: it has none
}

// Record keeps what became of a request.
func (p *Pool) Record(t proxy.Trace) {
	now := p.clock.now()
	p.rates.requests.add(now, 1)
	if t.Code == "" {
		p.rates.answered.add(now, 1)
	}
	p.tell(Event{Kind: "request", At: now, Trace: t})
	q := &p.requests
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unsaved = true
	if len(q.ring) < maxRequests {
		q.ring = append(q.ring, t)
		return
	}
	q.ring[q.next] = t
	q.next = (q.next + 1) % maxRequests
}

// Requests returns the latest n requests, newest first; those of the last day
// at most.
func (p *Pool) Requests(n int) []proxy.Trace {
	return p.requestsWhere(n, func(*proxy.Trace) bool { return true })
}

// requestsWhere returns the latest n requests that are wanted and young enough,
// newest first.
func (p *Pool) requestsWhere(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	oldest := p.clock.now().Add(-requestAge)
	q := &p.requests
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []proxy.Trace
	for i := range q.ring {
		t := &q.ring[(q.next-1-i+2*len(q.ring))%len(q.ring)]
		if len(out) == n || t.At.Before(oldest) {
			break
		}
		if want(t) {
			out = append(out, *t)
		}
	}
	return out
}
