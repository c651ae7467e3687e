package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// stamp is how times are written into file names.
const stamp = "20060102T150405Z"

// putAside renames a broken file and puts the snapshot in its place, if there
// is one that is whole. The lock is held.
func (s *Store) putAside(why error) error {
	aside := s.freeName(s.path + ".corrupt-" + s.opt.Now().UTC().Format(stamp))
	if err := os.Rename(s.path, aside); err != nil {
		return fmt.Errorf("put the corrupt store aside: %w", err)
	}
	text := fmt.Sprintf("%s was broken (%v) and is kept as %s; ", s.path, why, aside)
	made, err := s.restore()
	switch {
	case err == nil:
		text += "the snapshot of " + made.UTC().Format(time.RFC3339) + " took its place"
	case errors.Is(err, os.ErrNotExist):
		text += "a new one was begun, for there is no snapshot"
	default:
		text += fmt.Sprintf("a new one was begun, for the snapshot cannot be used: %v", err)
	}
	s.warnings = append(s.warnings, text)
	return syncDir(s.path)
}

// freeName adds a number to a name that is taken.
func (s *Store) freeName(name string) string {
	for i, try := 2, name; ; i++ {
		if _, err := os.Lstat(try); errors.Is(err, os.ErrNotExist) {
			return try
		}
		try = fmt.Sprintf("%s.%d", name, i)
	}
}

// restore copies the snapshot to the place of the store, and returns when it
// was made.
func (s *Store) restore() (made time.Time, err error) {
	bak := s.path + ".bak"
	info, err := os.Stat(bak)
	if err != nil {
		return made, err
	}
	if err := verify(bak); err != nil {
		return made, err
	}
	from, err := os.Open(bak)
	if err != nil {
		return made, err
	}
	defer from.Close()
	return info.ModTime(), writeFile(s.path, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
}

// writeFile writes a file that is there either whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(path)
}

// fail makes the store read-only after a write that failed. saving is held.
func (s *Store) fail(err error) {
	s.failed, s.failedAt = err, s.opt.Now()
	s.opt.Log.Error("a write to the store failed; it is read-only now", "path", s.path, "error", err)
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
	case s.opt.Now().Sub(s.failedAt) < s.opt.RetryAfter:
		return fmt.Errorf("%w since a write failed: %w", ErrReadOnly, s.failed)
	}
	if err := s.reopen(); err != nil {
		s.failed, s.failedAt = err, s.opt.Now()
		return fmt.Errorf("%w: opening it again: %w", ErrReadOnly, err)
	}
	s.opt.Log.Info("the store was opened again and is whole", "path", s.path)
	s.failed = nil
	return nil
}

// reopen closes the file, verifies it and opens it again. saving is held.
func (s *Store) reopen() error {
	s.mu.Lock()
	db := s.db
	s.db = nil
	s.mu.Unlock()
	if db != nil {
		if err := guard(db.Close); err != nil {
			return err
		}
	}
	s.pending = 0
	return s.tryOpen()
}
