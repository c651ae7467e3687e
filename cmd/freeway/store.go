package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/store"
)

// storeCommand makes "freeway store".
func (a *app) storeCommand() *cobra.Command {
	return group("store", "Check, compact, back up or restore the store", "  freeway store check\n  freeway store backup freeway.bak\n  freeway store restore freeway.bak",
		a.storeCheck(), a.storeCompact(), a.storeBackup(), a.storeRestore())
}

// withStore opens the store of the configuration for a command.
func (a *app) withStore(readOnly bool, do func(cfg config.Config, st *store.Store) error) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.Store.Path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store at %s; \"freeway serve\" makes one, and store.path of the configuration says where", cfg.Store.Path)
	} else if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	st, err := store.Open(cfg.Store.Path, store.Options{ReadOnly: readOnly})
	if err != nil {
		return lockedRemedy(err, cfg, remedyStore)
	}
	return errors.Join(do(cfg, st), st.Close())
}

// storeCheck makes "freeway store check".
func (a *app) storeCheck() *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		Short:   "Read the whole store and report what is broken",
		Example: "  freeway store check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withStore(true, func(cfg config.Config, st *store.Store) error {
				if err := st.Check(cmd.Context()); err != nil {
					return err
				}
				n := 0
				for _, err := range st.Load(cmd.Context()) {
					if err != nil {
						return err
					}
					n++
				}
				_, err := fmt.Fprintf(a.stdout, "ok: %s holds %d endpoints\n", cfg.Store.Path, n)
				return err
			})
		},
	}
}

// storeCompact makes "freeway store compact".
func (a *app) storeCompact() *cobra.Command {
	return &cobra.Command{
		Use:     "compact",
		Short:   "Rewrite the store without the space that deleted entries left",
		Example: "  freeway store compact",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var path string
			var before int64
			err := a.withStore(true, func(cfg config.Config, st *store.Store) error {
				path = cfg.Store.Path
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				before = info.Size()
				return st.Compact(path + ".compact")
			})
			if err == nil {
				err = os.Rename(path+".compact", path)
			}
			if err != nil {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "ok: %s had %d bytes and has %d\n", path, before, info.Size())
			return err
		},
	}
}

// storeBackup makes "freeway store backup".
func (a *app) storeBackup() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "backup FILE",
		Short:   "Copy the store to FILE, or to stdout with -",
		Example: "  freeway store backup freeway.bak",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withStore(true, func(_ config.Config, st *store.Store) error {
				if args[0] == "-" {
					return st.Backup(a.stdout)
				}
				if _, err := os.Lstat(args[0]); err == nil && !force {
					return fmt.Errorf("%s exists already; --force overwrites it", args[0])
				}
				return writeWhole(args[0], st.Backup)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	return cmd
}

// writeWhole writes a file so that it is there either whole or not at all. It
// may hold credentials, so only its owner can read it.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		os.Remove(path + ".new")
	}
	return err
}

// storeRestore makes "freeway store restore".
func (a *app) storeRestore() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "restore FILE",
		Short:   "Check a backup, from stdin with -, and make it the store",
		Example: "  freeway store restore freeway.bak",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" {
				return a.restoreStdin(cmd.Context(), force)
			}
			return a.restore(cmd.Context(), args[0], args[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a store that is there")
	return cmd
}

// restore puts a backup, which people know by name, in the store's place once it
// has proved readable.
func (a *app) restore(ctx context.Context, backup, name string, force bool) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	if err := checkBackup(ctx, backup); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	path := cfg.Store.Path
	if _, err := os.Stat(path); err == nil {
		if !force {
			return fmt.Errorf("%s exists already; --force replaces it", path)
		}
		st, err := store.Open(path, store.Options{ReadOnly: true}) // nobody may be using it
		var locked *store.LockedError
		if errors.As(err, &locked) {
			return lockedRemedy(err, cfg, remedyStore)
		}
		if err == nil {
			err = st.Close()
		}
		if err != nil {
			a.note("what is replaced is broken: %v", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = writeWhole(path, func(w io.Writer) error {
		f, err := os.Open(backup)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "ok: %s is now %s\n", path, name)
	return err
}

// checkBackup reads a backup without changing it.
func checkBackup(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	st, err := store.Open(path, store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(st.Check(ctx), st.Close())
}
