package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/store"
)

// TestSnapshots: they are made when they are due, verified, and bounded in
// number; the latest that is whole is taken up.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	now := time.Now() // like the times of the files
	opt := store.Options{Now: func() time.Time { return now }, BackupEvery: time.Hour, BackupKeep: 3}
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, opt)
	for i := range 6 {
		save(t, s, proxy.Batch{Put: plain(100*(i+1), 0)})
		now = now.Add(61 * time.Minute)
	}
	names, _ := filepath.Glob(path + ".bak*")
	if len(names) != 3 {
		t.Errorf("there are %v, want three snapshots", names)
	}
	if st := s.State(); st.BackupErr != nil || now.Sub(st.BackedUp) != 61*time.Minute {
		t.Errorf("State = %+v", st)
	}
	for i, want := range []int{600, 500, 400} {
		name := path + ".bak"
		if i > 0 {
			name += fmt.Sprintf(".%d", i)
		}
		if n := count(t, name); n != want {
			t.Errorf("%s has %d records, want %d", name, n, want)
		}
	}
	closeStore(t, s)
	for _, name := range []string{path, path + ".bak"} { // the latest snapshot is broken as well
		if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opt.BackupKeep = 1
	s = open(t, path, opt)
	if n := len(load(t, s)); n != 500 || len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0], ".bak.1 of ") || s.State().Restored != 1 {
		t.Errorf("%d records, %q, want the 500 of the snapshot before", n, s.Warnings())
	}
	save(t, s, proxy.Batch{Put: plain(10, 10_000)})
	closeStore(t, s)
	if names, _ := filepath.Glob(path + ".bak*"); len(names) != 1 {
		t.Errorf("there are %v, want one snapshot", names)
	}
}

// count returns how many records a file has.
func count(t *testing.T, path string) int {
	t.Helper()
	s := open(t, path, store.Options{ReadOnly: true})
	defer closeStore(t, s)
	return len(load(t, s))
}

// TestSnapshotOfDamage: what a store that went bad holds never drives out the
// last good copy.
func TestSnapshotOfDamage(t *testing.T) {
	t.Parallel()
	path, content := stored(t, true)
	now := time.Now()
	s := open(t, path, store.Options{Now: func() time.Time { return now }, BackupEvery: time.Hour})
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(make([]byte, 4096), int64(len(content)/8192*4096)) // a page of records, under the open store
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	save(t, s, proxy.Batch{Docs: map[string][]byte{"a": nil}})
	if st := s.State(); !errors.Is(st.BackupErr, store.ErrCorrupt) {
		t.Errorf("State = %+v, want that the snapshot failed", st)
	}
	if n := count(t, path+".bak"); n != 3500 {
		t.Errorf("the last good copy has %d records, want 3500", n)
	}
}

// TestCutUnderUs: a file that is cut while it is open, so that reading it
// faults, makes the store read-only and does not end the process; then a
// snapshot takes its place and the pool is told to save all again.
func TestCutUnderUs(t *testing.T) {
	t.Parallel()
	path, _ := stored(t, true)
	now := time.Unix(1_800_000_000, 0)
	s := open(t, path, store.Options{Now: func() time.Time { return now }})
	if err := os.Truncate(path, 3*4096); err != nil {
		t.Fatal(err)
	}
	failed := false
	for _, err := range s.Load(ctx) {
		failed = err != nil
	}
	if !failed {
		t.Error("Load of a file that was cut gave no error")
	}
	if err := s.Save(ctx, proxy.Batch{Put: plain(20_000, 0)}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Save = %v, want ErrReadOnly", err)
	}
	now = now.Add(time.Minute)
	err := s.Save(ctx, proxy.Batch{Put: plain(1, 0)})
	if told := interface{ StoreRestored() }(nil); !errors.As(err, &told) {
		t.Errorf("Save = %v, want that all must be saved again", err)
	}
	save(t, s, proxy.Batch{Put: plain(4000, 0)})
	if n := len(load(t, s)); n != 4000 || s.State().Restored != 1 || len(s.Warnings()) != 1 {
		t.Errorf("%d records, %+v, %q", n, s.State(), s.Warnings())
	}
	if err := s.Check(ctx); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestCompactFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{})
	recs := plain(20_000, 0)
	save(t, s, proxy.Batch{Put: recs})
	if _, _, err := store.CompactFile(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("CompactFile of an open store = %v, want ErrLocked", err)
	}
	var drop []proxy.Endpoint
	for _, r := range recs[100:] {
		drop = append(drop, r.Endpoint)
	}
	save(t, s, proxy.Batch{Drop: drop})
	closeStore(t, s)
	if err := os.WriteFile(path+".compact", []byte("left by a kill"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, after, err := store.CompactFile(path)
	if err != nil || after > before/4 {
		t.Errorf("CompactFile = %d, %d, %v, want much less", before, after, err)
	}
	if n := count(t, path); n != 100 {
		t.Errorf("compacted it has %d records, want 100", n)
	}
	if left, _ := filepath.Glob(path + ".[cp]*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if err := os.Truncate(path, 9000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.CompactFile(path); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("CompactFile of a broken store = %v, want ErrCorrupt", err)
	}
}

func TestRestoreFile(t *testing.T) {
	t.Parallel()
	path, content := stored(t, true)
	good := path + ".bak"
	for name, tt := range map[string]struct {
		backup string
		damage func(b []byte) []byte
	}{
		"not there":         {backup: path + ".none"},
		"itself":            {backup: path},
		"cut":               {damage: func(b []byte) []byte { return b[:9000] }},
		"text":              {damage: func([]byte) []byte { return []byte("1.2.3.4:80\n") }},
		"a byte of a value": {damage: func(b []byte) []byte { b[bytes.LastIndex(b, []byte("public"))] ^= 1; return b }},
	} {
		backup := tt.backup
		if tt.damage != nil {
			backup = filepath.Join(t.TempDir(), "bad.db")
			if err := os.WriteFile(backup, tt.damage(bytes.Clone(content)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := store.RestoreFile(ctx, path, backup); err == nil || kept != "" {
			t.Errorf("RestoreFile of a backup that is %s = %q, %v, want an error", name, kept, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
			t.Fatalf("a backup that is %s changed the store: %v", name, err)
		}
	}
	s := open(t, path, store.Options{})
	if _, err := store.RestoreFile(ctx, path, good); !errors.Is(err, store.ErrLocked) {
		t.Errorf("RestoreFile over an open store = %v, want ErrLocked", err)
	}
	closeStore(t, s)
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := store.RestoreFile(ctx, path, good)
	if text, _ := os.ReadFile(kept); err != nil || string(text) != "broken" {
		t.Errorf("RestoreFile = %q, %v, and what was there reads %q", kept, err, text)
	}
	if n := count(t, path); n != 3500 {
		t.Errorf("restored it has %d records, want 3500", n)
	}
	if kept, err := store.RestoreFile(ctx, filepath.Join(t.TempDir(), "new.db"), good); kept != "" || err != nil {
		t.Errorf("RestoreFile where nothing is = %q, %v", kept, err)
	}
}

// TestCopyWithoutPasswords: no byte of a password is in it, wherever the record
// was: in place, in the log, or in pages that are free by now.
func TestCopyWithoutPasswords(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	path := filepath.Join(t.TempDir(), "f.db")
	s := open(t, path, store.Options{Now: func() time.Time { return now }})
	secret := full()
	secret.Password = proxy.NewSecret("hunter2hunter2")
	save(t, s, proxy.Batch{Put: append(plain(3000, 0), secret), Docs: map[string][]byte{"d": []byte("1")}})
	now = now.Add(time.Hour)
	save(t, s, proxy.Batch{Put: plain(10, 0)}) // folds
	other := secret
	other.Endpoint.Port++
	save(t, s, proxy.Batch{Put: []proxy.Record{other}, Drop: []proxy.Endpoint{plain(1, 2999)[0].Endpoint}})
	for _, passwords := range []bool{true, false} {
		c, err := s.Copy(ctx, passwords)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if err = errors.Join(err, c.Close()); err != nil || int64(len(text)) != c.Size() {
			t.Fatalf("read %d of %d bytes, %v", len(text), c.Size(), err)
		}
		if bytes.Contains(text, []byte("hunter2")) != passwords {
			t.Errorf("Copy(passwords %v) has one: %v", passwords, !passwords)
		}
		copied := filepath.Join(t.TempDir(), "c.db")
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := store.CheckFile(ctx, copied); err != nil {
			t.Errorf("CheckFile: %v", err)
		}
		d := open(t, copied, store.Options{}) // and it can be written
		save(t, d, proxy.Batch{Put: plain(5, 50_000)})
		got := load(t, d)
		if r := got[other.Endpoint]; len(got) != 3006 || r.Latency != other.Latency || (r.Password.Reveal() == "hunter2hunter2") != passwords {
			t.Errorf("Copy(passwords %v) has %d records, want 3006", passwords, len(got))
		}
	}
	if left, _ := filepath.Glob(path + ".backup-*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
