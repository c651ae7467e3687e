package pool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freeway/pool"
	"freeway/proxy"
)

func TestAddCounts(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := candidates(t, "http://5.1.1.1:80", "socks5://5.1.1.1:80", "http://[2a00::1]:3128", "http://proxy.example.com:8080", "http://5.1.1.1:80",
		"http://127.0.0.1:80", "http://10.0.0.1:80", "http://localhost:80")
	found = append(found, proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "UPPER.example.com", Port: 1}},
		proxy.Candidate{Endpoint: proxy.Endpoint{Host: "5.1.1.2", Port: 1}},
		proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "5.1.1.2", Port: 1}, Password: proxy.NewSecret("x")})
	got := add(t, p, "a", found)
	want := proxy.Yield{New: 4, Known: 1, Refused: map[string]int{"address not allowed": 3, "not a canonical endpoint": 2, "a password without a user": 1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Add (-want +got):\n%s", diff)
	}
	if got := add(t, p, "a", found[:4]); got.New != 0 || got.Known != 4 {
		t.Errorf("the second Add = %+v, want 4 known", got)
	}
	if w := p.Worth("a"); w != (proxy.Worth{Listed: 4, Exclusive: 4}) {
		t.Errorf("Worth = %+v, want 4 listed", w)
	}
	if st := p.Stats(); st.Total != 4 || st.New != 4 {
		t.Errorf("Stats = %+v, want 4 new", st)
	}
}

// TestAddAll: a list that comes bit by bit is one set, as for Add; one whose
// context ends takes nothing of the set before away.
func TestAddAll(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := many(2500)
	if got, err := p.AddAll(context.Background(), "a", slices.Values(found)); err != nil || got.New != 2500 {
		t.Fatalf("AddAll = %+v, %v, want 2500 new", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := p.AddAll(ctx, "a", func(yield func(proxy.Candidate) bool) {
		for i, c := range found {
			if i == 1500 {
				cancel()
			}
			if !yield(c) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) || p.Worth("a").Listed != 2500 {
		t.Errorf("AddAll whose context ended: %v, %d listed, want that it is canceled and 2500", err, p.Worth("a").Listed)
	}
	if got, err := p.AddAll(context.Background(), "a", slices.Values(found[:10])); err != nil || got.Known != 10 || p.Worth("a").Listed != 10 {
		t.Errorf("AddAll of ten = %+v, %v, %d listed, want 10", got, err, p.Worth("a").Listed)
	}
}

func TestAddNeedsASource(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	if _, err := p.Add(context.Background(), "", many(1)); err == nil {
		t.Error("an Add without a source succeeded")
	}
}

func TestAddReplacesTheSet(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := many(100)
	add(t, p, "a", found)
	add(t, p, "b", found[:10])
	add(t, p, "a", found[50:])
	if w := p.Worth("a"); w.Listed != 50 {
		t.Errorf("a lists %d, want 50", w.Listed)
	}
	e, _ := p.Find(found[0].Endpoint)
	if diff := cmp.Diff([]string{"b"}, e.Sources); diff != "" {
		t.Errorf("sources of the first (-want +got):\n%s", diff)
	}
	add(t, p, "a", nil)
	add(t, p, "b", candidates(t, "http://127.0.0.1:1"))
	if a, b := p.Worth("a").Listed, p.Worth("b").Listed; a != 50 || b != 10 {
		t.Errorf("after empty lists they hold %d and %d, want 50 and 10: nothing must not erase", a, b)
	}
	if err := p.Retire(context.Background(), "b"); err != nil || p.Worth("b").Listed != 0 {
		t.Errorf("Retire = %v, and b lists %d, want nil and 0", err, p.Worth("b").Listed)
	}
	if st := p.Stats(); st.Total != 100 {
		t.Errorf("%d entries, want all 100: sets say who names them, not who may stay", st.Total)
	}
}

func TestAddIsDurable(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p := open(t, pool.Config{}, pool.Env{Store: s})
	found := many(25_000)
	add(t, p, "a", found)
	saves, puts, recs := s.counts()
	if recs != len(found) || puts != len(found) || saves != 3 {
		t.Errorf("store has %d records after %d puts in %d batches, want 25000, 25000 and 3", recs, puts, saves)
	}
	add(t, p, "a", found)
	if again, _, _ := s.counts(); again != saves {
		t.Errorf("known endpoints cost %d writes, want none", again-saves)
	}
}

func TestAddsShareWrites(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	s.gate = make(chan struct{})
	p := open(t, pool.Config{}, pool.Env{Store: s})
	const adders = 50
	var wg sync.WaitGroup
	for i, c := range many(adders) {
		wg.Go(func() {
			if _, err := p.Add(context.Background(), fmt.Sprint("s", i), []proxy.Candidate{c}); err != nil {
				t.Errorf("Add: %v", err)
			}
			if !s.has(c.Endpoint) {
				t.Errorf("%s was acknowledged and is not in the store", c.Endpoint)
			}
		})
	}
	for p.Stats().Total < adders {
		runtime.Gosched()
	}
	close(s.gate)
	wg.Wait()
	if saves, _, _ := s.counts(); saves > adders/2 {
		t.Errorf("%d concurrent Adds took %d writes, want them to be shared", adders, saves)
	}
}

func TestAddToAStoreThatFails(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	s.fail = errDisk
	p := open(t, pool.Config{}, pool.Env{Store: s})
	found := many(10)
	_, err := p.Add(context.Background(), "a", found)
	if !errors.Is(err, pool.ErrReadOnly) || !errors.Is(err, errDisk) {
		t.Errorf("Add = %v, want ErrReadOnly and the cause", err)
	}
	report(p, found[0].Endpoint, proxy.OK)
	if p.Eligible(proxy.Want{}) != 1 {
		t.Error("a pool whose store fails does not go on in memory")
	}
	s.setFail(nil)
	if err := p.Flush(context.Background()); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	if _, _, recs := s.counts(); recs != 10 {
		t.Errorf("after the store had recovered it has %d records, want 10", recs)
	}
}

func TestAddGuess(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	c := candidate(t, "http://5.1.1.1:1080")
	c.Guess = true
	add(t, p, "a", []proxy.Candidate{c})
	j := next(t, p)
	if len(j.Entries) != 1 || !j.Entries[0].Guess {
		t.Fatalf("job = %+v, want one guess", j)
	}
	found := candidate(t, "socks5://5.1.1.1:1080")
	v := verdict(j, proxy.Garbage)
	v.Found = []proxy.Candidate{found}
	ok := verdict(proxy.Job{Entries: []proxy.Entry{{Endpoint: found.Endpoint}}}, proxy.OK)
	v.Outcomes = append(v.Outcomes, ok.Outcomes...)
	p.Report(v)
	if _, still := p.Find(c.Endpoint); still {
		t.Error("the wrong guess is still there")
	}
	e, _ := p.Find(found.Endpoint)
	if e.State != proxy.Live || e.Guess || len(e.Sources) != 1 {
		t.Errorf("what was found = %+v, want live, from a", e)
	}
	if y := add(t, p, "a", []proxy.Candidate{c}); y.Known != 1 || y.New != 0 {
		t.Errorf("the list's guess again = %+v, want known", y)
	}
	if w := p.Worth("a"); w != (proxy.Worth{Listed: 1, Live: 1, EverLive: 1, Checked: 1, FirstLive: 1, Exclusive: 1, OnlyLive: 1, Latency: 100 * time.Millisecond}) {
		t.Errorf("Worth = %+v", w)
	}
}

func TestAddBounds(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{MaxEntries: 20_000}, pool.Env{})
	crowd := make([]proxy.Candidate, 5000)
	for i := range crowd {
		crowd[i].Endpoint = proxy.Endpoint{Protocol: proxy.HTTP, Host: "5.5.5.5", Port: uint16(i + 1)}
	}
	if y := add(t, p, "crowd", crowd); y.New != 4096 || y.Refused["too many in one network"] != 904 {
		t.Errorf("one network: %+v, want 4096 new", y)
	}
	if y := add(t, p, "flood", many(15_000)); y.New != 10_000 || y.Refused["too many from one source"] != 5000 {
		t.Errorf("one source: %+v, want 10000 new", y)
	}
}

func TestMakeRoom(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p := open(t, pool.Config{MaxEntries: 100}, pool.Env{Store: s})
	all := many(300)
	add(t, p, "a", all[:100])
	if y := add(t, p, "b", all[100:110]); y.Refused["the pool is full"] != 10 {
		t.Errorf("a full pool with nothing dead took %+v", y)
	}
	_, err := p.Insert(context.Background(), all[100:101])
	if !errors.Is(err, pool.ErrFull) {
		t.Errorf("Insert into a full pool = %v, want ErrFull", err)
	}

	p = open(t, pool.Config{MaxEntries: 100}, pool.Env{Store: s})
	for i, c := range all[:50] { // dead; the last ones most often
		for range i + 1 {
			report(p, c.Endpoint, proxy.Refused)
		}
	}
	if y := add(t, p, "b", all[200:220]); y.New != 20 {
		t.Errorf("Add = %+v, want 20 new in the place of dead ones", y)
	}
	if _, ok := p.Find(all[0].Endpoint); !ok {
		t.Error("the least dead was dropped before worse ones")
	}
	if _, ok := p.Find(all[49].Endpoint); ok {
		t.Error("the worst was kept")
	}
	if _, _, recs := s.counts(); recs != 100 {
		t.Errorf("the store has %d records, want 100", recs)
	}
}

func TestInsertAndDelete(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newMemStore()
	p := open(t, pool.Config{}, pool.Env{Store: s})
	add(t, p, "a", many(50))
	c := candidate(t, "socks5://bob:secret@5.1.1.1:1080")
	c.Pool = "own"
	if y, err := p.Insert(ctx, []proxy.Candidate{c}); err != nil || y.New != 1 {
		t.Fatalf("Insert = %+v, %v", y, err)
	}
	if !s.has(c.Endpoint) {
		t.Error("what was inserted is not in the store")
	}
	if j := next(t, p); j.Host != "5.1.1.1" || j.Entries[0].Password.Reveal() != "secret" {
		t.Errorf("the first job is %+v, want the operator's with its password", j)
	}
	id := c.Endpoint.ID()
	if d, ok := p.Get(id); !ok || d.Entry.Pool != "own" || d.Why == "" {
		t.Errorf("Get = %+v, %v", d, ok)
	}
	if ok, err := p.Delete(ctx, id); !ok || err != nil {
		t.Fatalf("Delete = %v, %v", ok, err)
	}
	if ok, _ := p.Delete(ctx, id); ok || p.CheckNow(id) {
		t.Error("what was deleted can be deleted again or checked")
	}
	p.Report(verdict(proxy.Job{Host: "5.1.1.1", Port: 1080, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.OK))
	again := open(t, pool.Config{}, pool.Env{Store: s})
	for _, p := range []*pool.Pool{p, again} {
		if y := add(t, p, "a", []proxy.Candidate{c}); y.Refused["deleted by the operator"] != 1 {
			t.Errorf("a list brought back what was deleted: %+v", y)
		}
	}
	if y, err := again.Insert(ctx, []proxy.Candidate{c}); err != nil || y.New != 1 {
		t.Errorf("the operator's Insert after Delete = %+v, %v", y, err)
	}
}
