package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// stamp is how times are written into file names.
const stamp = "20060102T150405Z"

// putAside renames a broken file and puts the best copy in its place: what the
// file held before its latest transaction, else a snapshot. The lock is held.
func (s *Store) putAside(why error) error {
	aside := freeName(s.path + ".corrupt-" + s.opt.Now().UTC().Format(stamp))
	if err := os.Rename(s.path, aside); err != nil {
		return fmt.Errorf("put the corrupt store aside: %w", err)
	}
	text := fmt.Sprintf("%s was broken (%v) and is kept as %s; ", s.path, why, aside)
	if err := s.rescue(aside); err == nil {
		text += "what it held before its latest change took its place"
	} else {
		text += s.restore()
	}
	s.warnings = append(s.warnings, text)
	s.opt.Log.Error("the store was broken", "path", s.path, "kept", aside, "what", text)
	s.change(func(st *State) { st.Restored, st.Warning = st.Restored+1, text })
	return syncDir(s.path)
}

// freeName adds a number to a name that is taken.
func freeName(name string) string {
	for i, try := 2, name; ; i++ {
		if _, err := os.Lstat(try); errors.Is(err, os.ErrNotExist) {
			return try
		}
		try = fmt.Sprintf("%s.%d", name, i)
	}
}

// rescue makes a store of a broken file by taking the older of its two heads,
// which points to pages that the latest transaction did not touch.
func (s *Store) rescue(broken string) error {
	f, err := os.Open(broken)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	v := verifier{f: f, size: uint64(info.Size())}
	m, err := v.meta()
	if err != nil {
		return err
	}
	latest := int64(0)
	if first, ok := v.metaAt(0); !ok || first.tx != m.tx {
		latest = int64(m.pageSize)
	}
	tmp := s.path + ".rescue"
	err = writeFile(tmp, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		if out, ok := w.(io.WriterAt); ok && err == nil {
			_, err = out.WriteAt(make([]byte, pageHeader+metaLen), latest)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err = inspect(tmp); err == nil {
		err = os.Rename(tmp, s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// restore copies the latest snapshot that is whole to the place of the store,
// and says what it did.
func (s *Store) restore() string {
	var errs []error
	for _, bak := range s.snapshots() {
		made, err := s.restoreFrom(bak)
		if err == nil {
			return fmt.Sprintf("the snapshot %s of %s took its place", bak, made.UTC().Format(time.RFC3339))
		}
		errs = append(errs, fmt.Errorf("%s: %w", bak, err))
	}
	if len(errs) == 0 {
		return "a new one was begun, for there is no snapshot"
	}
	return fmt.Sprintf("a new one was begun, for no snapshot can be used: %v", errors.Join(errs...))
}

// restoreFrom copies one snapshot to the place of the store.
func (s *Store) restoreFrom(bak string) (made time.Time, err error) {
	info, err := os.Stat(bak)
	if err != nil {
		return made, err
	}
	if _, err := inspect(bak); err != nil {
		return made, err
	}
	return info.ModTime(), copyFile(bak, s.path)
}

// inspect verifies a file that nobody has open and returns the version of its
// format. It is ErrCorrupt or ErrNewer when it cannot be used.
func inspect(path string) (v int, err error) {
	if err := verify(path); err != nil {
		return 0, err
	}
	err = guard(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
		if err != nil {
			return err
		}
		err = db.View(func(tx *bolt.Tx) (err error) {
			if v, err = readVersion(tx); err == nil {
				err = hasBuckets(tx)
			}
			return err
		})
		return errors.Join(err, db.Close())
	})
	if err == nil && v > version {
		err = newerError(v)
	}
	return v, err
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
