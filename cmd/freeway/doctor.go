package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/store"
)

// doctorCommand makes "freeway doctor".
func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what would keep the server from working; nothing is sent anywhere",
		Example: "  freeway doctor",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.doctor() },
	}
}

// finding is one line of the doctor. A bad one makes the exit code 1.
type finding struct {
	what, says string
	bad        bool
}

// doctor prints a line per finding; a bad one fails the command.
func (a *app) doctor() error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	where := orDefault(a.loadOptions(nil).Path, "no file, defaults")
	all := []finding{{what: "configuration", says: where}, checkFiles(), checkStore(cfg)}
	for _, l := range []struct{ what, addr string }{{"gateway", cfg.Gateway.Listen}, {"admin", cfg.Admin.Listen}} {
		all = append(all, checkPort(l.what, l.addr))
	}
	all = append(all, checkNamed(cfg, a.loadOptions(nil))...)
	all = append(all, checkSources(cfg), checkJudges(cfg), checkPlaces(cfg))
	rows := make([][]string, len(all))
	bad := false
	for i, f := range all {
		mark := "ok"
		if f.bad {
			mark, bad = "BAD", true
		}
		rows[i] = []string{mark, f.what, f.says}
	}
	if err := columns(a.stdout, rows); err != nil {
		return err
	}
	if bad {
		return errQuiet
	}
	return nil
}

// checkNamed looks at the files that the configuration names, apart from the
// store and the table of places, which have lines of their own.
func checkNamed(cfg config.Config, from config.LoadOptions) []finding {
	var many config.Errors
	if !errors.As(config.CheckFiles(cfg, from), &many) {
		return nil
	}
	var out []finding
	for _, e := range many {
		if e.Path != "store.path" && e.Path != "geo.database" {
			out = append(out, finding{what: "files", says: e.Error(), bad: true})
		}
	}
	return out
}

// minFiles is what a small pool with a few clients needs.
const minFiles = 1024

// checkFiles looks at the limit on open files.
func checkFiles() finding {
	f := finding{what: "open files"}
	limit, ok := fileLimit()
	switch {
	case !ok:
		f.says = "no limit known"
	case limit < minFiles:
		f.says, f.bad = fmt.Sprintf("at most %d; raise it with ulimit -n, every check and every client needs some", limit), true
	default:
		f.says = fmt.Sprintf("at most %d", limit)
	}
	return f
}

// checkStore opens the store for reading, or sees whether it could be made.
func checkStore(cfg config.Config) finding {
	f := finding{what: "store", says: cfg.Store.Path}
	if _, err := os.Stat(cfg.Store.Path); errors.Is(err, fs.ErrNotExist) {
		return checkFolder(f, filepath.Dir(cfg.Store.Path))
	}
	st, err := store.Open(cfg.Store.Path, store.Options{ReadOnly: true})
	var locked *store.LockedError
	switch {
	case errors.As(err, &locked):
		f.says = "in use: " + err.Error()
		return f
	case err == nil:
		err = st.Close()
	}
	if err != nil {
		f.says, f.bad = err.Error(), true
	}
	return f
}

// checkFolder tries whether a store can be made there.
func checkFolder(f finding, dir string) finding {
	probe, err := os.CreateTemp(dir, ".freeway-doctor-")
	if err != nil {
		f.says, f.bad = err.Error(), true
		return f
	}
	probe.Close()
	os.Remove(probe.Name())
	f.says += " (will be made)"
	return f
}

// checkPort binds an address for a moment.
func checkPort(what, addr string) finding {
	f := finding{what: what, says: addr + " is free"}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		f.says, f.bad = err.Error()+"; is a server running already?", true
		return f
	}
	l.Close()
	return f
}

// checkSources counts what is enabled and looks for the files of file sources.
func checkSources(cfg config.Config) finding {
	n := 0
	for _, s := range allSources(cfg) {
		if enabled(cfg, s) {
			n++
		}
	}
	f := finding{what: "sources", says: fmt.Sprintf("%d enabled", n)}
	if cfg.Sources.Dir != "" {
		f.says += " and those in " + cfg.Sources.Dir
	} else if n == 0 {
		f.says, f.bad = "none is enabled, so there is nothing to check", true
	}
	for _, s := range cfg.Sources.List {
		if _, err := os.Stat(s.File); s.File != "" && err != nil && s.On() {
			f.says, f.bad = err.Error(), true
		}
	}
	return f
}

// checkJudges says which judges would be used; it asks none.
func checkJudges(cfg config.Config) finding {
	if n := len(cfg.Checker.Judges); n > 0 {
		return finding{what: "judges", says: fmt.Sprintf("%d of your own", n)}
	}
	return finding{what: "judges", says: "public ones, at most 2 requests a second each; \"freeway judge\" on a host of yours has no limit"}
}

// checkPlaces finds filters that the table of places cannot answer.
func checkPlaces(cfg config.Config) finding {
	db, err := openPlaces(cfg)
	if err != nil {
		return finding{what: "places", says: err.Error(), bad: true}
	}
	defer db.Close()
	i := db.Info()
	f := finding{what: "places", says: fmt.Sprintf("%s, of %s", placesName(i), i.Date.Format(time.DateOnly))}
	if !db.KnowsSystems() && len(cfg.Filter.DenyASNs) > 0 {
		f.says, f.bad = "filter.deny_asns names networks, but the table in use knows none; see freeway geo", true
	}
	return f
}
