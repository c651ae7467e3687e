package pool

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
// ties are ordered by address, port and protocol, those of names by the text of
// the endpoint, so that the order is total.
type key struct {
	Unknown bool    `json:"u,omitempty"`
	Num     float64 `json:"n,omitempty"`
	Text    string  `json:"t,omitempty"`
	URL     string  `json:"l"`
	tie     tieKey  // of URL
}

// tieKey orders endpoints without making text of them: the address as 16
// bytes, the port, the protocol. All names are the same, behind all addresses.
type tieKey [19]byte

// namedTie is that of all names.
var namedTie = tieKey{0: 0xff, 1: 0xff, 2: 0xff}

// tieOf is the tieKey of an endpoint.
func tieOf(ep proxy.Endpoint) tieKey {
	a := ep.Addr()
	if !a.IsValid() {
		return namedTie
	}
	return makeTie(a.WithZone("").As16(), ep.Port, ep.Protocol)
}

func makeTie(host [16]byte, port uint16, proto proxy.Protocol) (k tieKey) {
	copy(k[:], host[:])
	k[16], k[17], k[18] = byte(port>>8), byte(port), byte(proto)
	return k
}

// tie is the tieKey of a row. mu is held.
func (p *Pool) tie(r *row) tieKey {
	g := &p.groups.at(r.group).place
	if g.named {
		return namedTie
	}
	return makeTie(g.host, g.port, r.proto)
}

// cursor is where a page ended. At keeps scores from moving between pages. Key
// is the place, for when the walk is not known any more.
type cursor struct {
	Sort string `json:"s"`
	At   int64  `json:"a"` // Unix milliseconds
	Key  key    `json:"k"`
	Walk uint64 `json:"w,omitempty"`
	From uint32 `json:"f,omitempty"` // how many entries the walk had shown
}

// listing is a Query made ready.
type listing struct {
	p        *Pool
	filter   proxy.Filter // without its url, see only
	sieve    sieve
	only     uint32 // the row of the filter's url; none: any
	sort     string
	field    string
	reverse  bool
	distinct string
	limit    int
	at       time.Time
	after    *key // the page begins behind this one
	place    key  // of the cursor
	walk     *walk
	from     uint32   // how many entries the walk had shown when the page was asked for
	shown    bitset   // those of the walk
	promise  struct { // the latest set of sources; a prior of -1 is none
		set   uint32
		prior float64
	}
	scored struct { // the latest score; a prior of -1 is none
		health       proxy.Health
		prior, score float64
	}
	late bool // scores are found out for what is shown only
	kept bool // those that the general filter keeps from use are left out, as only live ones are asked for
}

// listed is an entry and what it is ordered by.
type listed struct {
	row   uint32
	entry proxy.Entry
	key   key
}

// newListing checks a query and continues where its cursor says.
func (p *Pool) newListing(q Query) (*listing, error) {
	l := &listing{p: p, filter: q.Filter, sort: q.Sort, distinct: q.Distinct, limit: q.Limit, at: p.clock.now().Truncate(time.Millisecond),
		kept: slices.Equal(q.Filter.States, []proxy.State{proxy.Live}) && p.filtered()}
	l.scored.prior, l.promise.prior = -1, -1
	if l.sort == "" {
		l.sort = "-score"
	}
	l.field, l.reverse = strings.CutPrefix(l.sort, "-")
	if !slices.Contains(Sorts(), l.field) {
		return nil, fmt.Errorf("sort: %q is not one of %s", l.field, strings.Join(Sorts(), ", "))
	}
	l.find(q.Filter.URL)
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
	l.at, l.place = time.UnixMilli(c.At), c.Key
	l.resume(&c)
	return l, nil
}

// find turns the filter's url into the row that it is. An endpoint that is not
// known is none of the rows.
func (l *listing) find(url string) {
	l.filter.URL, l.only = "", none
	l.sieve = newSieve(&l.filter)
	l.sieve.lived = l.sieve.lived || l.distinct != "" // the others have no value to be told apart by
	if url == "" {
		return
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.only = none - 1 // no row has this number
	if ep, err := proxy.Parse(url); err == nil {
		if n := l.p.find(ep); n != none {
			l.only = n
		}
	}
}

// filtered reports whether there is a general filter.
func (p *Pool) filtered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.cfg.Filter
	return len(f.Countries)+len(f.DenyCountries)+len(f.DenyASNs)+len(f.DenyCIDRs) > 0
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

// readCursor reads what listing.cursor wrote. Clients may send anything.
func readCursor(s string) (c cursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, err
	}
	ep, err := proxy.Parse(c.Key.URL)
	c.Key.tie = tieOf(ep)
	return c, err
}

// cursor names the place behind a key. It is opaque to clients.
func (l *listing) cursor(k key, from uint32) string {
	text, err := json.Marshal(cursor{l.sort, l.at.UnixMilli(), k, l.walk.id, from})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// keyOf returns what an entry is ordered by.
func (l *listing) keyOf(e *proxy.Entry) key {
	k := l.rough(e)
	k.URL, k.tie = e.Endpoint.String(), tieOf(e.Endpoint)
	return k
}

// rough is keyOf without URL and tie, which each does not know.
func (l *listing) rough(e *proxy.Entry) (k key) {
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

// rank is rough in 32 bits, turned around already: seconds, milliseconds of
// latency, a score of 24 bits, or two letters. Unknown is the last.
func (l *listing) rank(e *proxy.Entry) uint32 {
	k := l.rough(e)
	if k.Unknown {
		return math.MaxUint32
	}
	var v uint32
	switch l.field {
	case "score":
		v = math.Float32bits(float32(k.Num)) // in order for what is not negative
	case "latency":
		v = uint32(min(e.Latency.Milliseconds(), math.MaxInt32))
	case "country":
		v = uint32(k.Text[0])<<8 | uint32(k.Text[len(k.Text)-1])
	default:
		v = uint32(k.Num / 1000)
	}
	if l.reverse {
		v = ^v
	}
	return min(v, math.MaxUint32-1)
}

// compare orders keys.
func (l *listing) compare(a, b *key) int {
	c := l.compareRough(a, b)
	if c == 0 && l.field == "url" && l.reverse {
		return strings.Compare(b.URL, a.URL)
	}
	if c == 0 {
		c = strings.Compare(a.URL, b.URL)
	}
	return c
}

// compareRough orders keys by all but the URL.
func (l *listing) compareRough(a, b *key) int {
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
	if l.reverse {
		c = -c
	}
	if c == 0 && l.field != "url" {
		c = bytes.Compare(a.tie[:], b.tie[:])
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

// sieve is the part of a filter that a row can answer without the view.
type sieve struct {
	states    []proxy.State
	protocols []proxy.Protocol
	lived     bool
}

// newSieve prepares a filter for rows.
func newSieve(f *proxy.Filter) sieve {
	needs := len(f.Countries)+len(f.ASNs)+len(f.Exits)+len(f.Targets) > 0 || f.Anonymity > 0 || f.Tunnel == proxy.Yes || f.MaxLatency > 0
	return sieve{f.States, f.Protocols, needs}
}

// passes reports whether the row may match; only the view of it is sure.
func (s *sieve) passes(r *row) bool {
	return (len(s.states) == 0 || slices.Contains(s.states, r.state)) &&
		(len(s.protocols) == 0 || slices.Contains(s.protocols, r.proto)) && (!s.lived || r.lived != 0)
}
