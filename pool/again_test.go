package pool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"freeway/pool"
	"freeway/proxy"
)

// lostError is what a store says that an older copy took the place of.
type lostError struct{}

func (lostError) Error() string  { return "a snapshot took its place" }
func (lostError) StoreRestored() {}

// TestStoreThatLostAll: after a store went back to an older copy everything
// that the pool knows is saved again.
func TestStoreThatLostAll(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p := open(t, pool.Config{}, pool.Env{Store: s})
	ctx := context.Background()
	found := many(2500)
	if _, err := p.Insert(ctx, found); err != nil {
		t.Fatal(err)
	}
	p.Note("etag", []byte("1"))
	if ok, err := p.Delete(ctx, found[0].Endpoint.ID()); !ok || err != nil {
		t.Fatalf("Delete = %v, %v", ok, err)
	}
	before, _ := s.Docs(ctx)
	s.mu.Lock()
	clear(s.recs)
	clear(s.docs)
	s.fail = fmt.Errorf("save: %w", lostError{})
	s.mu.Unlock()
	report(p, found[1].Endpoint, proxy.OK)
	if err := p.Flush(ctx); !errors.Is(err, pool.ErrReadOnly) || !p.ReadOnly() {
		t.Errorf("Flush = %v, want ErrReadOnly", err)
	}
	s.setFail(nil)
	if err := p.Flush(ctx); err != nil || p.ReadOnly() {
		t.Fatalf("Flush = %v", err)
	}
	after, _ := s.Docs(ctx)
	if _, _, recs := s.counts(); recs != 2499 || len(after) != len(before) || string(after["note/etag"]) != "1" {
		t.Errorf("the store has %d records and %d documents, want 2499 and %d", recs, len(after), len(before))
	}
}
