package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
	"freeway/store"
)

var ctx = context.Background()

func open(t testing.TB, path string, opt store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(path, opt)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // closed by the test as well
	return s
}

func closeStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// full is a record with something in every field.
func full() proxy.Record {
	at := time.Unix(1_800_000_000, 0)
	return proxy.Record{
		Endpoint: proxy.Endpoint{Protocol: proxy.SOCKS5, Host: "5.1.2.3", Port: 1080, User: "bob:@\x00é"}, Password: proxy.NewSecret("secret"),
		Guess: true, Pool: "own", Sources: []string{"a", "list-b"}, Health: proxy.Health{OK: 1.5, Fail: 2.25, At: 1_800_000_000, Up: .75, Odds: -2.5},
		Latency: 123456789, FirstSeen: at, LastSeen: at.Add(time.Hour), LastChecked: at.Add(2 * time.Hour), LastLive: at.Add(3 * time.Hour),
		NextCheck: at.Add(4*time.Hour + 250*time.Millisecond), Passed: true, FirstLive: true, Misses: 7, UseFails: 2,
		Checks: proxy.Tally{OK: 10, Failed: 20}, Uses: proxy.Tally{OK: 30, Failed: 40}, Error: proxy.Fault{Stage: proxy.StageTunnel, Class: proxy.EOF},
		Traits: proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.No, RemoteDNS: proxy.Yes, IPv6: proxy.No, Anonymity: proxy.Elite,
			ExitIP: netip.MustParseAddr("2a00::1"), Country: "DE", ASN: 24940, Org: "Hetzner", Tampers: "tls: issuer x"},
		Targets: []string{"shop", "search"},
	}
}

// plain makes n small records, each on an address of its own.
func plain(n, seed int) []proxy.Record {
	out := make([]proxy.Record, n)
	for i := range out {
		x := i + seed
		out[i] = proxy.Record{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: fmt.Sprintf("20.%d.%d.%d", x>>16&255, x>>8&255, x&255), Port: 8080},
			Pool: "public", Sources: []string{"list"}, FirstSeen: time.Unix(1_800_000_000, 0)}
	}
	return out
}

func save(t testing.TB, s *store.Store, b proxy.Batch) {
	t.Helper()
	if err := s.Save(ctx, b); err != nil {
		t.Fatalf("Save: %v", err)
	}
}

// load returns everything, and fails when an endpoint comes twice.
func load(t testing.TB, s *store.Store) map[proxy.Endpoint]proxy.Record {
	t.Helper()
	out := map[proxy.Endpoint]proxy.Record{}
	for rec, err := range s.Load(ctx) {
		if err != nil {
			t.Fatalf("Load: %v", err)
		}
		if _, twice := out[rec.Endpoint]; twice {
			t.Fatalf("Load gave %s twice", rec.Endpoint)
		}
		out[rec.Endpoint] = rec
	}
	return out
}

var exactly = cmp.Options{cmp.Comparer(func(a, b proxy.Secret) bool { return a.Reveal() == b.Reveal() }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmpopts.EquateEmpty()}

func TestKeepsEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{})
	named, zero := full(), proxy.Record{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "5.1.2.3", Port: 1}}
	named.Endpoint = proxy.Endpoint{Protocol: proxy.HTTPS, Host: "proxy.example.com", Port: 443}
	named.Traits.ExitIP = netip.MustParseAddr("5.6.7.8")
	six := full()
	six.Endpoint.Host = "2a00::1"
	recs := []proxy.Record{full(), named, six, zero}
	save(t, s, proxy.Batch{Put: recs, Docs: map[string][]byte{"note/a": []byte("text"), "empty": {}, "gone": nil}})
	for range 2 {
		got := load(t, s)
		for _, want := range recs {
			if diff := cmp.Diff(want, got[want.Endpoint], exactly); diff != "" {
				t.Errorf("%s (-want +got):\n%s", want.Endpoint, diff)
			}
		}
		docs, err := s.Docs(ctx)
		if err != nil || string(docs["note/a"]) != "text" || len(docs) != 2 {
			t.Errorf("Docs = %q, %v", docs, err)
		}
		closeStore(t, s)
		s = open(t, path, store.Options{})
		if w := s.Warnings(); len(w) != 0 {
			t.Errorf("Warnings = %q", w)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want that only the owner can read it", info.Mode(), err)
	}
}

// TestOrderOfChanges: whatever goes to the log and whatever goes in place, the
// last word counts.
func TestOrderOfChanges(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "f.db"), store.Options{})
	recs := plain(5000, 0)
	with := func(list []proxy.Record, n uint32) []proxy.Record {
		list = append([]proxy.Record(nil), list...)
		for i := range list {
			list[i].Misses = n
		}
		return list
	}
	ends := func(list []proxy.Record) (out []proxy.Endpoint) {
		for _, r := range list {
			out = append(out, r.Endpoint)
		}
		return out
	}
	want := map[proxy.Endpoint]uint32{}
	step := func(put []proxy.Record, drop []proxy.Endpoint) {
		t.Helper()
		for _, ep := range drop {
			delete(want, ep)
		}
		for _, r := range put {
			want[r.Endpoint] = r.Misses
		}
		save(t, s, proxy.Batch{Put: put, Drop: drop})
		got := load(t, s)
		if len(got) != len(want) {
			t.Fatalf("the store has %d records, want %d", len(got), len(want))
		}
		for ep, n := range want {
			if got[ep].Misses != n {
				t.Fatalf("%s has %d misses, want %d", ep, got[ep].Misses, n)
			}
		}
	}
	step(with(recs[:100], 1), nil)               // log
	step(with(recs, 2), nil)                     // in place
	step(with(recs[50:150], 3), ends(recs[:50])) // log over what is in place
	step(with(recs[:10], 4), ends(recs[:20]))    // dropped and put: put
	step(nil, ends(recs[:4000]))                 // in place over the log
	step(with(recs[:10], 5), nil)
	if err := s.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestLogIsFolded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	s := open(t, filepath.Join(t.TempDir(), "f.db"), store.Options{Now: func() time.Time { return now }})
	recs := plain(9000, 0)
	save(t, s, proxy.Batch{Put: recs})
	st, err := s.Stats()
	if err != nil || st.Entries != 0 || st.Pending == 0 || st.Version != 2 {
		t.Errorf("Stats = %+v, %v, want all in the log", st, err)
	}
	now = now.Add(6 * time.Minute)
	save(t, s, proxy.Batch{Put: recs[:1]})
	if st, _ := s.Stats(); st.Entries != 9000 || st.Pending != 0 {
		t.Errorf("after 6 minutes Stats = %+v, want nothing in the log", st)
	}
	for range 70 { // by size: half a megabyte each
		save(t, s, proxy.Batch{Put: recs})
	}
	if st, _ := s.Stats(); st.Pending > 33<<20 {
		t.Errorf("the log has %d bytes", st.Pending)
	}
	if len(load(t, s)) != 9000 {
		t.Error("records were lost")
	}
}

func TestSaveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "f.db"), store.Options{})
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Save(gone, proxy.Batch{Put: plain(1, 0)}); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Save = %v, want that it was cancelled", err)
	}
	save(t, s, proxy.Batch{Put: plain(1, 0)})
	for _, err := range s.Load(gone) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Load = %v, want that it was cancelled", err)
		}
	}
}

// TestLocked: threats row 70. A second one is told at once who has the store.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{})
	began := time.Now()
	for _, readOnly := range []bool{false, true} {
		_, err := store.Open(path, store.Options{Timeout: 50 * time.Millisecond, ReadOnly: readOnly})
		var locked *store.LockedError
		if !errors.As(err, &locked) || !errors.Is(err, store.ErrLocked) || locked.PID != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
			t.Errorf("Open(read-only %v) of an open store = %v, want the process that has it", readOnly, err)
		}
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("that took %v", d)
	}
	closeStore(t, s)
	if _, err := os.Stat(path + ".pid"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is left: %v", err)
	}
	a, b := open(t, path, store.Options{ReadOnly: true}), open(t, path, store.Options{ReadOnly: true})
	if _, err := store.Open(path, store.Options{Timeout: 50 * time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open beside readers = %v, want ErrLocked", err)
	}
	if err := a.Save(ctx, proxy.Batch{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Save to a read-only store = %v", err)
	}
	closeStore(t, a)
	closeStore(t, b)
	closeStore(t, open(t, path, store.Options{}))
}

// TestLockRace: many open at once, one has it.
func TestLockRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	var mu sync.Mutex
	var wg sync.WaitGroup
	opened := 0
	for range 8 {
		wg.Go(func() {
			for range 20 {
				s, err := store.Open(path, store.Options{Timeout: 10 * time.Second})
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				if !mu.TryLock() {
					t.Error("two have the store at once")
				} else {
					opened++
					mu.Unlock()
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if opened != 160 {
		t.Errorf("opened %d times, want 160", opened)
	}
}

func TestStalePidFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	if err := os.WriteFile(path+".pid", []byte("999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, open(t, path, store.Options{}))
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name, path string
		opt        store.Options
	}{
		{"no folder", filepath.Join(dir, "no", "f.db"), store.Options{}},
		{"a folder", dir, store.Options{}},
		{"read-only and not there", filepath.Join(dir, "f.db"), store.Options{ReadOnly: true}},
	} {
		if _, err := store.Open(tt.path, tt.opt); err == nil || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: Open = %v, want an error that is not about damage", tt.name, err)
		}
	}
}

func TestNewerVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	closeStore(t, open(t, path, store.Options{}))
	setVersion(t, path, []byte{99})
	for _, ro := range []bool{false, true} {
		if _, err := store.Open(path, store.Options{ReadOnly: ro}); err == nil || errors.Is(err, store.ErrCorrupt) || !ro && !errors.Is(err, store.ErrNewer) {
			t.Errorf("Open(read-only %v) of format 99 = %v, want ErrNewer", ro, err)
		}
	}
	if left, _ := filepath.Glob(path + ".corrupt-*"); len(left) != 0 {
		t.Errorf("a newer file was put aside: %v", left)
	}
}

func setVersion(t *testing.T, path string, v []byte) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("freeway")).Put([]byte("version"), v) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestBackupCompactRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f.db")
	s := open(t, path, store.Options{})
	recs := plain(20_000, 0)
	save(t, s, proxy.Batch{Put: recs, Docs: map[string][]byte{"d": []byte("1")}})
	var drop []proxy.Endpoint
	for _, r := range recs[100:] {
		drop = append(drop, r.Endpoint)
	}
	save(t, s, proxy.Batch{Drop: drop})
	var copied bytes.Buffer
	if err := s.Backup(&copied); err != nil {
		t.Fatalf("Backup: %v", err)
	}
	backup, compact := filepath.Join(dir, "b.db"), filepath.Join(dir, "c.db")
	if err := os.WriteFile(backup, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(compact); err != nil {
		t.Fatalf("Compact: %v", err)
	}
	if err := s.Compact(compact); err == nil {
		t.Error("Compact replaced a file")
	}
	for _, p := range []string{backup, compact} {
		c := open(t, p, store.Options{ReadOnly: true})
		if err := c.Check(ctx); err != nil {
			t.Errorf("Check(%s): %v", p, err)
		}
		if n := len(load(t, c)); n != 100 {
			t.Errorf("%s has %d records, want 100", p, n)
		}
		closeStore(t, c)
	}
	big, _ := os.Stat(path)
	little, _ := os.Stat(compact)
	if little.Size() > big.Size()/4 {
		t.Errorf("compacted from %d to %d bytes, want much less", big.Size(), little.Size())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*backup-*")); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

// slowWriter lets a writer work between the pieces that it takes.
type slowWriter struct{ each func() }

// Write implements io.Writer.
func (w slowWriter) Write(p []byte) (int, error) {
	w.each()
	return len(p), nil
}

// TestSlowBackup: threats row 72. A backup to a slow reader does not keep old
// pages alive.
func TestSlowBackup(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{})
	recs := plain(20_000, 0)
	save(t, s, proxy.Batch{Put: recs})
	before, _ := os.Stat(path)
	n := 0
	err := s.Backup(slowWriter{func() {
		if n++; n < 30 {
			save(t, s, proxy.Batch{Put: recs[:10_000]}) // in place
		}
	}})
	if err != nil {
		t.Fatalf("Backup: %v", err)
	}
	if after, _ := os.Stat(path); n < 10 || after.Size() > 3*before.Size() {
		t.Errorf("with %d writes during a backup the file grew from %d to %d bytes", n, before.Size(), after.Size())
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "f.db"), store.Options{})
	closeStore(t, s)
	closeStore(t, s)
	if err := s.Save(ctx, proxy.Batch{Put: plain(1, 0)}); err == nil {
		t.Error("Save to a closed store succeeded")
	}
	if _, err := s.Docs(ctx); err == nil {
		t.Error("Docs of a closed store succeeded")
	}
	for _, err := range s.Load(ctx) {
		if err == nil {
			t.Error("a closed store has records")
		}
	}
}
