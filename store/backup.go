package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// snapshot writes PATH.bak, from which a broken store is restored. saving is
// held.
func (s *Store) snapshot() error {
	if !s.changed {
		return nil
	}
	err := writeFile(s.path+".bak", func(w io.Writer) error {
		return s.view(func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s.changed, s.backedUp = false, s.opt.Now()
	return nil
}

// Backup writes a copy of the store to w. The copy is made in a temporary file
// first, so that a slow w does not keep old pages of the store alive.
func (s *Store) Backup(w io.Writer) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".backup-*")
	if err != nil { // perhaps the folder cannot be written
		if tmp, err = os.CreateTemp("", "freeway-backup-*"); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name())) }()
	err = s.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(tmp)
		return err
	})
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(w, tmp)
	return err
}

// Compact writes a copy of the store without free space to path, which must
// not exist.
func (s *Store) Compact(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("compact: %s exists already", path)
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	err := guard(func() error {
		dst, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: s.opt.Timeout})
		if err != nil {
			return err
		}
		return errors.Join(bolt.Compact(dst, s.db, 1<<20), dst.Close())
	})
	if err != nil {
		return fmt.Errorf("compact: %w", errors.Join(err, os.Remove(path)))
	}
	return syncDir(path)
}

// Check reads the whole file and returns all that is wrong, at most a hundred.
func (s *Store) Check(ctx context.Context) error {
	s.saving.Lock() // bbolt's check must not run beside a writer
	defer s.saving.Unlock()
	if err := verify(s.path); err != nil {
		return err
	}
	return s.view(func(tx *bolt.Tx) error {
		var errs []error
		note := func(err error) {
			if len(errs) < 100 {
				errs = append(errs, err)
			}
		}
		for err := range tx.Check() {
			note(fmt.Errorf("%w: %w", ErrCorrupt, err))
		}
		if _, damaged, err := readLog(tx); err != nil || damaged > 0 {
			note(errors.Join(fmt.Errorf("%w: %d parts of the log are damaged", ErrCorrupt, damaged), err))
		}
		err := tx.Bucket(bucketEntries).ForEach(func(k, v []byte) error {
			if _, err := parseRecord(k, v); err != nil {
				note(fmt.Errorf("%w: %w", ErrCorrupt, err))
			}
			return ctx.Err()
		})
		return errors.Join(append(errs, err)...)
	})
}

// Stats is the store in numbers.
type Stats struct {
	Version int   // of the format
	Size    int64 // bytes of the file
	Entries int   // records in place
	Docs    int
	Pending int // bytes in the log
}

// Stats counts what the store holds; it walks through the whole file.
func (s *Store) Stats() (st Stats, err error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return st, err
	}
	st.Size = info.Size()
	err = s.view(func(tx *bolt.Tx) (err error) {
		st.Entries, st.Docs = tx.Bucket(bucketEntries).Stats().KeyN, tx.Bucket(bucketDocs).Stats().KeyN
		err = tx.Bucket(bucketLog).ForEach(func(_, v []byte) error { st.Pending += len(v); return nil })
		if err == nil {
			st.Version, err = readVersion(tx)
		}
		return err
	})
	return st, err
}
