package pool_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestTargetsAreBounded: clients choose the domains, so there must be a limit
// to what is remembered of them.
func TestTargetsAreBounded(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
	for i := range 5000 {
		x := proxy.Target{Host: fmt.Sprint(i, ".example"), Domain: fmt.Sprint(i, ".example"), Port: 443}
		use(t, p, at(found[1].Endpoint, x), outcome(proxy.OK))
		use(t, p, at(found[0].Endpoint, x), outcome(proxy.Banned))
	}
	if n := len(p.Targets()); n > 4096 || n < 4000 {
		t.Errorf("%d targets are remembered, want at most 4096", n)
	}
}

// TestPairsAreBounded: and to what is remembered of one domain.
func TestPairsAreBounded(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 5000)
	for i, c := range found[1:] {
		if n, err := p.Feedback(pool.Feedback{Proxy: c.Endpoint.ID(), Target: "shop.example", Verdict: "banned"}); n != 1 || err != nil {
			t.Fatalf("Feedback = %d, %v", n, err)
		}
		if i == 0 { // without one that works the target would be throttling
			use(t, p, at(found[0].Endpoint, target(t, "shop.example")), outcome(proxy.OK))
		}
	}
	if got := p.Targets(); len(got) != 1 || len(got[0].Banned) > 4096 || len(got[0].Banned) < 2000 {
		t.Errorf("%d bans are remembered, want thousands, at most 4096", len(got[0].Banned))
	}
}

// TestTargetsAreForgotten: what ended long ago is not kept.
func TestTargetsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p, found := livePool(t, pool.Config{}, pool.Env{Store: s}, 5)
		x := target(t, "shop.example")
		use(t, p, at(found[0].Endpoint, x), outcome(proxy.Banned))
		if err := p.Flush(t.Context()); err != nil || s.docCount("target/") != 1 {
			t.Fatalf("%d documents of targets, %v, want 1", s.docCount("target/"), err)
		}
		time.Sleep(3 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := s.docCount("target/"); n != 0 {
			t.Errorf("three hours after a ban of a minute %d documents are left", n)
		}
	})
}

func (s *memStore) docCount(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.docs {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// TestTombstonesEnd: after thirty days a list may bring it back.
func TestTombstonesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s})
		found := many(2)
		add(t, p, "a", found)
		if _, err := p.Delete(t.Context(), found[0].Endpoint.ID()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(29 * 24 * time.Hour)
		if y := add(t, p, "a", found); y.New != 0 {
			t.Errorf("after 29 days: %+v, want it still kept out", y)
		}
		time.Sleep(25 * time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := s.docCount("tombstone/"); n != 0 {
			t.Errorf("%d tombstones are left", n)
		}
		if y := add(t, p, "a", found); y.New != 1 {
			t.Errorf("after 30 days: %+v, want it new", y)
		}
	})
}

// TestSessionDocumentsEnd: sessions that have ended leave nothing in the store.
func TestSessionDocumentsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p, _ := livePool(t, pool.Config{}, pool.Env{Store: s}, 20)
		for i := range 10 {
			pick(t, p, sticky("bob", fmt.Sprint(i)))
		}
		if err := p.Flush(t.Context()); err != nil || s.docCount("session/") != 10 {
			t.Fatalf("%d documents of sessions, %v, want 10", s.docCount("session/"), err)
		}
		time.Sleep(10 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := s.docCount("session/"); n != 0 || len(p.Sessions()) != 0 {
			t.Errorf("%d documents are left", n)
		}
	})
}

// TestBrokenDocuments: documents that cannot be read stop nobody.
func TestBrokenDocuments(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	for _, name := range []string{"session/x", "target/y", "tombstone/", "tombstone/http://5.1.1.1:80", "note/z", "unknown", "future/doc"} {
		s.docs[name] = []byte("{broken")
	}
	p := open(t, pool.Config{}, pool.Env{Store: s})
	if string(p.Recall("z")) != "{broken" || len(p.Sessions())+len(p.Targets()) != 0 {
		t.Error("broken documents were taken for something")
	}
}

// TestPolicyChanges: an address that was forbidden is tried again when the
// configuration allows it.
func TestPolicyChanges(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	allow := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	p := open(t, pool.Config{}, pool.Env{Store: s, Policy: allow})
	found := candidates(t, "http://127.0.0.9:80")
	add(t, p, "a", found)
	report(p, found[0].Endpoint, proxy.Forbidden)
	if st := state(t, p, found[0].Endpoint); st != proxy.Unsafe {
		t.Fatalf("at a forbidden address it is %v, want unsafe", st)
	}
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if p := open(t, pool.Config{}, pool.Env{Store: s}); state(t, p, found[0].Endpoint) != proxy.Unsafe {
		t.Error("with the strict policy it is not unsafe any more")
	}
	if p := open(t, pool.Config{}, pool.Env{Store: s, Policy: allow}); state(t, p, found[0].Endpoint) == proxy.Unsafe {
		t.Error("with the policy that allows it it is still unsafe")
	}
}

// TestPolicyGetsStricter: what was live at addresses that may not be dialled any
// more is not handed out, not checked and not forgotten, and comes back as it was.
func TestPolicyGetsStricter(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	allow := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	p := open(t, pool.Config{}, pool.Env{Store: s, Policy: allow})
	found := candidates(t, "http://127.0.0.9:80", "http://localhost:81", "http://5.5.5.5:80")
	add(t, p, "a", found)
	for _, c := range found {
		report(p, c.Endpoint, proxy.OK)
	}
	save := func(p *pool.Pool) {
		t.Helper()
		if err := p.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	save(p)
	p = open(t, pool.Config{}, pool.Env{Store: s})
	add(t, p, "b", found) // changes their records
	for _, c := range found[:2] {
		if e, _ := p.Find(c.Endpoint); e.State != proxy.Unsafe || e.Error.Class != proxy.Forbidden {
			t.Errorf("%v is %v, %v, want unsafe at a forbidden address", e.Endpoint, e.State, e.Error.Class)
		}
	}
	if n := p.Eligible(proxy.Want{}); n != 1 {
		t.Errorf("%d eligible, want the one at a public address", n)
	}
	save(p)
	p = open(t, pool.Config{}, pool.Env{Store: s, Policy: allow})
	for _, c := range found {
		if e, _ := p.Find(c.Endpoint); e.State != proxy.Live || e.Error != (proxy.Fault{}) {
			t.Errorf("%v is %v, %v when it is allowed again, want live", e.Endpoint, e.State, e.Error.Class)
		}
	}
	if n := p.Eligible(proxy.Want{}); n != 3 {
		t.Errorf("%d eligible, want 3", n)
	}
}

// TestListsUpdate: a list may bring a new password and a label, and a public
// list does not take a label away.
func TestListsUpdate(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	c := candidate(t, "http://bob:old@5.1.1.1:80")
	add(t, p, "public list", []proxy.Candidate{c})
	c.Password, c.Pool = proxy.NewSecret("new"), "own"
	add(t, p, "my list", []proxy.Candidate{c})
	c.Pool = ""
	add(t, p, "public list", []proxy.Candidate{c})
	e, _ := p.Find(c.Endpoint)
	if e.Password.Reveal() != "new" || e.Pool != "own" || len(e.Sources) != 2 {
		t.Errorf("entry = %+v, password %q", e, e.Password.Reveal())
	}
}

// TestNewPortOfALivingHost: a host that worked needs nobody to stand for it.
func TestNewPortOfALivingHost(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	add(t, p, "a", candidates(t, "http://5.5.5.5:1"))
	p.Report(verdict(next(t, p), proxy.OK))
	add(t, p, "a", candidates(t, "http://5.5.5.5:1", "http://5.5.5.5:2", "http://5.5.5.5:3"))
	if a, b := next(t, p), next(t, p); a.Port == b.Port {
		t.Errorf("ports %d and %d, want both new ones at once", a.Port, b.Port)
	}

	p = open(t, pool.Config{}, pool.Env{})
	add(t, p, "a", candidates(t, "http://5.5.5.5:1"))
	p.Report(verdict(next(t, p), proxy.Refused))
	add(t, p, "a", candidates(t, "http://5.5.5.5:1", "http://5.5.5.5:2", "http://5.5.5.5:3"))
	next(t, p)
	if st := p.Stats(); st.Due != 0 || st.Claimed != 1 {
		t.Errorf("after a port had failed: %+v, want one of the others at a time", st)
	}
}

// FuzzCursor: clients send cursors, and anything else in their place.
func FuzzCursor(f *testing.F) {
	p, _ := mixed(f)
	for _, sort := range []string{"-score", "url", "latency"} {
		_, _, next := list(f, p, pool.Query{Sort: sort, Limit: 3})
		f.Add(sort, next)
	}
	f.Add("score", "e30")
	f.Fuzz(func(t *testing.T, sort, cursor string) {
		items, total, _, err := p.List(pool.Query{Sort: sort, Cursor: cursor, Limit: 5})
		if err == nil && (len(items) > 5 || total != 300) {
			t.Fatalf("List = %d of %d", len(items), total)
		}
	})
}
