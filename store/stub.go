package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"freeway/proxy"
)

// ErrLocked is in the error of a file that another process has open.
// ErrReadOnly is in the error of a write after a write that failed.
var (
	ErrLocked   = errors.New("the store is in use")
	ErrReadOnly = errors.New("the store is read-only")
)

// LockedError is ErrLocked with who has the file open.
type LockedError struct {
	Path string
	PID  int // 0: not known
}

// Error names the process.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process", e.Path)
	}
	return fmt.Sprintf("%s is in use by process %d", e.Path, e.PID)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// Options is how a store is opened.
type Options struct {
	Timeout  time.Duration // how long to wait for the lock; default 1s
	Log      *slog.Logger  // nil: silent
	Now      func() time.Time
	ReadOnly bool // shared with other readers; nothing is repaired
}

// Stats is the store in numbers.
type Stats struct {
	Version       int
	Size          int64 // bytes of the file
	Entries, Docs int
	Pending       int // records in the log
}

// Store is an open file.
type Store struct{}

func Open(path string, opt Options) (*Store, error) { return &Store{}, nil }
func (s *Store) Warnings() []string                 { return nil }
func (s *Store) Load(ctx context.Context) iter.Seq2[proxy.Record, error] {
	return func(func(proxy.Record, error) bool) {}
}
func (s *Store) Docs(ctx context.Context) (map[string][]byte, error) { return nil, nil }
func (s *Store) Save(ctx context.Context, b proxy.Batch) error       { return nil }
func (s *Store) Backup(w io.Writer) error                            { return nil }
func (s *Store) Check(ctx context.Context) error                     { return nil }
func (s *Store) Compact(path string) error                           { return nil }
func (s *Store) Stats() Stats                                        { return Stats{} }
func (s *Store) Close() error                                        { return nil }
