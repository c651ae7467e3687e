package logs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"freeway/internal/logs"
)

func open(t *testing.T, path string, opt logs.FileOptions) *logs.File {
	t.Helper()
	f, err := logs.OpenFile(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

func TestFileRotates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		opt      logs.FileOptions
		old, now string
	}{
		{"keeps two", logs.FileOptions{MaxSize: 20, MaxFiles: 2}, "line 5.|line 6.|;line 3.|line 4.|;", "line 7.|line 8.|"},
		{"keeps none", logs.FileOptions{MaxSize: 20}, ";;", "line 7.|line 8.|"},
		{"never", logs.FileOptions{}, ";;", "line 1.|line 2.|line 3.|line 4.|line 5.|line 6.|line 7.|line 8.|"},
		{"a line longer than a file", logs.FileOptions{MaxSize: 3, MaxFiles: 2}, "line 7.|;line 6.|;", "line 8.|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log")
			f := open(t, path, tt.opt)
			for i := range 8 {
				if n, err := fmt.Fprintf(f, "line %d.\n", i+1); n != 8 || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			flat := strings.NewReplacer("\n", "|")
			old := ""
			for i := 1; i <= 2; i++ {
				old += flat.Replace(read(t, fmt.Sprint(path, ".", i))) + ";"
			}
			if now := flat.Replace(read(t, path)); old != tt.old || now != tt.now {
				t.Errorf("the files hold %q and %q, want %q and %q", old, now, tt.old, tt.now)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// TestFileCountsWhatWasThere: a restart does not begin to count anew.
func TestFileCountsWhatWasThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path, logs.FileOptions{MaxSize: 15, MaxFiles: 1})
	f.Write([]byte("new line\n"))
	if got := read(t, path); got != "new line\n" {
		t.Errorf("the file holds %q", got)
	}
}

func TestFileReopens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	f := open(t, path, logs.FileOptions{})
	f.Write([]byte("one\n"))
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("two\n"))
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("three\n"))
	if diff := cmp.Diff([]string{"one\ntwo\n", "three\n"}, []string{read(t, path+".moved"), read(t, path)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFileKeepsTheOldOne when a new one cannot be made.
func TestFileKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(dir, "log"), logs.FileOptions{})
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reopen = %v, want that there is no such folder", err)
	}
	if _, err := f.Write([]byte("still here\n")); err != nil || read(t, dir+".moved/log") != "still here\n" {
		t.Errorf("the old file is not written to any more: %v", err)
	}
}

func TestFileClosed(t *testing.T) {
	t.Parallel()
	f := open(t, filepath.Join(t.TempDir(), "log"), logs.FileOptions{})
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := f.Write([]byte("x\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write = %v, want %v", err, os.ErrClosed)
	}
	if _, err := logs.OpenFile(t.TempDir(), logs.FileOptions{}); err == nil {
		t.Error("a folder can be opened")
	}
}
