package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The sentinels that callers tell apart.
var (
	ErrLocked   = errors.New("the store is in use")
	ErrReadOnly = errors.New("the store is read-only") // opened so, or after a write that failed
	ErrCorrupt  = errors.New("the store is corrupt")
	ErrNewer    = errors.New("the store was written by a newer version")
	errClosed   = errors.New("the store is closed")
)

// Options is how a store is opened. The zero value is usable.
type Options struct {
	Timeout  time.Duration    // how long to wait for the lock; default 1s
	Log      *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
	ReadOnly bool             // shared with other readers; nothing is repaired or changed

	// RetryAfter is how long the store stays read-only after a failed write
	// until a Save opens and checks it again; default 2s. Where it is not a full
	// disk that is waited for, the pauses grow to 16 times as long.
	RetryAfter time.Duration

	BackupEvery time.Duration // how old the latest snapshot may get; default 6h
	BackupKeep  int           // how many snapshots are kept; default 2
}

// withDefaults fills in what is not said.
func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	if o.RetryAfter <= 0 {
		o.RetryAfter = 2 * time.Second
	}
	if o.BackupEvery <= 0 {
		o.BackupEvery = DefaultBackupEvery
	}
	if o.BackupKeep <= 0 {
		o.BackupKeep = DefaultBackupKeep
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// What Options say when they say nothing about snapshots.
const (
	DefaultBackupEvery = 6 * time.Hour
	DefaultBackupKeep  = 2
)

// Store is an open file. Its methods may be called from any goroutine.
type Store struct {
	path string
	opt  Options
	lock *pidFile // nil when read-only

	saving   sync.Mutex // held during Save, Close and Compact; protects the fields below
	pending  int        // bytes in the log
	folded   time.Time  // when the log was folded in last
	backedUp time.Time  // when PATH.bak was made last
	changed  bool       // since then
	failed   error      // of the write that made it read-only
	failedAt time.Time
	pause    time.Duration // after failedAt; 0: the latest write succeeded
	suspect  bool          // a sync failed, so that the kernel's view of the file proves nothing
	format   int           // version of the file
	warnings []string      // what was wrong with the file

	stateMu sync.Mutex // protects state
	state   State

	faulted atomic.Bool // bbolt panicked while it may have held locks

	mu   sync.RWMutex // read-locked by every transaction; protects the fields below
	db   *bolt.DB     // nil: closed
	file *os.File     // of db
}

// Open opens or creates the store at path, which nobody but its owner can
// read. A file that is corrupt or not a store is renamed to PATH.corrupt-TIME,
// the last snapshot, PATH.bak, takes its place when there is one, and Warnings
// says so. The error is a *LockedError when another process has it open, and
// ErrNewer is in it for files of newer versions. With ReadOnly the file must
// be there, and ErrCorrupt is in the error when it is broken.
func Open(path string, opt Options) (*Store, error) {
	opt = opt.withDefaults()
	s := &Store{path: path, opt: opt, folded: opt.Now(), backedUp: opt.Now()}
	if opt.ReadOnly {
		return s.openShared()
	}
	lock, err := lockPID(path, opt.Timeout)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	s.lookBack()
	if err := s.openOwn(); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	return s, nil
}

// openShared opens the file for reading beside other readers.
func (s *Store) openShared() (*Store, error) {
	if owner, ok := owned(s.path); ok {
		return nil, &LockedError{s.path, owner}
	}
	if err := verify(s.path); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path, err)
	}
	db, file, err := s.openBolt()
	if err != nil {
		return nil, err
	}
	err = guard(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			if s.format, err = readVersion(tx); err == nil && s.format > version {
				err = newerError(s.format)
			}
			return errors.Join(err, hasBuckets(tx))
		})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, err), db.Close())
	}
	s.db, s.file = db, file
	return s, nil
}

// openOwn opens the file for writing, after putting a broken one aside.
func (s *Store) openOwn() error {
	err := s.tryOpen()
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	if err := s.putAside(err); err != nil {
		return err
	}
	if err = s.tryOpen(); errors.Is(err, ErrCorrupt) { // the snapshot passed as well, so it is not the file's content
		return fmt.Errorf("open %s again: %w", s.path, err)
	}
	return err
}

// tryOpen opens the file, which may not exist, checks it and brings it to the
// current format.
func (s *Store) tryOpen() error {
	info, err := os.Stat(s.path)
	isNew := errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 && info.Mode().IsRegular()
	switch {
	case isNew && err == nil && len(s.snapshots()) > 0: // a power cut on some file systems
		return fmt.Errorf("%w: it is empty, but there is a snapshot", ErrCorrupt)
	case isNew:
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", s.path)
	default:
		if err := verify(s.path); err != nil {
			return err
		}
	}
	db, file, err := s.openBolt()
	if err != nil {
		return err
	}
	if err := guard(func() error { return s.prepare(db, isNew) }); err != nil {
		return errors.Join(err, db.Close())
	}
	if isNew {
		if err := syncDir(s.path); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.file = db, file
	return nil
}

// openBolt opens the file and takes bbolt's lock on it.
func (s *Store) openBolt() (db *bolt.DB, file *os.File, err error) {
	keep := func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	err = guard(func() (err error) {
		db, err = bolt.Open(s.path, 0o600, &bolt.Options{Timeout: s.opt.Timeout, ReadOnly: s.opt.ReadOnly, FreelistType: bolt.FreelistMapType, OpenFile: keep})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		pid, _ := owned(s.path)
		return nil, nil, &LockedError{s.path, pid}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return nil, nil, fmt.Errorf("open %s: %w", s.path, err)
	}
	return db, file, nil
}

// guard runs f and turns a panic of bbolt, which means that the file makes no
// sense, into an error, and likewise a fault in reading the file through
// memory, as a disk that cannot be read or a file that was cut give it.
func guard(f func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			err = panicError{fmt.Errorf("%w: %v", ErrCorrupt, r)}
		}
	}()
	return f()
}

// panicError is an error that was a panic: bbolt may hold locks.
type panicError struct{ error }

// Unwrap returns ErrCorrupt with what the panic said.
func (e panicError) Unwrap() error { return e.error }

// run runs f, which uses the open file. s.mu is read-locked.
func (s *Store) run(f func() error) error {
	err := guard(f)
	if p := (panicError{}); errors.As(err, &p) {
		s.faulted.Store(true)
	}
	return err
}

// view runs f in a read transaction.
func (s *Store) view(f func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	return s.run(func() error { return s.db.View(f) })
}

// Warnings says what was wrong with the file when it was opened, also when it
// was opened again.
func (s *Store) Warnings() []string {
	s.saving.Lock()
	defer s.saving.Unlock()
	return slices.Clone(s.warnings)
}

// Close folds the log in, makes a snapshot if anything has changed since the
// last, and releases the file. The store cannot be used afterwards.
func (s *Store) Close() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	var errs []error
	if !s.opt.ReadOnly && s.failed == nil && s.isOpen() {
		errs = append(errs, s.fold(context.Background()), s.snapshot())
	}
	errs = append(errs, s.shut())
	if s.lock != nil {
		errs = append(errs, s.lock.release())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// isOpen reports whether Close was not called yet.
func (s *Store) isOpen() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db != nil
}

// syncDir makes a new or renamed file in the folder of path durable. Systems
// that cannot do that need not.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can
	return d.Close()
}
