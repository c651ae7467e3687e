package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// firstSnapshot is how old a store without a snapshot gets until one is made.
const firstSnapshot = 10 * time.Minute

// maxSnapshots bounds how many are looked for.
const maxSnapshots = 100

// snapshotName is the n-th latest snapshot: PATH.bak, PATH.bak.1 and so on.
func (s *Store) snapshotName(n int) string {
	if n == 0 {
		return s.path + ".bak"
	}
	return fmt.Sprintf("%s.bak.%d", s.path, n)
}

// snapshots returns those that there are, the latest first.
func (s *Store) snapshots() (out []string) {
	for n := range maxSnapshots {
		if info, err := os.Stat(s.snapshotName(n)); err == nil && info.Mode().IsRegular() {
			out = append(out, s.snapshotName(n))
		}
	}
	return out
}

// lookBack finds out how old the latest snapshot is, and removes what a process
// that was killed may have left half written. The lock is held.
func (s *Store) lookBack() {
	left, _ := filepath.Glob(s.path + ".backup-*") // the pattern is well-formed, but for names with brackets
	for _, name := range append(left, s.path+".new", s.path+".bak.new", s.path+".rescue", s.path+".rescue.new", s.path+".compact", s.path+".probe") {
		_ = os.Remove(name) // it is in the way of nothing
	}
	s.backedUp = s.opt.Now().Add(firstSnapshot - s.opt.BackupEvery)
	for _, name := range s.snapshots() {
		if info, err := os.Stat(name); err == nil {
			made := info.ModTime()
			s.change(func(st *State) { st.BackedUp = made })
			if made.Before(s.backedUp) || made.After(s.opt.Now()) { // one from the future says nothing
				return
			}
			s.backedUp = made
			return
		}
	}
}

// snapshot makes a snapshot if anything has changed since the latest. saving is
// held.
func (s *Store) snapshot() error {
	if !s.changed {
		return nil
	}
	err := s.writeSnapshot()
	if err != nil {
		err = fmt.Errorf("snapshot: %w", err)
	} else {
		s.changed, s.backedUp = false, s.opt.Now()
	}
	s.change(func(st *State) {
		if st.BackupErr = err; err == nil {
			st.BackedUp = s.backedUp
		}
	})
	return err
}

// writeSnapshot writes a copy, verifies it, and makes it the latest. Until
// then the ones before stay what they are, so that a store that is going bad
// never drives out the last good copy.
func (s *Store) writeSnapshot() error {
	tmp := s.path + ".bak.new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = s.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		_, err = inspect(tmp)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return s.rotate(tmp)
}

// rotate makes tmp the latest snapshot and removes those that are too many.
func (s *Store) rotate(tmp string) error {
	for n := s.opt.BackupKeep; n < maxSnapshots; n++ {
		if err := os.Remove(s.snapshotName(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for n := min(s.opt.BackupKeep, maxSnapshots) - 2; n >= 0; n-- {
		if err := os.Rename(s.snapshotName(n), s.snapshotName(n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(tmp, s.snapshotName(0)); err != nil {
		return err
	}
	return syncDir(s.path)
}

// copyFile makes to a durable copy of from, whole or not at all.
func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}
