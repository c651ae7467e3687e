package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// TestRestart: after a restart from the real store everything is as it was.
func TestRestart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s}, 50)
	private := candidates(t, "socks5://bob:secret@proxy.example.com:1080", "http://5.1.1.1:80", "http://5.1.1.1:81")
	private[0].Pool = "own"
	if _, err := p.Insert(ctx, private); err != nil {
		t.Fatal(err)
	}
	report(p, private[0].Endpoint, proxy.OK)
	report(p, private[1].Endpoint, proxy.Tampered)
	report(p, found[0].Endpoint, proxy.Refused)
	for range 3 {
		use(t, p, at(found[1].Endpoint, target(t, "a.example")), refused())
	}
	use(t, p, at(found[2].Endpoint, target(t, "shop.example")), outcome(proxy.Banned))
	session := pick(t, p, sticky("bob", "s")).Entry.Endpoint
	p.Note("etag", []byte("abc"))
	p.Note("gone", []byte("x"))
	p.Note("gone", nil)
	if _, err := p.Delete(ctx, private[2].Endpoint.ID()); err != nil {
		t.Fatal(err)
	}
	before := all(p)
	if err := errors.Join(p.Flush(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}

	if s, err = store.Open(path, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p = open(t, pool.Config{}, pool.Env{Store: s})
	about := cmp.Options{cmpopts.EquateApprox(0, 1e-3), cmpopts.EquateApproxTime(time.Second), cmp.Comparer(func(a, b proxy.Secret) bool { return a.Reveal() == b.Reveal() }),
		cmpopts.EquateComparable(proxy.Traits{}), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(before, all(p), about); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if w := p.Worth("list"); w != (proxy.Worth{Listed: 50, Live: 48, EverLive: 50, Checked: 50, FirstLive: 50, Exclusive: 50, OnlyLive: 48, Latency: 100 * time.Millisecond}) {
		t.Errorf("Worth = %+v", w)
	}
	if e := pick(t, p, sticky("bob", "s")).Entry.Endpoint; e != session {
		t.Errorf("the session is at %v, want %v", e, session)
	}
	if p.Eligible(at(found[2].Endpoint, target(t, "shop.example"))) != 0 {
		t.Error("a ban was forgotten")
	}
	if string(p.Recall("etag")) != "abc" || p.Recall("gone") != nil || p.Recall("never") != nil {
		t.Error("the notes are not what they were")
	}
	if y := add(t, p, "a", private[2:]); y.New != 0 {
		t.Error("what was deleted came back")
	}
}

func all(p *pool.Pool) map[string]proxy.Entry {
	out := map[string]proxy.Entry{}
	for e := range p.All(proxy.Filter{}) {
		out[e.Endpoint.String()] = e
	}
	return out
}

// TestRunWritesBehind: verdicts are on disk two seconds later, and what is left
// when Run ends.
func TestRunWritesBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		found := many(3)
		add(t, p, "a", found)
		report(p, found[0].Endpoint, proxy.OK)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if rec := s.record(found[0].Endpoint); !rec.Passed || rec.Checks.OK != 1 {
			t.Errorf("two seconds after its check the record is %+v", rec)
		}
		s.setFail(errDisk)
		report(p, found[1].Endpoint, proxy.OK)
		time.Sleep(time.Hour)
		if saves, _, _ := s.counts(); saves > 260 {
			t.Errorf("a failing store was tried %d times in an hour", saves)
		}
		if p.Eligible(proxy.Want{}) != 2 {
			t.Error("a pool whose store fails does not go on in memory")
		}
		s.setFail(nil)
		time.Sleep(16 * time.Second)
		if rec := s.record(found[1].Endpoint); !rec.Passed {
			t.Error("once the store works again it does not get what it missed")
		}
		report(p, found[2].Endpoint, proxy.OK)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if rec := s.record(found[2].Endpoint); !rec.Passed {
			t.Error("the end of Run did not save the latest verdict")
		}
	})
}

func (s *memStore) record(ep proxy.Endpoint) proxy.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recs[ep]
}

// TestSlowDisk: threats row 71. Picks and reports do not wait for the store.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s}, 100)
	s.mu.Lock()
	s.gate = make(chan struct{})
	s.mu.Unlock()
	flushed := make(chan error)
	go func() { flushed <- p.Flush(context.Background()) }()
	for range 1000 {
		use(t, p, proxy.Want{Target: target(t, "a.example")}, outcome(proxy.OK))
		report(p, found[0].Endpoint, proxy.OK)
		pick(t, p, sticky("bob", "x")).Close()
		p.Record(proxy.Trace{})
	}
	select {
	case <-flushed:
		t.Error("the store was not slow")
	default:
	}
	close(s.gate)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
}

// TestDropAndComeBack: an endpoint that is dropped and named again is in the
// store, whatever the order of writes.
func TestDropAndComeBack(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p := open(t, pool.Config{}, pool.Env{Store: s})
	c := candidate(t, "http://5.1.1.1:80")
	ctx := context.Background()
	for round := range 20 {
		if _, err := p.Insert(ctx, []proxy.Candidate{c}); err != nil {
			t.Fatal(err)
		}
		if !s.has(c.Endpoint) {
			t.Fatalf("round %d: inserted and not in the store", round)
		}
		if round%2 == 0 {
			s.setFail(errDisk)
		}
		_, _ = p.Delete(ctx, c.Endpoint.ID()) // fails every other time
		s.setFail(nil)
		if round%4 == 1 {
			if err := p.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			if s.has(c.Endpoint) {
				t.Fatalf("round %d: deleted and still in the store", round)
			}
		}
	}
}

// TestManyComeAndGo exercises the indexes: names, farms, users and rows are
// made, dropped and made again, and nothing gets mixed up.
func TestManyComeAndGo(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	ctx := context.Background()
	var found []proxy.Candidate
	for i := range 400 {
		host := fmt.Sprintf("5.5.%d.%d", i%7, i%3)
		if i%4 == 0 {
			host = fmt.Sprintf("h%d.example.com", i%20)
		}
		user := ""
		if i%5 == 0 {
			user = fmt.Sprintf("u%d@", i)
		}
		found = append(found, candidate(t, fmt.Sprintf("%s://%s%s:%d", proxy.Protocols()[i%4], user, host, 1000+i%50)))
	}
	want := map[string]bool{}
	for round := range 40 {
		for i, c := range found {
			switch (i*7 + round*13) % 5 {
			case 0, 1:
				if _, err := p.Insert(ctx, []proxy.Candidate{c}); err != nil {
					t.Fatal(err)
				}
				want[c.Endpoint.String()] = true
			case 2:
				if ok, _ := p.Delete(ctx, c.Endpoint.ID()); ok != want[c.Endpoint.String()] {
					t.Fatalf("Delete(%s) = %v, want %v", c.Endpoint, ok, !ok)
				}
				delete(want, c.Endpoint.String())
			case 3:
				report(p, c.Endpoint, []proxy.Class{proxy.OK, proxy.Refused}[round%2])
			default:
				if _, ok := p.Find(c.Endpoint); ok != want[c.Endpoint.String()] {
					t.Fatalf("Find(%s) = %v, want %v", c.Endpoint, ok, !ok)
				}
			}
		}
		got := all(p)
		if len(got) != len(want) {
			t.Fatalf("round %d: %d entries, want %d", round, len(got), len(want))
		}
		for u := range got {
			if !want[u] {
				t.Fatalf("round %d: %s is there and should not be", round, u)
			}
		}
	}
	for j := range p.Stats().Due {
		if len(next(t, p).Entries) == 0 {
			t.Fatalf("job %d is empty", j)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := many(2)
	add(t, p, "a", found)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx, proxy.Want{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, proxy.ErrNone) {
		t.Errorf("Wait for nothing = %v, want the deadline and the reason", err)
	}
	done := make(chan error)
	go func() { done <- p.Wait(context.Background(), proxy.Want{}) }()
	report(p, found[0].Endpoint, proxy.Refused)
	report(p, found[1].Endpoint, proxy.OK)
	if err := <-done; err != nil {
		t.Errorf("Wait: %v", err)
	}
	if err := p.Wait(context.Background(), proxy.Want{}); err != nil {
		t.Errorf("Wait for what is there: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	p, found := livePool(t, pool.Config{}, pool.Env{Metrics: reg, Store: newMemStore()}, 20)
	add(t, p, "a", candidates(t, "http://127.0.0.1:80"))
	report(p, found[0].Endpoint, proxy.Timeout)
	pick(t, p, sticky("bob", "s"))
	if _, err := p.Pick(context.Background(), proxy.Want{Pools: []string{"paid"}}); err == nil {
		t.Error("a pick from nothing succeeded")
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	series := 0
	for _, f := range families {
		series += len(f.GetMetric())
	}
	if series < 15 || series > 40 {
		t.Errorf("%d series, want some but not one per endpoint", series)
	}
	if _, err := pool.Open(context.Background(), pool.Config{}, pool.Env{Metrics: reg}); err == nil {
		t.Error("two pools in one registry")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	if err := (pool.Config{}).Validate(); err != nil {
		t.Errorf("the zero value is not usable: %v", err)
	}
	bad := pool.Config{Rotation: "best", SessionTTL: -1, Recheck: -1, MaxEntries: -1,
		Filter: pool.FilterConfig{Countries: []string{"DE", "germany"}, DenyCountries: []string{"1X"}, DenyASNs: []uint32{0}, DenyCIDRs: make([]netip.Prefix, 1)}}
	err := bad.Validate()
	if err == nil {
		t.Fatal("nothing is wrong with it")
	}
	for _, key := range []string{"rotation: ", "session.ttl: ", "recheck: ", "max_entries: ", "countries[1]: ", "deny_countries[0]: ", "deny_asns[0]: ", "deny_cidrs[0]: "} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("no line of %q begins with %q", err, key)
		}
	}
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 1)
	if p.Apply(bad) == nil || p.Apply(pool.Config{Once: true}) == nil {
		t.Error("Apply took what is wrong or cannot be changed")
	}
	if err := p.Apply(pool.Config{Rotation: "random"}); err != nil {
		t.Errorf("Apply: %v", err)
	}
	if l := pick(t, p, proxy.Want{}); l.Why != "random" {
		t.Errorf("after Apply the choice is by %q", l.Why)
	}
	if _, err := pool.Open(context.Background(), bad, pool.Env{}); err == nil {
		t.Error("Open took what is wrong")
	}
}
