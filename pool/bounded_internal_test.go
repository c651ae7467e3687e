package pool

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
