package store

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

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
		docs := tx.Bucket(bucketDocs).ForEach(func(k, v []byte) error {
			if _, ok := s.openDoc(k, v); !ok {
				note(fmt.Errorf("%w: checksum of the document %q", ErrCorrupt, k))
			}
			return nil
		})
		return errors.Join(append(errs, err, docs)...)
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
