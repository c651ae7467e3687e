package logs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"freeway/internal/logs"
)

// TestFullDisk: /dev/full refuses every write; it is counted, nobody waits, and
// the log says so once there is space again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	l, err := logs.Open(logs.Options{File: path, FileOptions: logs.FileOptions{MaxSize: 1, MaxFiles: 3}})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("one")
	await(t, func() bool { return l.Stats().Failed > 0 })
	if err := l.Err(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Err = %v, want %v", err, syscall.ENOSPC)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	await(t, func() bool { return l.Err() == nil })
	l.Logger().Info("two")
	if err := l.Close(patience); err != nil {
		t.Errorf("Close = %v", err)
	}
	if got := []byte(read(t, path) + read(t, path+".1")); !bytes.Contains(got, []byte("msg=two")) ||
		!bytes.Contains(got, []byte(`level=ERROR msg="log records were lost" queue_full=0 not_written=1`)) {
		t.Errorf("the log holds %q", got)
	}
}

// TestTornLine: after a write that stopped in the middle, the next line stands
// alone. A pipe that is full does that to one who does not wait.
func TestTornLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := open(t, path, logs.FileOptions{})
	if err := f.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	long := append(bytes.Repeat([]byte("x"), 100_000), '\n')
	n, err := f.Write(long)
	if n == 0 || n >= len(long) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write = %d, %v, want a part of it", n, err)
	}
	if _, err := io.ReadFull(r, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := f.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("whole\n")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "\nwhole\n" {
		t.Errorf("the next line is %q, %v", got, err)
	}
}
