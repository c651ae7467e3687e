package pool

import (
	"context"
	"iter"
	"slices"

	"freeway/proxy"
)

// each calls f with every entry that matches, in no order. It only calls skip
// for those that the filter lets pass and skip has no use for.
func (l *listing) each(f func(listed), skip func(*row) bool) {
	ctx := context.Background() // it is over in a fraction of a second
	cheap := newSieve(&l.filter)
	cheap.decides = cheap.decides && !l.kept
	_ = l.p.eachRow(ctx, func(n uint32, r *row) {
		if !cheap.passes(r) || cheap.decides && skip(r) {
			return
		}
		if e := l.p.entry(n, l.at); l.filter.Match(&e) && reaches(l.p.reachedBy(r), &l.filter) && (!l.kept || l.p.cfg.Filter.allows(&e)) {
			f(listed{e, l.keyOf(&e)})
		}
	})
}

// best keeps the first of each distinct value.
func (l *listing) best() []listed {
	first := map[any]listed{}
	l.each(func(x listed) {
		v, ok := l.value(&x.entry)
		if !ok {
			return
		}
		if old, there := first[v]; !there || l.compare(&x.key, &old.key) < 0 {
			first[v] = x
		}
	}, keepAll)
	out := make([]listed, 0, len(first))
	for _, x := range first {
		out = append(out, x)
	}
	return out
}

// List returns a page of the entries that match, how many match on all pages,
// and the cursor of the next page, "" on the last. Pages are stable: an entry
// that stays as it is appears once, whatever happens to others meanwhile.
func (p *Pool) List(q Query) (items []proxy.Entry, total int, next string, err error) {
	l, err := p.newListing(q)
	if err != nil {
		return nil, 0, "", err
	}
	page := &page{l: l}
	if l.distinct != "" {
		for _, x := range l.best() {
			page.offer(x)
		}
	} else {
		l.each(page.offer, page.skip)
	}
	found := page.sorted()
	if len(found) > l.limit {
		found = found[:l.limit]
		next = l.cursor(found[l.limit-1].key)
	}
	items = make([]proxy.Entry, len(found))
	for i := range found {
		items[i] = found[i].entry
	}
	return items, page.total, next, nil
}

// keepAll skips nothing.
func keepAll(*row) bool { return false }

// page keeps the first limit+1 entries behind the cursor.
type page struct {
	l     *listing
	total int
	kept  []listed
	worst *key // of a full page; nil: it is not full
}

// skip counts a row that comes behind the page, judged by its score alone, so
// that most of a large pool need not be shown to be left out.
func (g *page) skip(r *row) bool {
	l := g.l
	if l.field != "score" || g.worst == nil {
		return false
	}
	score := r.health.Score(l.at, l.p.sources.prior(r.set))
	if score == g.worst.Num || score < g.worst.Num != l.reverse {
		return false
	}
	g.total++
	return true
}

// offer counts an entry and keeps it if it may be on the page.
func (g *page) offer(x listed) {
	g.total++
	if g.l.after != nil && g.l.compare(&x.key, g.l.after) <= 0 {
		return
	}
	if most := g.l.limit + 1; len(g.kept) >= 2*most { // cut now and then: each entry is sorted a few times at most
		g.kept = g.sorted()[:most]
		worst := g.kept[most-1].key
		g.worst = &worst
	}
	if g.worst == nil || g.l.compare(&x.key, g.worst) < 0 {
		g.kept = append(g.kept, x)
	}
}

// sorted puts what was kept in order and returns it.
func (g *page) sorted() []listed {
	slices.SortFunc(g.kept, func(a, b listed) int { return g.l.compare(&a.key, &b.key) })
	return g.kept
}

// Each is List without pages, for exports. It holds no lock while the caller
// works.
func (p *Pool) Each(q Query) (iter.Seq[proxy.Entry], error) {
	l, err := p.newListing(q)
	if err != nil {
		return nil, err
	}
	return func(yield func(proxy.Entry) bool) {
		var order []ordered
		take := func(x listed) { order = append(order, ordered{x.entry.Endpoint, x.key}) }
		if l.distinct != "" {
			for _, x := range l.best() {
				take(x)
			}
		} else {
			l.each(take, keepAll)
		}
		slices.SortFunc(order, func(a, b ordered) int { return l.compare(&a.key, &b.key) })
		for i := range order {
			if e, ok := p.Find(order[i].ep); ok && !yield(e) {
				return
			}
		}
	}, nil
}

// ordered is listed without what can be looked up again.
type ordered struct {
	ep  proxy.Endpoint
	key key
}

// All returns the entries that match, in the order of their addresses as far
// as that is stable.
func (p *Pool) All(f proxy.Filter) iter.Seq[proxy.Entry] {
	all, err := p.Each(Query{Filter: f, Sort: "url"})
	if err != nil {
		return func(func(proxy.Entry) bool) {}
	}
	return all
}

// Find returns the entry of an endpoint.
func (p *Pool) Find(ep proxy.Endpoint) (proxy.Entry, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.find(ep)
	if n == none {
		return proxy.Entry{}, false
	}
	return p.entry(n, p.clock.now()), true
}
