package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/store"
)

// storeCommand makes "freeway store".
func (a *app) storeCommand() *cobra.Command {
	cmd := group("store", "Check, compact, back up or restore the store", "  freeway store check\n  freeway store backup freeway.bak\n  freeway store backup --server http://127.0.0.1:8081 freeway.bak\n  freeway store restore freeway.bak",
		a.storeCheck(), a.storeCompact(), a.storeBackup(), a.storeRestore())
	cmd.Long = `Check, compact, back up or restore the store, which is the file of store.path.

One process has the store. While a server runs, check and backup ask it with --server;
compact and restore need it stopped.`
	return cmd
}

// askFlag adds --server to a command that otherwise reads the file.
func askFlag(cmd *cobra.Command, server *string) {
	cmd.Flags().StringVar(server, "server", "", "`URL` of the admin API of a running server, which is asked instead of reading the file")
}

// storeThere loads the configuration, and fails when it has no store yet.
func (a *app) storeThere() (config.Config, error) {
	cfg, err := a.load(nil)
	if err != nil {
		return cfg, err
	}
	_, err = os.Stat(cfg.Store.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cfg, fmt.Errorf("there is no store at %s; \"freeway serve\" makes one, and store.path of the configuration says where", cfg.Store.Path)
	case err != nil:
		return cfg, fmt.Errorf("store: %w", err)
	}
	return cfg, nil
}

// storeCheck makes "freeway store check".
func (a *app) storeCheck() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Read the whole store and report what is broken",
		Long:    "Read the whole store and report what is broken; nothing is changed. With --server, the server\nreads a copy of its store.",
		Example: "  freeway store check\n  freeway store check --server http://127.0.0.1:8081",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if server != "" {
				return a.askCheck(cmd.Context(), server)
			}
			cfg, err := a.storeThere()
			if err != nil {
				return err
			}
			r, err := store.ReportFile(cmd.Context(), cfg.Store.Path)
			if errors.Is(err, store.ErrCorrupt) {
				return a.broken(cfg.Store.Path, strings.Split(err.Error(), "\n"))
			}
			if err != nil {
				return lockedRemedy(err, cfg, remedyCheck)
			}
			_, err = fmt.Fprintf(a.stdout, "ok: %s holds %d endpoints (format %d, %d bytes)\n", cfg.Store.Path, r.Endpoints, r.Format, r.Bytes)
			return err
		},
	}
	askFlag(cmd, &server)
	return cmd
}

// broken says what is wrong with a store, a line for each, and what to do.
func (a *app) broken(name string, problems []string) error {
	for _, p := range problems {
		fmt.Fprintf(a.stderr, "freeway: %s\n", oneLine(errors.New(p)))
	}
	return fmt.Errorf("%s is broken: a start of \"freeway serve\" keeps what it cannot read as .corrupt-TIME and takes the latest good copy; \"freeway store restore FILE\" takes another", name)
}

// storeCompact makes "freeway store compact".
func (a *app) storeCompact() *cobra.Command {
	return &cobra.Command{
		Use:     "compact",
		Short:   "Rewrite the store without the space that deleted entries left",
		Example: "  freeway store compact",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.storeThere()
			if err != nil {
				return err
			}
			before, after, err := store.CompactFile(cfg.Store.Path)
			if errors.Is(err, store.ErrCorrupt) {
				return a.broken(cfg.Store.Path, strings.Split(err.Error(), "\n"))
			}
			if err != nil {
				return lockedRemedy(err, cfg, remedyStore)
			}
			_, err = fmt.Fprintf(a.stdout, "ok: %s had %d bytes and has %d\n", cfg.Store.Path, before, after)
			return err
		},
	}
}

// storeBackup makes "freeway store backup".
func (a *app) storeBackup() *cobra.Command {
	var force, passwords bool
	var server string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store to FILE, or to stdout with -",
		Long: `Copy the store to FILE, or to stdout with -. The copy is checked before it takes its name, and
only its owner can read it: it holds the passwords of upstreams. A copy from --server holds
them only with --passwords, which needs the token of an admin.`,
		Example: "  freeway store backup freeway.bak\n  freeway store backup --server http://127.0.0.1:8081 freeway.bak",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	cmd.Flags().BoolVar(&passwords, "passwords", false, "with --server: with the passwords of upstreams")
	askFlag(cmd, &server)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if passwords && server == "" {
			return usagef("--passwords is for --server; a copy of the file has them anyway")
		}
		write := func(w io.Writer) error { return a.copyStore(w) }
		if server != "" {
			write = func(w io.Writer) error { return a.askBackup(cmd.Context(), server, passwords, w) }
		}
		return a.backupTo(cmd.Context(), args[0], force, write)
	}
	return cmd
}

// copyStore writes a copy of the file that nobody has open.
func (a *app) copyStore(w io.Writer) error {
	cfg, err := a.storeThere()
	if err != nil {
		return err
	}
	st, err := store.Open(cfg.Store.Path, store.Options{ReadOnly: true})
	if err != nil {
		return lockedRemedy(err, cfg, remedyCopy)
	}
	return errors.Join(st.Backup(w), st.Close())
}

// backupTo writes a backup where the user wants it.
func (a *app) backupTo(ctx context.Context, path string, force bool, write func(io.Writer) error) error {
	if path == "-" {
		return write(a.stdout)
	}
	if _, err := os.Lstat(path); err == nil && !force {
		return fmt.Errorf("%s exists already; --force overwrites it", path)
	}
	var r store.Report
	err := writeWhole(path, write, func(written string) (err error) {
		if r, err = store.ReportFile(ctx, written); err != nil {
			return fmt.Errorf("the copy is not whole: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.note("%s: %d endpoints, %d bytes", path, r.Endpoints, r.Bytes)
	return nil
}

// writeWhole writes a file so that it is there either whole, and passed the
// checks, or not at all. It may hold credentials, so only its owner can read it.
func writeWhole(path string, write func(io.Writer) error, checks ...func(path string) error) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	for _, check := range checks {
		if err == nil {
			err = check(tmp)
		}
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// storeRestore makes "freeway store restore".
func (a *app) storeRestore() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Check a backup, from stdin with -, and make it the store",
		Long: `Check a backup, from stdin with -, and make it the store. What was there is kept as
.replaced-TIME beside it. The server must be stopped.`,
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
	r, err := store.ReportFile(ctx, backup)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	path := cfg.Store.Path
	if _, err := os.Lstat(path); err == nil && !force {
		return fmt.Errorf("%s exists already; --force replaces it", path)
	}
	kept, err := store.RestoreFile(ctx, path, backup)
	if kept != "" {
		a.note("what was there is kept as %s", kept)
	}
	if err != nil {
		return lockedRemedy(err, cfg, remedyStore)
	}
	a.note("it holds %d endpoints", r.Endpoints)
	_, err = fmt.Fprintf(a.stdout, "ok: %s is now %s\n", path, name)
	return err
}
