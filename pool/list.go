package pool

import (
	"bytes"
	"context"
	"iter"
	"slices"
	"sort"

	"freeway/proxy"
)

// each calls f with every entry that matches, in no order. The entry has no
// host, user and password, which cost more than all the rest, and is only good
// during the call; whole adds them. mu is held.
func (l *listing) each(f func(n uint32, e *proxy.Entry)) {
	ctx := context.Background() // it is over in a fraction of a second
	var e proxy.Entry
	_ = l.p.eachRow(ctx, func(n uint32, r *row) {
		if l.takes(n, r, &e) {
			f(n, &e)
		}
	})
}

// count is each for a page: it only counts the rows that are behind it for
// certain, where the sieve alone says that they match.
func (l *listing) count(g *page) {
	var e proxy.Entry
	rest, least := l.filter, l.filter.MinScore
	rest.States, rest.Protocols, rest.MinScore = nil, nil, 0
	decided := rest.IsZero() && !l.kept && l.only == none && l.field == "score" && l.reverse
	l.late = l.field != "score"
	_ = l.p.eachRow(context.Background(), func(n uint32, r *row) {
		if decided && g.worst != nil && l.sieve.passes(r) && l.behind(r, g.worst) {
			if least == 0 || !l.below(r, least) {
				g.total++
			}
		} else if l.takes(n, r, &e) {
			g.offer(n, &e)
		}
	})
}

// behind reports whether a row comes after a key by score, as far as that is
// seen without its text.
func (l *listing) behind(r *row, k *key) bool {
	if r.last == 0 && l.prior(r.set) < k.Num {
		return true
	}
	score := l.score(r)
	if score != k.Num {
		return score < k.Num
	}
	tie := l.p.tie(r)
	return bytes.Compare(tie[:], k.tie[:]) > 0
}

// below reports whether the score of a row is less than something. One that
// never lived has at most what its sources promise, which is known at once.
func (l *listing) below(r *row, score float64) bool {
	return r.last == 0 && l.prior(r.set) < score-1e-9 || l.score(r) < score
}

// prior is what the sources of a set promise. One walk over the rows keeps to it.
func (l *listing) prior(set uint32) float64 {
	if l.promise.prior < 0 || l.promise.set != set {
		l.promise.set, l.promise.prior = set, l.p.sources.prior(set)
	}
	return l.promise.prior
}

// score is the score of a row. What was asked last is known: of most entries
// the same is known, or nothing.
func (l *listing) score(r *row) float64 {
	prior := l.prior(r.set)
	if m := &l.scored; r.health != m.health || prior != m.prior {
		m.health, m.prior, m.score = r.health, prior, r.health.Score(l.at, prior)
	}
	return l.scored.score
}

// takes reports whether row n matches, and fills e when it does. mu is held.
func (l *listing) takes(n uint32, r *row, e *proxy.Entry) bool {
	if r.proto == 0 || !l.sieve.passes(r) || l.only != none && l.only != n || l.filter.MinScore > 0 && l.below(r, l.filter.MinScore) {
		return false
	}
	l.p.fillUnscored(e, n, l.at)
	if l.late {
		e.Score = l.filter.MinScore // enough: below has looked
	} else {
		e.Score = l.score(r)
	}
	return l.filter.Match(e) && reaches(l.p.reachedBy(r), &l.filter) && (!l.kept || l.p.cfg.Filter.allows(l.addressed(e, n)))
}

// addressed gives the entry its endpoint where the general filter needs it.
func (l *listing) addressed(e *proxy.Entry, n uint32) *proxy.Entry {
	if len(l.p.cfg.Filter.DenyCIDRs) > 0 {
		e.Endpoint = l.p.endpoint(n)
	}
	return e
}

// whole adds what each leaves away.
func (l *listing) whole(n uint32, e *proxy.Entry) listed {
	full := *e
	if l.late {
		full.Score = l.score(l.p.rows.at(n))
	}
	l.p.name(&full, n)
	return listed{n, full, l.keyOf(&full)}
}

// best keeps the first of each distinct value.
func (l *listing) best() []listed {
	first := map[any]listed{}
	l.each(func(n uint32, e *proxy.Entry) {
		v, ok := l.value(e)
		if !ok || l.came(l.p.rows.at(n)) {
			return
		}
		k := l.rough(e)
		k.tie = l.p.tie(l.p.rows.at(n))
		old, there := first[v]
		if there && l.compareRough(&k, &old.key) > 0 {
			return
		}
		if x := l.whole(n, e); !there || l.compare(&x.key, &old.key) < 0 {
			first[v] = x
		}
	})
	out := make([]listed, 0, len(first))
	for _, x := range first {
		out = append(out, x)
	}
	return out
}

// List returns a page of the entries that match, how many match on all pages,
// and the cursor of the next page, "" on the last. An entry that was there when
// the walk began and matches all the time is shown once, however scores move
// meanwhile; one that came later is not. What a page shows is in order; what
// changed places between pages comes with the next one. A cursor that is sent
// again gives the same page. All that holds while less than 15 minutes pass
// between pages; then, and after a restart, a page begins behind the place where
// the one before ended.
func (p *Pool) List(q Query) (items []proxy.Entry, total int, next string, err error) {
	l, err := p.newListing(q)
	if err != nil {
		return nil, 0, "", err
	}
	l.begin()
	page := &page{l: l}
	if l.distinct != "" {
		for _, x := range l.best() {
			page.total++
			if !l.told(&x.entry) {
				page.keep(x)
			}
		}
	} else {
		l.count(page)
	}
	found, next := l.show(page.sorted())
	items = make([]proxy.Entry, len(found))
	for i := range found {
		items[i] = found[i].entry
	}
	return items, page.total, next, nil
}

// page keeps the first limit+1 entries behind the cursor.
type page struct {
	l     *listing
	total int
	kept  []listed
	worst *key // of a full page; nil: it is not full
}

// offer counts an entry and keeps it if it may be on the page. Most of a large
// pool is left out by what it is sorted by alone.
func (g *page) offer(n uint32, e *proxy.Entry) {
	g.total++
	if g.l.passed(n, g.l.p.rows.at(n)) {
		return
	}
	k := g.l.rough(e)
	k.tie = g.l.p.tie(g.l.p.rows.at(n))
	if g.worst != nil && g.l.compareRough(&k, g.worst) > 0 || g.l.after != nil && g.l.compareRough(&k, g.l.after) < 0 {
		return
	}
	g.keep(g.l.whole(n, e))
}

// keep keeps an entry if it may be on the page.
func (g *page) keep(x listed) {
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
	sort.Sort(byKey{g.l, g.kept})
	return g.kept
}

// byKey sorts entries by what a listing is sorted by. It compares them where
// they are: slices.SortFunc copies both, and is 20 KB of program for this type.
type byKey struct {
	l  *listing
	of []listed
}

func (s byKey) Len() int           { return len(s.of) }
func (s byKey) Less(i, j int) bool { return s.l.compare(&s.of[i].key, &s.of[j].key) < 0 }
func (s byKey) Swap(i, j int)      { s.of[i], s.of[j] = s.of[j], s.of[i] }

// Each is List without pages, for exports. It holds no lock while the caller
// works, and eight bytes an entry. Of more than exactly many, those that differ
// by less than a second, a millisecond of latency or the seventh digit of a
// score come in the order in which they came into the pool.
func (p *Pool) Each(q Query) (iter.Seq[proxy.Entry], error) {
	l, err := p.newListing(q)
	if err != nil {
		return nil, err
	}
	if l.distinct != "" || l.field == "url" {
		return l.inOrder, nil
	}
	return func(yield func(proxy.Entry) bool) {
		var order []uint64
		l.each(func(n uint32, e *proxy.Entry) { order = append(order, uint64(l.rank(e))<<32|uint64(n)) })
		if len(order) <= exactly {
			l.inOrder(yield)
			return
		}
		slices.Sort(order)
		l.hand(order, yield)
	}, nil
}

// exactly is how many entries Each sorts to the last digit.
const exactly = 20_000

// inOrder yields what is to be sorted by text, or to be told apart.
func (l *listing) inOrder(yield func(proxy.Entry) bool) {
	var all []listed
	if l.distinct != "" {
		all = l.best()
	} else {
		l.each(func(n uint32, e *proxy.Entry) { all = append(all, l.whole(n, e)) })
	}
	sort.Sort(byKey{l, all})
	for i := range all {
		if !yield(all[i].entry) {
			return
		}
	}
}

// handed is how many entries are copied out under one lock.
const handed = 512

// hand yields the rows that order ends with and that match still.
func (l *listing) hand(order []uint64, yield func(proxy.Entry) bool) {
	out := make([]proxy.Entry, 0, min(handed, len(order)))
	for part := range slices.Chunk(order, handed) {
		out = l.copyOut(part, out[:0])
		for i := range out {
			if !yield(out[i]) {
				return
			}
		}
	}
}

// copyOut appends the entries of some rows. A row that was given to another
// endpoint meanwhile is left out unless that one matches, too.
func (l *listing) copyOut(part []uint64, out []proxy.Entry) []proxy.Entry {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	for _, k := range part {
		n := uint32(k)
		out = append(out, proxy.Entry{})
		e := &out[len(out)-1]
		if n >= l.p.rows.size || !l.takes(n, l.p.rows.at(n), e) {
			out = out[:len(out)-1]
			continue
		}
		l.p.name(e, n)
	}
	return out
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
