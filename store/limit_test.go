//go:build linux && (amd64 || arm64)

package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/store"
)

// limited lets a write fail as on a full disk: the system allows files of this
// process only so many bytes.
func limited(path string) int {
	signal.Ignore(syscall.SIGXFSZ)
	now := time.Unix(1_800_000_000, 0)
	s, err := store.Open(path, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		return complain("Open: %v", err)
	}
	if err := s.Save(ctx, proxy.Batch{Put: plain(3500, 0)}); err != nil {
		return complain("Save: %v", err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return complain("Getrlimit: %v", err)
	}
	small := before
	small.Cur = 1 << 16
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		return complain("Setrlimit: %v", err)
	}
	if err := s.Save(ctx, proxy.Batch{Put: plain(5000, 3500)}); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
		return complain("Save to a full disk = %v, want ErrReadOnly and the cause", err)
	}
	if err := s.Save(ctx, proxy.Batch{Put: plain(1, 0)}); !errors.Is(err, store.ErrReadOnly) {
		return complain("Save after a failed one = %v, want ErrReadOnly", err)
	}
	n := 0
	for _, err := range s.Load(ctx) {
		if err != nil {
			return complain("Load of a read-only store: %v", err)
		}
		n++
	}
	if n != 3500 {
		return complain("a failed write left %d records, want 3500", n)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return complain("Setrlimit: %v", err)
	}
	if err := s.Save(ctx, proxy.Batch{Put: plain(1, 0)}); !errors.Is(err, store.ErrReadOnly) {
		return complain("Save at once after that = %v, want ErrReadOnly for a while", err)
	}
	now = now.Add(31 * time.Second)
	if err := s.Save(ctx, proxy.Batch{Put: plain(5000, 3500)}); err != nil {
		return complain("Save when there is room again: %v", err)
	}
	if err := errors.Join(s.Check(ctx), s.Close()); err != nil {
		return complain("Check and Close: %v", err)
	}
	fmt.Println("ok")
	return 0
}

func complain(format string, args ...any) int {
	fmt.Printf(format+"\n", args...)
	return 1
}

// TestFullDisk: threats rows 67 and 68.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f.db")
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path+"|limit")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Fatalf("%v:\n%s", err, out)
	}
	s := open(t, path, store.Options{})
	if n := len(load(t, s)); n != 8500 {
		t.Errorf("%d records, want 8500", n)
	}
}
