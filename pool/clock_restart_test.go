package pool_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// TestThreat74Restart: threats row 74, over a restart and with the real store.
// The clock was a year ahead and is right again: what was to end after a time
// ends after that time from now.
func TestThreat74Restart(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "f.db")
	right := time.Unix(1_800_000_000, 0)
	var ahead atomic.Int64
	ahead.Store(int64(365 * 24 * time.Hour))
	now := func() time.Time { return right.Add(time.Duration(ahead.Load())) }
	reopen := func() (*pool.Pool, func()) {
		s, err := store.Open(path, store.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		p := open(t, pool.Config{}, pool.Env{Store: s, Now: now})
		return p, func() {
			if err := errors.Join(p.Flush(ctx), s.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := store.Open(path, store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s, Now: now}, 5)
	gone := found[4]
	if _, err := p.Delete(ctx, gone.Endpoint.ID()); err != nil {
		t.Fatal(err)
	}
	held := pick(t, p, sticky("bob", "s")).Entry.Endpoint
	if err := errors.Join(p.Flush(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}

	ahead.Store(0)
	p, done := reopen()
	for _, e := range all(p) {
		if e.FirstSeen.After(right) || e.LastChecked.After(right) || e.LastLive.After(right) || e.NextCheck.After(right.Add(time.Hour)) {
			t.Errorf("%s is from the future: %+v", e.Endpoint, e)
		}
	}
	if n := p.Eligible(proxy.Want{}); n != 4 {
		t.Errorf("%d can be used, want 4", n)
	}
	if got := pick(t, p, sticky("bob", "s")).Entry.Endpoint; got != held {
		t.Errorf("the session has %s now, want %s", got, held)
	}
	add(t, p, "list", []proxy.Candidate{gone})
	if _, ok := p.Find(gone.Endpoint); ok {
		t.Error("what was deleted is back at once")
	}
	done()

	ahead.Store(int64(31 * 24 * time.Hour))
	p, done = reopen()
	add(t, p, "list", []proxy.Candidate{gone})
	if _, ok := p.Find(gone.Endpoint); !ok {
		t.Error("what was deleted is kept out for longer than 30 days")
	}
	done()
}
