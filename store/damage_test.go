package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
	"freeway/store"
)

// stored makes a store of 3,500 records and returns its path and content.
func stored(t *testing.T, keepSnapshot bool) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{})
	save(t, s, proxy.Batch{Put: plain(3500, 0)})
	save(t, s, proxy.Batch{Put: plain(100, 0), Docs: map[string][]byte{"d": []byte("1")}})
	closeStore(t, s)
	if !keepSnapshot {
		if err := os.Remove(path + ".bak"); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func foreignFile(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rescued is the damage that leaves what the older head points to.
const rescued = "truncated where the latest transaction wrote"

// TestDamage: threats row 69.
func TestDamage(t *testing.T) {
	t.Parallel()
	random := make([]byte, 100_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	foreign := foreignFile(t)
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{rescued, func(b []byte) []byte { return b[:len(b)/2] }},
		{"truncated by a byte of the last page", func(b []byte) []byte { return b[:3*4096-1] }},
		{"truncated to the heads", func(b []byte) []byte { return b[:2*4096] }},
		{"truncated inside the head", func(b []byte) []byte { return b[:100] }},
		{"nothing left", func([]byte) []byte { return nil }},
		{"zeroed", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"zeroed behind the heads", func(b []byte) []byte { clear(b[2*4096:]); return b }},
		{"heads zeroed", func(b []byte) []byte { clear(b[:2*4096]); return b }},
		{"random", func([]byte) []byte { return random }},
		{"random behind the heads", func(b []byte) []byte { copy(b[2*4096:], random); return b }},
		{"text", func([]byte) []byte { return []byte("1.2.3.4:80\n") }},
		{"another program's", func([]byte) []byte { return foreign }},
		{"wrong page size", func(b []byte) []byte { b[16+9] ^= 0x30; b[4096+16+9] ^= 0x30; return b }},
		{"every page the same", func(b []byte) []byte {
			for at := 3 * 4096; at < len(b); at += 4096 {
				copy(b[at:], b[2*4096:3*4096])
			}
			return b
		}},
	} {
		for _, snapshot := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/snapshot %v", tt.name, snapshot), func(t *testing.T) {
				t.Parallel()
				path, content := stored(t, snapshot)
				broken := tt.damage(content)
				if err := os.WriteFile(path, broken, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := store.Open(path, store.Options{ReadOnly: true}); !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("Open read-only = %v, want ErrCorrupt", err)
				}
				if len(broken) == 0 && !snapshot {
					return // that is how a new store begins
				}
				now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
				s := open(t, path, store.Options{Now: func() time.Time { return now }})
				want, replaced := 0, snapshot || tt.name == rescued
				if replaced {
					want = 3500
				}
				if n := len(load(t, s)); n != want {
					t.Errorf("it has %d records, want %d", n, want)
				}
				if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "corrupt-20260102T030405Z") || strings.Contains(w[0], "took its place") != replaced || s.State().Restored != 1 {
					t.Errorf("Warnings = %q", w)
				}
				kept, err := os.ReadFile(path + ".corrupt-20260102T030405Z")
				if err != nil || string(kept) != string(broken) {
					t.Errorf("the broken file was not kept as it was: %v", err)
				}
				save(t, s, proxy.Batch{Put: plain(10, 10_000)})
				if err := s.Check(ctx); err != nil {
					t.Errorf("Check: %v", err)
				}
			})
		}
	}
}

// TestDamagedSnapshot: both are broken, and the program starts all the same.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	path, content := stored(t, true)
	for _, p := range []string{path, path + ".bak"} {
		if err := os.WriteFile(p, content[:5000], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, path, store.Options{})
	if n := len(load(t, s)); n != 0 || len(s.Warnings()) != 1 {
		t.Errorf("%d records, warnings %q", n, s.Warnings())
	}
}

// TestFlippedBytes changes single bytes all over the file: it must open with
// what can be read, or with nothing, and never end the process.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	path, content := stored(t, false)
	rng := rand.New(rand.NewPCG(3, 4))
	lost, started := 0, 0
	for range 150 {
		b := append([]byte(nil), content...)
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(b))
			if rng.IntN(2) == 0 { // where pages have their heads
				at = at/4096*4096 + rng.IntN(64)
			}
			b[at] ^= byte(1 + rng.IntN(255))
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(path, store.Options{})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		started += len(s.Warnings())
		n := len(load(t, s))
		if len(s.Warnings()) == 0 {
			lost += 3500 - n
		}
		_ = s.Check(ctx)
		if err := s.Save(ctx, proxy.Batch{Put: plain(50, 0)}); err != nil {
			t.Errorf("Save: %v", err)
		}
		_ = s.Close()
		for _, pattern := range []string{".corrupt-*", ".bak"} {
			left, _ := filepath.Glob(path + pattern)
			for _, f := range left {
				os.Remove(f)
			}
		}
	}
	t.Logf("150 damaged files: %d were begun anew, %d single records were lost in the others", started, lost)
}
