package store_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/proxy"
	"freeway/store"
)

// fixture unpacks a file that an older version made.
func fixture(t *testing.T, name string) (path string, content []byte) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "f.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// TestUpgrade: threats row 73. Files of all older formats, made by the versions
// that had them, are taken over with all that they hold, and a copy is kept.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		version int
		belief  bool // its records have all parts of the health
	}{{"v1-first", 1, false}, {"v1", 1, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path, before := fixture(t, tt.name)
			if err := store.CheckFile(ctx, path); err != nil { // without changing it
				t.Errorf("CheckFile: %v", err)
			}
			old := open(t, path, store.Options{ReadOnly: true})
			hasFixture(t, old, tt.belief)
			if st, err := old.Stats(); err != nil || st.Version != tt.version {
				t.Errorf("Stats = %+v, %v, want format %d", st, err, tt.version)
			}
			closeStore(t, old)
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("reading changed the file: %v", err)
			}
			s := open(t, path, store.Options{})
			hasFixture(t, s, tt.belief)
			if st, err := s.Stats(); err != nil || st.Version != 2 || len(s.Warnings()) > 0 {
				t.Errorf("Stats = %+v, %v, %q, want format 2", st, err, s.Warnings())
			}
			if err := s.Check(ctx); err != nil {
				t.Errorf("Check: %v", err)
			}
			closeStore(t, s)
			mustGoBack(t, path, before)
		})
	}
}

// mustGoBack restores the copy from before the upgrade and upgrades again.
func mustGoBack(t *testing.T, path string, before []byte) {
	t.Helper()
	if _, err := store.RestoreFile(ctx, path, path+".v1.bak"); err != nil {
		t.Fatalf("RestoreFile: %v", err)
	}
	s := open(t, path, store.Options{ReadOnly: true})
	if st, err := s.Stats(); err != nil || st.Version != 1 {
		t.Errorf("the restored copy is of format %d, %v, want 1", st.Version, err)
	}
	closeStore(t, s)
	s = open(t, path, store.Options{})
	if n := len(load(t, s)); n != 40 || len(before) == 0 {
		t.Errorf("upgraded again it has %d records, want 40", n)
	}
}

// hasFixture checks what the makers of the fixtures saved.
func hasFixture(t *testing.T, s *store.Store, belief bool) {
	t.Helper()
	got := load(t, s)
	want := full()
	if !belief {
		want.Health = proxy.Restored(want.Health.OK, want.Health.Fail, want.Health.At)
	}
	have := got[want.Endpoint]
	if !belief { // what the first versions did not know
		want.FirstLive, want.Targets = have.FirstLive, have.Targets
	}
	if diff := cmp.Diff(want, have, exactly); diff != "" {
		t.Errorf("%s (-want +got):\n%s", want.Endpoint, diff)
	}
	first := proxy.Endpoint{Protocol: proxy.HTTP, Host: "20.0.0.1", Port: 8080}
	if _, dropped := got[proxy.Endpoint{Protocol: proxy.HTTP, Host: "20.0.0.2", Port: 8080}]; len(got) != 40 || got[first].Misses != 99 || dropped {
		t.Errorf("%d records, %s has %d misses; want 40 and 99, and what was dropped last is gone", len(got), first, got[first].Misses)
	}
	docs, err := s.Docs(ctx)
	if err != nil || len(docs) != 3 || string(docs["note/a"]) != "text" || string(docs["session/x"]) != `{"id":"x"}` {
		t.Errorf("Docs = %q, %v", docs, err)
	}
}

// TestNewerVersionIsUntouched: threats row 73. A file of a newer version is
// refused and stays as it is, with every command.
func TestNewerVersionIsUntouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	closeStore(t, open(t, path, store.Options{}))
	setVersion(t, path, []byte{3})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Open":      func() error { _, err := store.Open(path, store.Options{}); return err },
		"read-only": func() error { _, err := store.Open(path, store.Options{ReadOnly: true}); return err },
		"compact":   func() error { _, _, err := store.CompactFile(path); return err },
		"restore":   func() error { _, err := store.RestoreFile(ctx, filepath.Join(t.TempDir(), "g.db"), path); return err },
	} {
		if err := do(); !errors.Is(err, store.ErrNewer) {
			t.Errorf("%s of format 3 = %v, want ErrNewer", name, err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	left, _ := filepath.Glob(path + "*")
	if len(left) != 1 {
		t.Errorf("there is %v, want only the file", left)
	}
}
