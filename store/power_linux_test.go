//go:build amd64 || arm64

package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"freeway/internal/baddisk"
	"freeway/proxy"
	"freeway/store"
)

// powerful is the writer whose calls are recorded: small batches, folds,
// snapshots, documents. It prints how much is acknowledged.
func powerful(path string) int {
	now := time.Unix(1_800_000_000, 0)
	s, err := store.Open(path, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		return complain("Open: %v", err)
	}
	next := 0
	for i := range 40 {
		n := []int{1, 7, 60, 1, 200, 3}[i%6]
		b := proxy.Batch{Put: plain(n, next), Docs: map[string][]byte{"last": strconv.AppendInt(nil, int64(next+n), 10)}}
		if i%5 == 4 { // and again
			b.Put = append(b.Put, plain(next, 0)...)
		}
		if err := s.Save(ctx, b); err != nil {
			return complain("Save: %v", err)
		}
		next += n
		fmt.Println("ack", next)
		now = now.Add(7 * time.Minute * time.Duration(i%2)) // every other Save folds
		if i%20 == 19 {
			now = now.Add(7 * time.Hour) // and a snapshot
		}
	}
	if err := s.Close(); err != nil {
		return complain("Close: %v", err)
	}
	return 0
}

// record runs the writer and returns its calls in order.
func record(t *testing.T, path string) (calls []baddisk.Call) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), childEnv+"="+path+"|power"), &out, &out
	var mu sync.Mutex
	d, err := baddisk.Start(cmd, baddisk.Everything, func(c baddisk.Call) syscall.Errno {
		if c.Kind == baddisk.Copying {
			return syscall.ENOSYS // Go reads and writes then
		}
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
		return 0
	})
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	d.Wait()
	if err != nil {
		t.Fatalf("the writer ended with %v:\n%s", err, out.String())
	}
	return calls
}

// TestPowerCut: threats row 66. All that a writer did to its disk is recorded,
// call by call. Then the power is cut at any of them: of what was not synced,
// any part is on disk, torn at any sector, in any order.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f.db")
	calls := record(t, path)
	syncs := 0
	for _, c := range calls {
		if c.Kind == baddisk.Sync && c.Path == path {
			syncs++
		}
	}
	if syncs < 60 {
		t.Fatalf("of %d calls %d sync the store; the recorder is blind", len(calls), syncs)
	}
	cuts := 120
	if text := os.Getenv("FREEWAY_POWER_CUTS"); text != "" {
		cuts, _ = strconv.Atoi(text)
	}
	seed := uint64(7)
	rng := rand.New(rand.NewPCG(seed, 1))
	at := make([]int, cuts)
	for i := range at {
		at[i] = i * len(calls) / cuts
	}
	d := newPlatter(dir)
	acknowledged, done := 0, 0
	for _, until := range at {
		for ; done < until; done++ {
			if n := d.do(calls[done]); n > 0 {
				acknowledged = n
			}
		}
		mustSurvive(t, d, rng, path, acknowledged, fmt.Sprintf("cut before call %d of %d", done, len(calls)))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d calls, %d cuts, %d endpoints", len(calls), cuts, acknowledged)
}

// mustSurvive makes the files that a cut leaves and opens the store.
func mustSurvive(t *testing.T, d *platter, rng *rand.Rand, path string, acknowledged int, what string) {
	t.Helper()
	dir := t.TempDir()
	d.cut(t, rng, dir)
	left := filepath.Join(dir, filepath.Base(path))
	if bak := left + ".bak"; exists(bak) {
		if err := store.CheckFile(ctx, bak); err != nil {
			t.Errorf("%s: the snapshot is not whole: %v", what, err)
		}
	}
	s, err := store.Open(left, store.Options{})
	if err != nil {
		t.Errorf("%s: Open: %v", what, err)
		return
	}
	defer os.RemoveAll(dir)
	defer s.Close()
	if w := s.Warnings(); len(w) > 0 && acknowledged > 0 {
		t.Errorf("%s: %q", what, w)
	}
	got := load(t, s)
	for _, r := range plain(acknowledged, 0) {
		if _, ok := got[r.Endpoint]; !ok {
			t.Errorf("%s: %s of %d acknowledged is lost", what, r.Endpoint, acknowledged)
			return
		}
	}
	docs, err := s.Docs(ctx)
	if n, _ := strconv.Atoi(string(docs["last"])); err != nil || n < acknowledged {
		t.Errorf("%s: the document says %q, %v, want at least %d", what, docs["last"], err, acknowledged)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// platter is a disk with its cache: what is synced, and what is not yet.
type platter struct {
	dir   string
	now   map[string]*inode // names as programs see them
	safe  map[string]*inode // names that are on disk
	later []func(map[string]*inode)
}

// inode is a file: bytes on disk, and changes that are not.
type inode struct {
	safe  []byte
	later []change
	size  int64 // with later
}

// change is a write, or with nil data a truncation to at.
type change struct {
	at   int64
	data []byte
}

func newPlatter(dir string) *platter {
	return &platter{dir: dir, now: map[string]*inode{}, safe: map[string]*inode{}}
}

// name changes names: at once for programs, on disk when the folder is synced.
func (d *platter) name(f func(map[string]*inode)) {
	f(d.now)
	d.later = append(d.later, f)
}

// do performs a call. It returns what an acknowledgement says.
func (d *platter) do(c baddisk.Call) (acknowledged int) {
	if text, ok := strings.CutPrefix(string(c.Data), "ack "); ok && strings.HasPrefix(c.Path, "pipe:") {
		n, _ := strconv.Atoi(strings.TrimSpace(text))
		return n
	}
	if c.Path == d.dir && c.Kind == baddisk.Sync {
		for _, f := range d.later {
			f(d.safe)
		}
		d.later = nil
		return 0
	}
	if filepath.Dir(c.Path) != d.dir {
		return 0
	}
	f := d.now[c.Path]
	switch c.Kind {
	case baddisk.Open:
		if f == nil {
			f = &inode{}
			d.name(func(m map[string]*inode) { m[c.Path] = f })
		} else if c.Flags&os.O_TRUNC != 0 {
			f.add(change{at: 0})
		}
	case baddisk.Rename:
		d.name(func(m map[string]*inode) { m[c.To] = f; delete(m, c.Path) })
	case baddisk.Link:
		d.name(func(m map[string]*inode) { m[c.To] = f })
	case baddisk.Remove:
		d.name(func(m map[string]*inode) { delete(m, c.Path) })
	case baddisk.Sync:
		for _, x := range f.later {
			f.safe = x.apply(f.safe)
		}
		f.later = nil
	case baddisk.Truncate:
		f.add(change{at: c.Offset})
	case baddisk.Write:
		at := c.Offset
		if at < 0 {
			at = f.size // files are written from the front
		}
		f.add(change{at, c.Data})
	}
	return 0
}

// add notes a change.
func (f *inode) add(x change) {
	f.later = append(f.later, x)
	if f.size = max(f.size, x.at+int64(len(x.data))); x.data == nil {
		f.size = x.at
	}
}

// apply makes a change.
func (x change) apply(b []byte) []byte {
	end := x.at + int64(len(x.data))
	if int64(len(b)) < end {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	if x.data == nil {
		return b[:x.at]
	}
	copy(b[x.at:], x.data)
	return b
}

// cut writes what a power cut may leave into dir.
func (d *platter) cut(t *testing.T, rng *rand.Rand, dir string) {
	t.Helper()
	names := map[string]*inode{}
	for name, f := range d.safe {
		names[name] = f
	}
	for _, f := range d.later[:rng.IntN(len(d.later)+1)] { // names change in order
		f(names)
	}
	for name, f := range names {
		if f == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), f.cut(rng), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// cut returns what a power cut may leave of a file.
func (f *inode) cut(rng *rand.Rand) []byte {
	b := bytes.Clone(f.safe)
	share := rng.IntN(4) // of four: from none to most
	for _, x := range f.later {
		if rng.IntN(3) >= share {
			continue
		}
		if x.data == nil || rng.IntN(2) == 0 {
			b = x.apply(b)
			continue
		}
		const sector = 512
		for at := 0; at < len(x.data); at += sector {
			if rng.IntN(2) == 0 {
				b = change{x.at + int64(at), x.data[at:min(at+sector, len(x.data))]}.apply(b)
			}
		}
	}
	return b
}
