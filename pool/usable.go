package pool

import (
	"iter"
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
	for it := range c.usable(s, true) {
		out = append(out, it.entry)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return a.Score > b.Score || a.Score == b.Score && a.Endpoint.String() < b.Endpoint.String()
	})
	return out
}

// usable goes through what is eligible in the wanted pools, one pool after the other.
// With panicking, those that traffic ejected count in a pool that panics.
func (c *choice) usable(s *snapshot, panicking bool) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, name := range poolsOf(&c.want) {
			l := s.labels[name]
			if l == nil {
				continue
			}
			c.panic = panicking && c.p.panics(s, l)
			for _, it := range l.view(&c.want.Filter, c.want.Need).items {
				if c.eligible(it) && !yield(it) {
					return
				}
			}
		}
	}
}
