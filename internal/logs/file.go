package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

// FileOptions is how a File is kept.
type FileOptions struct {
	MaxSize  int64 // bytes after which the file becomes NAME.1 and a new one begins; what is written at once stays together; 0: never
	MaxFiles int   // how many of NAME.1, NAME.2, ... are kept; 0: none, a full file is lost
}

// File is a file that lines are appended to, mode 0600. It can be opened anew
// after it was moved away, and it can rotate by itself. The usual libraries for
// this cannot open a file anew without also rotating it, and report their own
// troubles on stderr, where that may block.
//
// What is no regular file, such as /dev/stderr, is written to and never rotated.
// Its methods may be called from any goroutine, and wait for a write under way.
type File struct {
	path string
	opt  FileOptions

	mu   sync.Mutex // protects the fields below
	f    *os.File   // nil: closed
	size int64      // of a regular file; -1: it is none
	torn bool       // the last write stopped in the middle of a line
}

// OpenFile opens or makes the file.
func OpenFile(path string, opt FileOptions) (*File, error) {
	f := &File{path: path, opt: opt}
	if err := f.Reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reopen opens the path anew: a file that was moved away keeps what it has, and
// a new one begins. When that fails the old one stays in use. Errors name the path.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reopen()
}

// reopen is Reopen with mu held.
func (f *File) reopen() error {
	next, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := next.Stat()
	if err != nil {
		return errors.Join(err, next.Close())
	}
	old := f.f
	f.f, f.size, f.torn = next, -1, false
	if info.Mode().IsRegular() {
		f.size = info.Size()
	}
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write appends whole lines. When it fails in the middle of one, the next write
// begins a new line.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return 0, os.ErrClosed
	}
	rotated := f.rotate(len(p))
	if f.torn {
		if _, err := io.WriteString(f.f, "\n"); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := f.f.Write(p)
	if f.size >= 0 {
		f.size += int64(n)
	}
	f.torn = err != nil && n > 0
	if err == nil && rotated != nil {
		return n, fmt.Errorf("rotate: %w", rotated)
	}
	return n, err
}

// rotate moves a full file away before n more bytes are written. When that
// fails the full one is written to further, and the next write tries again.
func (f *File) rotate(n int) error {
	if f.opt.MaxSize <= 0 || f.size <= 0 || f.size+int64(n) <= f.opt.MaxSize {
		return nil
	}
	if f.opt.MaxFiles <= 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return f.reopen()
	}
	for i := f.opt.MaxFiles; i > 1; i-- {
		if err := os.Rename(f.old(i-1), f.old(i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(f.path, f.old(1)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return f.reopen()
}

// old is the name of the i-th file before this one.
func (f *File) old(i int) string { return f.path + "." + strconv.Itoa(i) }

// Close may be called more than once.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
