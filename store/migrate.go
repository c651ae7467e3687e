package store

import (
	"bytes"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// migration brings a file from one format version to the next. It must leave
// the file as it was when it fails: everything happens in one transaction.
type migration func(*bolt.Tx) error

// migrations returns, by the version they begin with, all that there ever
// were, so that any older file can be brought to the current version.
func migrations() map[int]migration { return map[int]migration{1: sealDocs} }

// sealDocs brings format 1 to format 2: documents get checksums.
func sealDocs(tx *bolt.Tx) error {
	b := tx.Bucket(bucketDocs)
	if b == nil {
		return fmt.Errorf("%w: it has no bucket %q", ErrCorrupt, bucketDocs)
	}
	docs := map[string][]byte{}
	err := b.ForEach(func(k, v []byte) error {
		docs[string(k)] = bytes.Clone(v)
		return nil
	})
	if err != nil {
		return err
	}
	return putDocs(tx, docs)
}

// newerError is ErrNewer with both versions and what to do.
func newerError(v int) error {
	return fmt.Errorf("%w: it has format %d and this version knows up to %d; run the version that wrote it, or restore a copy with \"freeway store restore\"", ErrNewer, v, version)
}

// migrate brings a file of version v to the current one. Before the first step
// the file is copied to PATH.vN.bak.
func (s *Store) migrate(db *bolt.DB, v int, steps map[int]migration) error {
	if v > version {
		return newerError(v)
	}
	if v == version {
		return nil
	}
	err := writeFile(fmt.Sprintf("%s.v%d.bak", s.path, v), func(w io.Writer) error {
		return db.View(func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("copy before the migration: %w", err)
	}
	s.opt.Log.Info("the store is brought to a newer format", "path", s.path, "from", v, "to", version, "copy", fmt.Sprintf("%s.v%d.bak", s.path, v))
	for ; v < version; v++ {
		step := steps[v]
		if step == nil {
			return fmt.Errorf("no way from format %d to %d", v, v+1)
		}
		err := db.Update(func(tx *bolt.Tx) error {
			if err := step(tx); err != nil {
				return err
			}
			return writeVersion(tx, v+1)
		})
		if err != nil {
			return fmt.Errorf("migrate from format %d to %d: %w", v, v+1, err)
		}
	}
	return nil
}
