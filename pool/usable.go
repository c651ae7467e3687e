package pool

import (
	"sort"

	"freeway/proxy"
)

// Usable returns every entry that Pick could choose for want right now, of all
// the wanted pools and not only of the first that has any, best score first.
// It uses nothing up; sessions are not looked at.
func (p *Pool) Usable(want proxy.Want) []proxy.Entry {
	now := p.clock.now()
	s := p.rebuilt()
	c := choice{p: p, want: want, crowd: true, now: now, target: p.targets.get(want.Target.Domain)}
	var out []proxy.Entry
	for _, name := range poolsOf(&want) {
		l := s.labels[name]
		if l == nil {
			continue
		}
		c.panic = p.panics(s, l)
		for _, it := range l.view(&want.Filter, want.Need).items {
			if c.eligible(it) {
				out = append(out, it.entry)
			}
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return a.Score > b.Score || a.Score == b.Score && a.Endpoint.String() < b.Endpoint.String()
	})
	return out
}
