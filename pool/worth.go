package pool

import (
	"slices"
	"sync"
	"time"

	"freeway/proxy"
)

// worthAge is how old the latencies of Worth may be.
const worthAge = 5 * time.Second

// speeds is how fast what each source names is. It is worked out when somebody
// asks, for all sources at once.
type speeds struct {
	mu       sync.Mutex // protects the fields below
	made     time.Time
	bySource map[string]time.Duration
}

// Worth says what became of what the source gave. The latency may be some
// seconds old.
func (p *Pool) Worth(source string) proxy.Worth {
	latency := p.speeds.of(p, source)
	p.mu.Lock()
	defer p.mu.Unlock()
	id, ok := p.sources.byID[source]
	if !ok {
		return proxy.Worth{}
	}
	w := p.sources.all[id].worth
	if w.Live > 0 {
		w.Latency = latency
	}
	return w
}

// of returns the median latency of what is live of a source's, 0 when it is not
// known.
func (s *speeds) of(p *Pool, source string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := p.clock.now(); s.bySource == nil || now.Sub(s.made) > worthAge {
		s.made, s.bySource = now, medians(p.rebuilt())
	}
	return s.bySource[source]
}

// medians returns the median latency by source.
func medians(s *snapshot) map[string]time.Duration {
	all := map[string][]time.Duration{}
	for _, l := range s.labels {
		for _, it := range l.all.items {
			if it.slot.status.Load() != slotUp || it.entry.Latency <= 0 {
				continue
			}
			for _, name := range it.entry.Sources {
				all[name] = append(all[name], it.entry.Latency)
			}
		}
	}
	out := make(map[string]time.Duration, len(all))
	for name, list := range all {
		slices.Sort(list)
		out[name] = list[len(list)/2]
	}
	return out
}
