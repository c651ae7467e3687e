package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
)

// Copy is a copy of the store at one moment, in a temporary file that Close
// removes.
type Copy struct {
	f    *os.File
	size int64
}

// Size is how many bytes it has.
func (c *Copy) Size() int64 { return c.size }

// Read implements io.Reader.
func (c *Copy) Read(b []byte) (int, error) { return c.f.Read(b) }

// Close removes the file.
func (c *Copy) Close() error { return errors.Join(c.f.Close(), os.Remove(c.f.Name())) }

// Copy makes a copy of the store as it is now, also while it is being written.
// Old pages are kept from being used again for as long as this disk takes to
// write the copy, however slow the reader of the copy is. Without passwords,
// those of upstreams are left out; then the copy has no free space either. The
// caller closes it.
func (s *Store) Copy(ctx context.Context, passwords bool) (c *Copy, err error) {
	tmp, err := s.tempFile()
	if err != nil {
		return nil, err
	}
	c = &Copy{f: tmp}
	if passwords {
		err = s.view(func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(tmp)
			return err
		})
	} else {
		err = s.strip(ctx, tmp.Name())
	}
	if err == nil {
		c.size, err = tmp.Seek(0, io.SeekEnd)
	}
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy the store: %w", err), c.Close())
	}
	return c, nil
}

// tempFile makes an empty file beside the store, else in the system's folder.
func (s *Store) tempFile() (*os.File, error) {
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".backup-*")
	if err != nil { // perhaps the folder cannot be written
		tmp, err = os.CreateTemp("", "freeway-backup-*")
	}
	return tmp, err
}

// Backup writes a copy of the store, with all that it holds, to w.
func (s *Store) Backup(w io.Writer) (err error) {
	c, err := s.Copy(context.Background(), true)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	_, err = io.Copy(w, c)
	return err
}

// strip writes the store without passwords into the file at path, which is
// empty: a new file, so that none is left in free pages.
func (s *Store) strip(ctx context.Context, path string) error {
	dst, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = s.view(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error { return stripBucket(ctx, dst, name, b) })
	})
	return errors.Join(err, dst.Close())
}

// stripBucket copies a bucket, at most maxTx values to a transaction.
func stripBucket(ctx context.Context, dst *bolt.DB, name []byte, b *bolt.Bucket) error {
	c := b.Cursor()
	k, v := c.First()
	for first := true; first || k != nil; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := guard(func() error {
			return dst.Update(func(tx *bolt.Tx) error {
				to, err := tx.CreateBucketIfNotExists(name)
				if err != nil {
					return err
				}
				to.FillPercent = fill
				for n := 0; k != nil && n < maxTx; n++ {
					if out := withoutPassword(name, k, v); out != nil {
						if err := to.Put(k, out); err != nil {
							return err
						}
					}
					k, v = c.Next()
				}
				return to.SetSequence(b.Sequence())
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// withoutPassword returns a value of a bucket without passwords; nil: what
// cannot be read is left out, for nobody knows what it holds.
func withoutPassword(bucket, key, value []byte) []byte {
	switch string(bucket) {
	case string(bucketEntries):
		return stripRecord(key, value)
	case string(bucketLog):
		list, err := decodeLog(value)
		if err != nil {
			return nil
		}
		kept := list[:0]
		for _, o := range list {
			if o.value != nil {
				if o.value = stripRecord(o.key, o.value); o.value == nil {
					continue
				}
			}
			kept = append(kept, o)
		}
		return encodeLog(kept)
	}
	return value
}

// stripRecord returns a record without its password, nil for a damaged one.
func stripRecord(key, value []byte) []byte {
	rec, err := parseRecord(key, value)
	if err != nil {
		return nil
	}
	if rec.Password.IsZero() {
		return value
	}
	rec.Password = proxy.Secret{}
	return appendRecord(nil, key, &rec)
}
