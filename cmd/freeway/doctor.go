package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/store"
)

// doctorCommand makes "freeway doctor".
func (a *app) doctorCommand() *cobra.Command {
	var online bool
	var how reporting
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep the server from working, and say what to change",
		Long: `Look for what would keep the server from working: the configuration and the files it
names, their permissions, the limit on open files, the clock, the store, the ports. Nothing
is sent anywhere, unless --online asks the hosts of judges and sources whether they answer.
The exit code is 1 when something has to be changed.`,
		Example: "  freeway doctor\n  freeway doctor --online\n  freeway doctor --format json | jq '.[] | select(.ok | not)'",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context(), online, how) },
	}
	cmd.Flags().BoolVar(&online, "online", false, "ask each host of judges and enabled sources once")
	how.tables(cmd)
	return cmd
}

// finding is one line of the doctor. A bad one makes the exit code 1.
type finding struct {
	what, says string
	bad        bool
}

// doctor prints a line per finding; a bad one fails the command.
func (a *app) doctor(ctx context.Context, online bool, how reporting) error {
	if err := how.check(); err != nil {
		return err
	}
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	from := a.loadOptions(nil)
	newest := time.Time{}
	all := []finding{{what: "configuration", says: orDefault(from.Path, "no file, defaults")}, checkSecrets(cfg, from.Path), checkOpenFiles(cfg), checkStore(ctx, cfg, &newest)}
	all = append(all, checkClock(time.Now(), newest, tableDate(cfg)))
	for _, l := range []struct{ what, addr string }{{"gateway", cfg.Gateway.Listen}, {"admin", cfg.Admin.Listen}} {
		all = append(all, checkPort(l.what, l.addr))
	}
	if cfg.Gateway.TLS.Listen != "" {
		all = append(all, checkPort("gateway.tls", cfg.Gateway.TLS.Listen))
	}
	all = append(all, checkNamed(cfg, from)...)
	all = append(all, checkCertificates(cfg, time.Now())...)
	all = append(all, checkSources(cfg), checkJudges(cfg), checkPlaces(cfg))
	if online {
		all = append(all, a.checkReach(ctx, cfg)...)
	}
	if err := a.reportFindings(how, all); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(f finding) bool { return f.bad }) {
		return errQuiet
	}
	return nil
}

// reportFindings prints a line for each.
func (a *app) reportFindings(how reporting, all []finding) error {
	type line struct {
		OK   bool   `json:"ok"`
		What string `json:"what"`
		Says string `json:"says"`
	}
	var rows [][]string
	values := make([]line, len(all))
	for i, f := range all {
		mark := "ok"
		if f.bad {
			mark = "BAD"
		}
		rows = append(rows, []string{mark, f.what, f.says})
		values[i] = line{!f.bad, f.what, f.says}
	}
	if a.onScreen(how) {
		width, _ := a.screen()
		rows = wrapRows(rows, width)
	}
	return a.report(how, rows, values)
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

// checkOpenFiles looks at the limit on open files.
func checkOpenFiles(cfg config.Config) finding {
	f := finding{what: "open files"}
	limit, ok := fileLimit()
	b := shareFiles(limit, cfg)
	cuts := b.cuts(cfg)
	switch {
	case !ok:
		f.says = "no limit known"
	case limit < minFiles:
		f.says, f.bad = fmt.Sprintf("at most %d; raise it with ulimit -n, every check and every client needs some", limit), true
	case len(cuts) > 0:
		f.says, f.bad = fmt.Sprintf("at most %d, so %s; raise it with ulimit -n, or configure less", limit, strings.Join(cuts, ", ")), true
	case b.Limit == 0:
		f.says = fmt.Sprintf("at most %d", limit)
	default:
		f.says = b.String()
	}
	return f
}

// checkStore opens the store for reading, or sees whether it could be made. newest
// becomes the latest time in it.
func checkStore(ctx context.Context, cfg config.Config, newest *time.Time) finding {
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
		*newest, err = latestIn(ctx, st)
		err = errors.Join(err, st.Close())
	}
	if err != nil {
		f.says, f.bad = err.Error()+"; freeway store restore takes a backup", true
	}
	return f
}

// latestIn reads the whole store for its latest time.
func latestIn(ctx context.Context, st *store.Store) (newest time.Time, err error) {
	for r, err := range st.Load(ctx) {
		if err != nil {
			return newest, err
		}
		for _, t := range []time.Time{r.FirstSeen, r.LastSeen, r.LastChecked, r.LastLive} {
			if t.After(newest) {
				newest = t
			}
		}
	}
	return newest, nil
}

// clockSlack is how far times may be ahead without being worth a word.
const clockSlack = 5 * time.Minute

// checkClock compares the clock with times that have been for certain: the
// latest in the store, and when the table of places was made. No host is asked.
func checkClock(now, newest, made time.Time) finding {
	f := finding{what: "clock", says: now.UTC().Format(time.DateTime) + " UTC"}
	switch {
	case newest.After(now.Add(clockSlack)):
		f.says += fmt.Sprintf("; the store holds %s, which is to come: set the clock, or wait until then", newest.UTC().Format(time.DateTime))
		f.bad = true
	case made.After(now):
		f.says += fmt.Sprintf("; the table of places is of %s, so the clock is behind: set it, or certificates seem invalid", made.Format(time.DateOnly))
		f.bad = true
	}
	return f
}

// tableDate is when the table of places was made, zero when it does not open.
func tableDate(cfg config.Config) time.Time {
	db, err := openPlaces(cfg)
	if err != nil {
		return time.Time{}
	}
	defer db.Close()
	return db.Info().Date
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
