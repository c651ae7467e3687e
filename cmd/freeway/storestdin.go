package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxBackup is the most that is read of a backup on stdin, in bytes: a store of
// a hundred million endpoints is smaller.
const maxBackup = 64 << 30

// restoreStdin is restore of a backup that comes over stdin. It is kept beside
// the store until it has been checked, since containers may have no other place.
func (a *app) restoreStdin(ctx context.Context, force bool) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(cfg.Store.Path), "restore-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, io.LimitReader(a.stdin, maxBackup+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the backup from stdin: %w", err)
	}
	if n == 0 || n > maxBackup {
		return fmt.Errorf("stdin holds no backup: %d bytes", n)
	}
	return a.restore(ctx, f.Name(), "the backup from stdin", force)
}
