package pool

import (
	"sync"
	"time"

	"freeway/proxy"
)

// counts returns how many entries are in each state, and how many addresses
// are due and claimed.
func (p *Pool) counts() (states [5]int, due, claimed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.now().UnixMilli()
	due = p.fresh + p.hot.due(now) + p.cold.due(now)
	return p.byState(), due, len(p.claims)
}

// byState returns how many entries are in each state. It takes no lock.
func (p *Pool) byState() (states [5]int) {
	for i := range states {
		states[i] = int(p.states[i].Load())
	}
	return states
}

// due counts the groups that are due, by walking down the heap.
func (h *dueHeap) due(now int64) int {
	var walk func(i int) int
	walk = func(i int) int {
		if i >= len(h.items) || h.p.groups.at(h.items[i]).due > now {
			return 0
		}
		return 1 + walk(2*i+1) + walk(2*i+2)
	}
	return walk(0)
}

// Stats returns the pool in numbers. It costs time in proportion to the live
// entries.
func (p *Pool) Stats() Stats {
	states, due, claimed := p.counts()
	s := Stats{New: states[proxy.New], Live: states[proxy.Live], Resting: states[proxy.Resting], Dead: states[proxy.Dead], Unsafe: states[proxy.Unsafe],
		Protocols: map[proxy.Protocol]int{}, Countries: map[string]int{}, Pools: map[string]int{},
		Due: due, Claimed: claimed, Sessions: p.sessions.len()}
	for _, n := range states {
		s.Total += n
	}
	now := p.clock.now()
	for name, l := range p.rebuilt().labels {
		s.Pools[name] = l.live
		s.Exits += l.all.exits()
		for _, it := range l.all.items {
			if it.slot.status.Load() == slotUp {
				s.Protocols[it.entry.Endpoint.Protocol]++
				s.Countries[it.entry.Traits.Country]++
			}
		}
	}
	s.LastMinute = p.rates.minute(now)
	s.Calibration = p.calibration.table()
	return s
}

// len returns how many sessions there are, some of which may just have ended.
func (ss *sessions) len() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.byKey)
}

// rates counts what happened within the last minute.
type rates struct {
	checks, passed, picks, misses, requests, answered meter
}

// minute returns the counts of the last sixty seconds.
func (r *rates) minute(now time.Time) Rates {
	return Rates{r.checks.sum(now), r.passed.sum(now), r.picks.sum(now), r.misses.sum(now), r.requests.sum(now), r.answered.sum(now)}
}

// meter counts by second, over a minute.
type meter struct {
	mu   sync.Mutex // protects the fields below
	at   int64      // Unix seconds of the latest count
	ring [60]int
}

// add counts n events that happen now.
func (m *meter) add(now time.Time, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now.Unix())
	m.ring[m.at%60] += n
}

// sum returns the count of the last sixty seconds.
func (m *meter) sum(now time.Time) (total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now.Unix())
	for _, n := range m.ring {
		total += n
	}
	return total
}

// turn clears the seconds that have passed.
func (m *meter) turn(now int64) {
	if now <= m.at {
		return
	}
	for s := max(m.at+1, now-59); s <= now; s++ {
		m.ring[s%60] = 0
	}
	m.at = now
}
