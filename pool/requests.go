package pool

import (
	"slices"
	"sort"
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

// Requests returns the latest n requests: those that have not ended, the youngest
// first, then those that have, the latest end first; of the last day at most.
func (p *Pool) Requests(n int) []proxy.Trace { return p.requestsOf(n, anyTrace) }

// anyTrace wants all.
func anyTrace(*proxy.Trace) bool { return true }

// requestsOf returns at most n of the wanted requests, those that have not ended first.
func (p *Pool) requestsOf(n int, want func(*proxy.Trace) bool) []proxy.Trace {
	out := p.runningWhere(want) // before the others, so that what ends meanwhile is not missed
	ended := p.requestsWhere(n, want)
	over := map[string]bool{}
	for i := range ended {
		over[ended[i].ID] = true
	}
	out = slices.DeleteFunc(out, func(t proxy.Trace) bool { return over[t.ID] })
	out = append(out, ended...)
	return out[:min(n, len(out))]
}

// Follow tells the pool of a source of requests that have not ended: Requests and
// Feedback know those as well. It may be called once, before there are requests.
func (p *Pool) Follow(running func() []proxy.Trace) { p.running.Store(&running) }

// runningWhere returns the wanted ones of the requests that have not ended, by age, the youngest
// first.
func (p *Pool) runningWhere(want func(*proxy.Trace) bool) []proxy.Trace {
	f := p.running.Load()
	if f == nil {
		return nil
	}
	all := slices.DeleteFunc((*f)(), func(t proxy.Trace) bool { return !want(&t) })
	sort.Slice(all, func(i, j int) bool { return all[i].At.After(all[j].At) })
	return all
}

// requestsWhere returns the latest n requests that have ended, are wanted and young
// enough, the latest end first.
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
