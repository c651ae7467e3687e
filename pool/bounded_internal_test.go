package pool

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"testing"
	"time"

	"freeway/proxy"
)

// brokenStore can never be written. During each write something happens.
type brokenStore struct{ during func() }

func (brokenStore) Load(context.Context) iter.Seq2[proxy.Record, error] {
	return func(func(proxy.Record, error) bool) {}
}
func (brokenStore) Docs(context.Context) (map[string][]byte, error) { return nil, nil }
func (s brokenStore) Save(context.Context, proxy.Batch) error {
	s.during()
	return errors.New("no space left on device")
}

// TestBoundedWhileReadOnly: threats row 68. What waits for a store that cannot
// be written for long is bounded, however often writing is tried.
func TestBoundedWhileReadOnly(t *testing.T) {
	t.Parallel()
	var p *Pool
	s := &brokenStore{}
	s.during = func() { // each row changes again while it is being written
		for n := range p.rows.size {
			p.mu.Lock()
			p.mark(n)
			p.mu.Unlock()
		}
	}
	p, err := Open(t.Context(), Config{}, Env{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	var found []proxy.Candidate
	for i := range 100 {
		found = append(found, proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: fmt.Sprintf("20.0.0.%d", i+1), Port: 80}})
	}
	if _, err := p.Insert(t.Context(), found); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("Insert = %v, want ErrReadOnly", err)
	}
	for range 50 {
		if err := p.Flush(t.Context()); err == nil {
			t.Fatal("Flush succeeded")
		}
	}
	if n := len(p.dirty); n > 200 {
		t.Errorf("%d rows wait to be written, there are 100", n)
	}
	for i := range maxPending + 1000 {
		p.docs.put(docSession+fmt.Sprint(i), nil)
	}
	p.docs.put(docSession+"x", []byte("{}"))
	if n := len(p.docs.pending); n > maxPending+1 || p.docs.pending[docSession+"x"] == nil {
		t.Errorf("%d documents wait to be written, want at most %d, and what is not a deletion", n, maxPending)
	}
	for i := range maxDrops + 1000 {
		p.dropLater(proxy.Endpoint{Protocol: proxy.HTTP, Host: "h", Port: uint16(i), User: fmt.Sprint(i >> 16)})
	}
	if n := len(p.drops); n > maxDrops {
		t.Errorf("%d deletions wait, want at most %d", n, maxDrops)
	}
}

// remembered counts the pairs of all domains.
func (t *targets) remembered() (n int) {
	for _, x := range t.byDomain {
		n += len(x.pairs)
	}
	return n
}

// TestPairsAreBoundedInSize: a domain has its limit, and so have all together, at
// any time; many that have few take nothing from one that has many.
func TestPairsAreBoundedInSize(t *testing.T) {
	t.Parallel()
	p := newPool(Config{}.withDefaults(), Env{})
	now := time.Unix(1_800_000_000, 0)
	fill := func(domain string, exits int) {
		x := p.targets.make(domain, now)
		for i := range exits {
			x.mu.Lock()
			x.failPair(netip.AddrFrom4([4]byte{20, 0, byte(i >> 8), byte(i)}), now)
			x.mu.Unlock()
		}
	}
	fill("first.example", maxPairs+100)
	if n := p.targets.remembered(); n > maxPairs || n < maxPairs/2 {
		t.Errorf("%d pairs of one domain, want at most %d", n, maxPairs)
	}
	before := p.targets.remembered()
	for i := range 1000 {
		fill(fmt.Sprint(i, ".small.example"), 1)
	}
	if p.sweepTargets(now); p.targets.remembered() != before+1000 {
		t.Errorf("%d pairs, want that %d stay beside many domains of one each", p.targets.remembered(), before)
	}
	for i := range 150 {
		fill(fmt.Sprint(i, ".example"), maxAllPairs/100)
	}
	if n := p.targets.remembered(); n > maxAllPairs || n < maxAllPairs/4 {
		t.Errorf("%d pairs of many domains, want at most %d", n, maxAllPairs)
	}
	for i := range maxTargets + 100 {
		p.targets.make(fmt.Sprint(i, ".shop.example"), now)
	}
	for domain := range maps.Clone(p.targets.byDomain) {
		fill(domain, 40)
	}
	if n := len(p.targets.byDomain); n != maxTargets {
		t.Errorf("%d domains, want %d", n, maxTargets)
	}
	if n := p.targets.remembered(); n > maxAllPairs || n < maxAllPairs/4 {
		t.Errorf("%d pairs with all domains there can be, want at most %d", n, maxAllPairs)
	}
}

// TestPairsAreBoundedInTime: what is remembered of an exit ends, also at a domain
// that is in use all the time.
func TestPairsAreBoundedInTime(t *testing.T) {
	t.Parallel()
	p := newPool(Config{}.withDefaults(), Env{})
	now := time.Unix(1_800_000_000, 0)
	to := proxy.Target{Host: "shop.example", Domain: "shop.example", Port: 443}
	use := func(class proxy.Class, exit byte) {
		o := proxy.Outcome{Target: to, Class: class, Stage: proxy.StageBody, Origin: proxy.FromTraffic}
		p.targets.make(to.Domain, now).observe(o, proxy.PublicPool, netip.AddrFrom4([4]byte{20, 0, 0, exit}), false, now)
	}
	use(proxy.Banned, 1)
	for range int(pairMemory/time.Minute) - 1 {
		now = now.Add(time.Minute)
		use(proxy.OK, 2)
		p.sweepTargets(now)
	}
	if n := p.targets.remembered(); n != 1 {
		t.Fatalf("%d pairs, want the one that was banned", n)
	}
	for range 3 {
		now = now.Add(time.Minute)
		use(proxy.OK, 2)
		p.sweepTargets(now)
	}
	if n := p.targets.remembered(); n != 0 {
		t.Errorf("%d pairs %v after the ban, want none", n, pairMemory)
	}
	now = now.Add(time.Hour)
	if p.sweepTargets(now); len(p.targets.byDomain) != 0 {
		t.Errorf("%d domains an hour after the last use, want none", len(p.targets.byDomain))
	}
}

// TestLeftoverDocumentsGo: documents that have ended are deleted at the start.
func TestLeftoverDocumentsGo(t *testing.T) {
	t.Parallel()
	p := newPool(Config{}.withDefaults(), Env{Store: &brokenStore{}})
	now := time.Unix(1_800_000_000, 0)
	x := &session{ep: proxy.Endpoint{Protocol: proxy.HTTP, Host: "20.0.0.1", Port: 80}, since: now.Add(-time.Hour), until: now.Add(-time.Minute)}
	p.loadDoc(docSession+"s1", x.doc(proxy.SessionKey{User: "bob", ID: "a"}), now)
	p.loadDoc(docTomb+"http://20.0.0.1:80", []byte("1700000000"), now)
	for _, name := range []string{docSession + "s1", docTomb + "http://20.0.0.1:80"} {
		if doc, ok := p.docs.pending[name]; !ok || doc != nil {
			t.Errorf("%s is not deleted: %q, %v", name, doc, ok)
		}
	}
}
