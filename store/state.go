package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// State is how an open store does.
type State struct {
	ReadOnly  bool      // a write failed, and the file was not opened and checked again since
	Since     time.Time // of ReadOnly
	Cause     error     // of ReadOnly
	Failures  uint64    // writes that failed since Open
	Restored  uint64    // how often a snapshot or an empty store took the place of a broken file
	Warning   string    // what was done the last time; empty: never
	BackedUp  time.Time // when the latest snapshot was made; zero: there is none
	BackupErr error     // of the latest snapshot; nil: it succeeded
}

// State may be called at any time; it does not wait for a write under way.
func (s *Store) State() State {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	return s.state
}

// change changes what State returns.
func (s *Store) change(f func(*State)) {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	f(&s.state)
}

// maxPauses bounds how much longer than RetryAfter the pauses between two
// attempts to open a failed store again become.
const maxPauses = 16

// fail makes the store read-only after a write that failed. saving is held.
func (s *Store) fail(err error) {
	again := s.failed != nil
	s.suspect = s.suspect || !isFull(err)
	s.failed, s.failedAt = err, s.opt.Now()
	s.pause = min(max(2*s.pause, s.opt.RetryAfter), maxPauses*s.opt.RetryAfter)
	if isFull(err) {
		s.pause = s.opt.RetryAfter // whether there is room again costs little to find out
	}
	s.change(func(st *State) {
		if !st.ReadOnly {
			st.Since = s.failedAt
		}
		st.ReadOnly, st.Cause = true, err
		st.Failures++
	})
	if !again {
		s.opt.Log.Error("a write to the store failed; it is read-only now", "path", s.path, "error", err)
	}
}

// isFull reports whether a write failed only because there was no room: then
// the kernel has taken nothing that it may have dropped since. An error of a
// sync is never of this kind.
func isFull(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Op == "write" && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG))
}

// writable returns nil when the store can be written. One that has failed is
// opened and checked again first, after a while: what a failed write left in
// memory and on disk cannot be relied on. saving is held.
func (s *Store) writable() error {
	switch {
	case s.opt.ReadOnly:
		return ErrReadOnly
	case s.failed == nil:
		return nil
	case s.opt.Now().Sub(s.failedAt) < s.pause:
		return fmt.Errorf("%w since a write failed: %w", ErrReadOnly, s.failed)
	}
	before := s.State().Restored
	if err := s.reopen(); err != nil {
		s.fail(err)
		return fmt.Errorf("%w: opening it again: %w", ErrReadOnly, err)
	}
	s.opt.Log.Info("the store was opened again and is whole", "path", s.path)
	s.failed = nil // s.pause stays until a write has succeeded
	s.change(func(st *State) { st.ReadOnly, st.Cause, st.Since = false, nil, time.Time{} })
	if s.State().Restored != before {
		return restoredError{}
	}
	return nil
}

// restoredError is what the Save returns that found the file broken and
// replaced it: what had been saved since the snapshot is to be saved again.
type restoredError struct{}

func (restoredError) Error() string {
	return "the store was broken and a snapshot took its place; all must be saved again"
}

// StoreRestored marks the error for callers that do not import this package.
func (restoredError) StoreRestored() {}

// reopen closes the file, verifies it and opens it again. saving is held.
func (s *Store) reopen() error {
	if isFull(s.failed) {
		if err := s.probe(); err != nil {
			return err
		}
	}
	if err := s.shut(); err != nil {
		return err
	}
	if s.suspect {
		if err := s.rewrite(); err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
		s.suspect = false
	}
	return s.openOwn()
}

// probeSize is how much room there must be until a store on a full disk is
// tried again.
const probeSize = 1 << 20

// probe reports whether there is room again.
func (s *Store) probe() error {
	f, err := os.OpenFile(s.path+".probe", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeSize))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(f.Close(), err)
	if rm := os.Remove(f.Name()); rm != nil {
		err = errors.Join(err, rm)
	}
	return err
}

// rewrite copies the file and puts the copy in its place. After a sync that
// failed the kernel takes the pages that it could not write for clean: reading
// them proves nothing, and syncing again writes nothing. In a new file all of
// them are written.
func (s *Store) rewrite() error {
	if err := verify(s.path); err != nil {
		return err
	}
	return copyFile(s.path, s.path)
}

// shut closes the file but keeps the lock. saving is held.
func (s *Store) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	db, file := s.db, s.file
	s.db, s.file = nil, nil
	switch {
	case db == nil:
		return nil
	case s.faulted.Swap(false):
		// bbolt panicked and may hold its locks for ever: it is given up, and
		// its lock on the file with it.
		return file.Close()
	}
	return guard(db.Close)
}
