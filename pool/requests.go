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

// Requests returns the latest n requests, newest first: those that ended within
// the last day, by their end, and those that run, by their beginning.
func (p *Pool) Requests(n int) []proxy.Trace { return p.requestsWhere(n, everyTrace) }

// Running returns the latest n requests that have not ended, newest first.
func (p *Pool) Running(n int) []proxy.Trace { return p.runningWhere(n, everyTrace) }

func everyTrace(*proxy.Trace) bool { return true }

// requestsWhere is Requests of those that are wanted.
func (p *Pool) requestsWhere(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	running := p.runningWhere(n, want) // first: what ends meanwhile is among the others
	return mergeTraces(n, running, p.endedWhere(n, want))
}

// Took returns how long those of the latest requests took that have ended and began
// after since, in no order. It is for those who ask again and again: nothing is copied.
func (p *Pool) Took(since time.Time) []time.Duration {
	q := &p.requests
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []time.Duration
	for i := range q.ring {
		if q.ring[i].At.After(since) {
			out = append(out, q.ring[i].Took)
		}
	}
	return out
}

// runningWhere returns the latest n requests that run and are wanted, newest first.
func (p *Pool) runningWhere(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	if p.env.Running == nil {
		return nil
	}
	return p.env.Running(n, want)
}

// endedWhere returns the latest n requests that ended, are wanted and young enough,
// newest first.
func (p *Pool) endedWhere(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	oldest := p.clock.now().Add(-requestAge)
	q := &p.requests
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []proxy.Trace
	for i := range q.ring {
		t := &q.ring[(q.next-1-i+2*len(q.ring))%len(q.ring)]
		if len(out) == n || endOf(t).Before(oldest) {
			break
		}
		if want(t) {
			out = append(out, *t)
		}
	}
	return out
}

// endOf is when a request ended. One may have run for days.
func endOf(t *proxy.Trace) time.Time { return t.At.Add(t.Took) }

// mergeTraces returns the first n of two lists, in order of time. Who is in both
// has ended.
func mergeTraces(n int, running, ended []proxy.Trace) []proxy.Trace {
	if len(running) == 0 {
		return ended
	}
	over := make(map[string]struct{}, len(ended))
	for i := range ended {
		over[ended[i].ID] = struct{}{}
	}
	var out []proxy.Trace
	for i := range running {
		t := &running[i]
		if _, ok := over[t.ID]; ok {
			continue
		}
		for len(ended) > 0 && !endOf(&ended[0]).Before(t.At) {
			out, ended = append(out, ended[0]), ended[1:]
		}
		out = append(out, *t)
	}
	out = append(out, ended...)
	return out[:min(n, len(out))]
}
