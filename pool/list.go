package pool

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"freeway/proxy"
)

// Sorts returns the fields that Query.Sort knows.
func Sorts() []string {
	return []string{"score", "latency", "last_checked", "last_live", "first_seen", "next_check", "country", "url"}
}

const defaultLimit = 50

// key is what an entry is ordered by. Unknown values come last either way;
// ties are ordered by the text of the endpoint, so that the order is total.
type key struct {
	Unknown bool    `json:"u,omitempty"`
	Num     float64 `json:"n,omitempty"`
	Text    string  `json:"t,omitempty"`
	URL     string  `json:"l"`
}

// cursor is where a page ended. At keeps scores from moving between pages.
type cursor struct {
	Sort string `json:"s"`
	At   int64  `json:"a"` // Unix milliseconds
	Key  key    `json:"k"`
}

// listing is a Query made ready.
type listing struct {
	p        *Pool
	filter   proxy.Filter
	sort     string
	field    string
	reverse  bool
	distinct string
	limit    int
	at       time.Time
	after    *key // the page begins behind this one
}

// listed is an entry and what it is ordered by.
type listed struct {
	entry proxy.Entry
	key   key
}

func (p *Pool) newListing(q Query) (*listing, error) {
	l := &listing{p: p, filter: q.Filter, sort: q.Sort, distinct: q.Distinct, limit: q.Limit, at: p.clock.now().Truncate(time.Millisecond)}
	if l.sort == "" {
		l.sort = "-score"
	}
	l.field, l.reverse = strings.CutPrefix(l.sort, "-")
	if !slices.Contains(Sorts(), l.field) {
		return nil, fmt.Errorf("sort: %q is not one of %s", l.field, strings.Join(Sorts(), ", "))
	}
	if l.limit <= 0 {
		l.limit = defaultLimit
	}
	switch l.distinct {
	case "", "exit_ip", "asn", "country":
	default:
		return nil, fmt.Errorf("distinct: %q is not one of exit_ip, asn, country", l.distinct)
	}
	if q.Cursor == "" {
		return l, nil
	}
	c, err := readCursor(q.Cursor)
	if err != nil || c.Sort != l.sort {
		return nil, errors.New("cursor: it is not one of this list; begin again without")
	}
	l.at, l.after = time.UnixMilli(c.At), &c.Key
	if e, ok := p.unchanged(c.Key.URL, l.at); ok {
		now := l.keyOf(&e)
		l.after = &now
	}
	return l, nil
}

// unchanged returns the entry that ended a page, as of then, if nothing was
// observed of it since. Its score moves with the yield of its sources, like
// those of its neighbours, so where it is now is where the next page begins.
func (p *Pool) unchanged(url string, at time.Time) (proxy.Entry, bool) {
	ep, err := proxy.Parse(url)
	if err != nil {
		return proxy.Entry{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.find(ep)
	if n == none || p.rows.at(n).health.At > seconds(at) {
		return proxy.Entry{}, false
	}
	return p.entry(n, at), true
}

func readCursor(s string) (c cursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(text, &c)
}

func (l *listing) cursor(k key) string {
	text, err := json.Marshal(cursor{l.sort, l.at.UnixMilli(), k})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// keyOf returns what an entry is ordered by.
func (l *listing) keyOf(e *proxy.Entry) key {
	k := key{URL: e.Endpoint.String()}
	stamp := func(t time.Time) {
		k.Unknown = t.IsZero()
		if !k.Unknown {
			k.Num = float64(t.UnixMilli())
		}
	}
	switch l.field {
	case "score":
		k.Num = e.Score
	case "latency":
		k.Num, k.Unknown = float64(e.Latency), e.Latency == 0
	case "last_checked":
		stamp(e.LastChecked)
	case "last_live":
		stamp(e.LastLive)
	case "first_seen":
		stamp(e.FirstSeen)
	case "next_check":
		stamp(e.NextCheck)
	case "country":
		k.Text, k.Unknown = e.Traits.Country, e.Traits.Country == ""
	}
	return k
}

// compare orders keys.
func (l *listing) compare(a, b *key) int {
	if a.Unknown != b.Unknown {
		if a.Unknown {
			return 1
		}
		return -1
	}
	c := cmp.Compare(a.Num, b.Num)
	if c == 0 {
		c = strings.Compare(a.Text, b.Text)
	}
	if c == 0 && l.field == "url" {
		c = strings.Compare(a.URL, b.URL)
	}
	if l.reverse {
		c = -c
	}
	if c == 0 {
		c = strings.Compare(a.URL, b.URL)
	}
	return c
}

// value is what Distinct tells entries apart by; ok is false when it is not known.
func (l *listing) value(e *proxy.Entry) (v any, ok bool) {
	switch l.distinct {
	case "exit_ip":
		return e.Traits.ExitIP, e.Traits.ExitIP.IsValid()
	case "asn":
		return e.Traits.ASN, e.Traits.ASN != 0
	}
	return e.Traits.Country, e.Traits.Country != ""
}

// each calls f with every entry that matches, in no order. It only calls skip
// for those that the filter lets pass and skip has no use for.
func (l *listing) each(f func(listed), skip func(*row) bool) {
	ctx := context.Background() // it is over in a fraction of a second
	cheap := newSieve(&l.filter)
	_ = l.p.eachRow(ctx, func(n uint32, r *row) {
		if !cheap.passes(r) || cheap.decides && skip(r) {
			return
		}
		if e := l.p.entry(n, l.at); l.filter.Match(&e) && reaches(l.p.reachedBy(r), &l.filter) {
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

// sieve is the part of a filter that a row can answer without the view.
type sieve struct {
	states    []proxy.State
	protocols []proxy.Protocol
	lived     bool
	decides   bool // nothing else is to be looked at
}

func newSieve(f *proxy.Filter) sieve {
	needs := len(f.Countries)+len(f.ASNs)+len(f.Exits)+len(f.Targets) > 0 || f.Anonymity > 0 || f.Tunnel == proxy.Yes || f.MaxLatency > 0
	rest := *f
	rest.States, rest.Protocols = nil, nil
	return sieve{f.States, f.Protocols, needs, rest.IsZero()}
}

func (s *sieve) passes(r *row) bool {
	return (len(s.states) == 0 || slices.Contains(s.states, r.state)) &&
		(len(s.protocols) == 0 || slices.Contains(s.protocols, r.proto)) && (!s.lived || r.lived != 0)
}
