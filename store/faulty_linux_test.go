//go:build amd64 || arm64

package store_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/internal/baddisk"
	"freeway/proxy"
	"freeway/store"
)

// modes are what the test binary does as a child; see child.
func modes() map[string]func(string) int {
	return map[string]func(string) int{"limit": limited, "power": powerful, "obey": obedient}
}

// obedient does what it is told on standard input, a word a line, and prints
// what came of it.
func obedient(path string) int {
	now := time.Unix(1_800_000_000, 0)
	s, err := store.Open(path, store.Options{Now: func() time.Time { return now }, RetryAfter: 10 * time.Second})
	if err != nil {
		return complain("Open: %v", err)
	}
	next := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "wait":
			now = now.Add(11 * time.Second)
		case "hour":
			now = now.Add(time.Hour)
		}
		err := s.Save(ctx, proxy.Batch{Put: plain(50, next)})
		st := s.State()
		switch {
		case err == nil && !st.ReadOnly:
			next += 50
			fmt.Println("ok", next)
		case errors.Is(err, store.ErrReadOnly) && st.ReadOnly && st.Cause != nil && !st.Since.IsZero():
			fmt.Println("readonly", err)
		default:
			return complain("Save = %v, state %+v", err, st)
		}
	}
	return 0
}

// patient is an obedient child on a disk that fails when it is told to.
type patient struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	disk    *baddisk.Disk
	armed   atomic.Int64 // calls of kind that still succeed; below 0 they fail
	kind    atomic.Int64
	path    string
	renamed atomic.Int64 // times a new file took the place of the store
	only    atomic.Bool  // a new file is written without errors
}

const healthy = 1 << 40

func admit(t *testing.T) *patient {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &patient{t: t, path: filepath.Join(t.TempDir(), "f.db"), cmd: exec.Command(exe)}
	p.armed.Store(healthy)
	p.only.Store(true)
	p.cmd.Env = append(os.Environ(), childEnv+"="+p.path+"|obey")
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	if p.disk, err = baddisk.Start(p.cmd, baddisk.Write|baddisk.Truncate|baddisk.Sync|baddisk.Rename, p.judge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *patient) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.disk.Wait()
}

// judge fails what it is armed for on the store, and on what is to replace it.
func (p *patient) judge(c baddisk.Call) syscall.Errno {
	if c.Kind == baddisk.Rename && c.To == p.path {
		p.renamed.Add(1)
	}
	if c.Path != p.path && (c.Path != p.path+".new" || p.only.Load()) || int64(c.Kind) != p.kind.Load() {
		return 0
	}
	if p.armed.Add(-1) < 0 {
		return syscall.EIO
	}
	return 0
}

// arm lets calls of a kind fail after some that succeed.
func (p *patient) arm(kind baddisk.Kind, after int64) {
	p.kind.Store(int64(kind))
	p.armed.Store(after)
}

// tell says a word and returns what the child answers.
func (p *patient) tell(word string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, word); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("the child ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *patient) want(word, prefix string) {
	p.t.Helper()
	if got := p.tell(word); !strings.HasPrefix(got, prefix) {
		p.t.Fatalf("after %q the child says %q, want %q", word, got, prefix)
	}
}

// TestFailedSync: threats row 67. Whatever call on the disk fails, the store
// is read-only from then on, also when the disk is well again; it goes on only
// in a new file, for nobody knows what of the old one is on disk.
func TestFailedSync(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		kind  baddisk.Kind
		after int64
	}{"sync of data": {baddisk.Sync, 0}, "sync of the head": {baddisk.Sync, 1}, "write of data": {baddisk.Write, 0}, "write of the head": {baddisk.Write, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := admit(t)
			p.want("save", "ok 50")
			p.arm(fault.kind, fault.after)
			p.want("save", "readonly")
			p.arm(0, healthy)
			p.want("save", "readonly") // not tried again at once
			if n := p.renamed.Load(); n != 0 {
				t.Errorf("the file was replaced %d times before it was closed", n)
			}
			p.want("wait", "ok 100")
			if n := p.renamed.Load(); n != 1 {
				t.Errorf("the file was replaced %d times, want once", n)
			}
			p.want("save", "ok 150")
			p.kill()
			s := open(t, p.path, store.Options{})
			if n := len(load(t, s)); n != 150 || len(s.Warnings()) > 0 {
				t.Errorf("%d records, want 150; %q", n, s.Warnings())
			}
		})
	}
}

// TestBrokenDisk: a disk that stays broken is tried with growing pauses.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	p := admit(t)
	p.want("save", "ok 50")
	p.only.Store(false)
	p.arm(baddisk.Sync, 0)
	p.want("save", "readonly save")
	p.want("wait", "readonly the store is read-only: opening it again: sync")
	p.want("wait", "readonly the store is read-only since") // 20 s this time
	p.want("wait", "readonly the store is read-only: opening it again: sync")
	p.arm(0, healthy)
	p.want("wait", "readonly the store is read-only since") // 40 s
	p.want("hour", "ok 100")
	p.kill()
	s := open(t, p.path, store.Options{})
	if n := len(load(t, s)); n != 100 || len(s.Warnings()) > 0 {
		t.Errorf("%d records, want 100; %q", n, s.Warnings())
	}
}
