package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// alone runs f on a store that nobody has open, and that nobody can open
// meanwhile. The error is a *LockedError when somebody has it.
func alone(path string, f func(now time.Time) error) error {
	lock, err := lockPID(path, time.Second)
	if err != nil {
		return err
	}
	return errors.Join(f(time.Now()), lock.release())
}

// CompactFile rewrites a store that nobody has open without the space that
// deleted entries left, and returns its sizes in bytes. The old file stays
// until the new one is whole, verified and on disk. ErrCorrupt is in the error
// when it is broken, ErrNewer when it is of a newer version.
func CompactFile(path string) (before, after int64, err error) {
	err = alone(path, func(time.Time) error {
		if _, err := inspect(path); err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		before = info.Size()
		tmp := path + ".compact"
		if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := compactTo(path, tmp); err != nil {
			return errors.Join(err, os.Remove(tmp))
		}
		if info, err = os.Stat(tmp); err != nil {
			return err
		}
		after = info.Size()
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
		return syncDir(path)
	})
	return before, after, err
}

// compactTo writes a copy of the file without free space and verifies it.
func compactTo(path, tmp string) error {
	err := guard(func() error {
		src, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
		if err != nil {
			return err
		}
		dst, err := bolt.Open(tmp, 0o600, &bolt.Options{Timeout: time.Second})
		if err != nil {
			return errors.Join(err, src.Close())
		}
		return errors.Join(bolt.Compact(dst, src, 1<<20), dst.Sync(), dst.Close(), src.Close())
	})
	if err != nil {
		return err
	}
	_, err = inspect(tmp)
	return err
}

// RestoreFile makes a copy of backup the store at path, which nobody may have
// open. The backup is checked first, whole: structure and every record. What
// was there is kept under the name that is returned, "" when nothing was.
func RestoreFile(ctx context.Context, path, backup string) (kept string, err error) {
	if same, err := sameFile(path, backup); err != nil {
		return "", err
	} else if same {
		return "", fmt.Errorf("%s is the store itself", backup)
	}
	if err := CheckFile(ctx, backup); err != nil {
		return "", fmt.Errorf("%s: %w", backup, err)
	}
	err = alone(path, func(now time.Time) error {
		if _, err := os.Lstat(path); err == nil {
			kept = freeName(path + ".replaced-" + now.UTC().Format(stamp))
			if err := keep(path, kept); err != nil {
				return fmt.Errorf("keep the old store: %w", err)
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return copyFile(backup, path)
	})
	if err != nil {
		return kept, err
	}
	return kept, verify(path)
}

// keep gives a file a second name, or copies it where that cannot be done. The
// file is at its place all the time.
func keep(path, as string) error {
	if os.Link(path, as) == nil {
		return nil
	}
	return copyFile(path, as)
}

// sameFile reports whether backup, which must be there, is the file at path.
func sameFile(path, backup string) (bool, error) {
	b, err := os.Stat(backup)
	if err != nil {
		return false, err
	}
	s, err := os.Stat(path)
	return err == nil && os.SameFile(s, b), nil
}

// CheckFile reads a whole store that nobody is writing, of this format or an older one,
// and returns all that is wrong with it, at most a hundred errors.
func CheckFile(ctx context.Context, path string) error {
	s, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(s.Check(ctx), s.Close())
}
