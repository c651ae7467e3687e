package store

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// version is the format of the file that this code writes. Format 1 had no
// checksums of documents.
const version = 2

// The buckets of the file.
var (
	bucketMeta    = []byte("freeway") // version
	bucketEntries = []byte("entries") // key to record
	bucketDocs    = []byte("docs")    // name to document
	bucketLog     = []byte("log")     // sequence number to what was saved but not folded in yet
	keyVersion    = []byte("version")
)

// prepare makes the buckets of a new file, or migrates an older one.
func (s *Store) prepare(db *bolt.DB, isNew bool) error {
	s.format, s.pending = version, 0
	if isNew {
		return db.Update(create)
	}
	v := 0
	if err := db.View(func(tx *bolt.Tx) (err error) { v, err = readVersion(tx); return err }); err != nil {
		return err
	}
	if err := s.migrate(db, v, migrations()); err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if err := hasBuckets(tx); err != nil {
			return err
		}
		return tx.Bucket(bucketLog).ForEach(func(_, v []byte) error { s.pending += len(v); return nil })
	})
}

// hasBuckets returns ErrCorrupt when a bucket is missing.
func hasBuckets(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketEntries, bucketDocs, bucketLog} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: it has no bucket %q", ErrCorrupt, name)
		}
	}
	return nil
}

// create makes the buckets of an empty file.
func create(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketEntries, bucketDocs, bucketLog} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return writeVersion(tx, version)
}

// writeVersion sets the format version of a file.
func writeVersion(tx *bolt.Tx, v int) error {
	return tx.Bucket(bucketMeta).Put(keyVersion, binary.AppendUvarint(nil, uint64(v)))
}

// readVersion returns the format version of a file. One without it is not ours.
func readVersion(tx *bolt.Tx) (int, error) {
	b := tx.Bucket(bucketMeta)
	if b == nil {
		return 0, fmt.Errorf("%w: it is a bbolt file of another program", ErrCorrupt)
	}
	v, n := binary.Uvarint(b.Get(keyVersion))
	if n <= 0 || v == 0 || v > 1<<20 {
		return 0, fmt.Errorf("%w: it has no format version", ErrCorrupt)
	}
	return int(v), nil
}
