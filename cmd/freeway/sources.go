package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/proxy"
	"freeway/scraper"
)

// sourcesCommand makes "freeway sources".
func (a *app) sourcesCommand() *cobra.Command {
	var server, output string
	var show sourcesView
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "Show the lists and what each is worth",
		Long: `Show the lists and what each is worth, from the running server. When none runs,
show those of the configuration.

  OFFERS   endpoints that the list names       LIVE     of them, live now
  NEW      that no other list named before     FIRST    live at their first check
  ONLY     that no other list names now        EVER     live at any time
  LATENCY  median of those live                CHANGED  when the list was last another
  COST     bytes received, requests and time of all runs

A terminal that is too narrow gets fewer columns; --wide prints them all.`,
		Example: "  freeway sources\n  freeway sources --all --wide\n  freeway sources test https://example.com/list.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, done, err := a.output(output)
			if err != nil {
				return err
			}
			to := *a
			to.stdout = out
			return errors.Join(to.sources(cmd.Context(), server, show), done())
		},
	}
	serverFlag(cmd, &server)
	cmd.Flags().BoolVar(&show.all, "all", false, "those that are off, too")
	cmd.Flags().BoolVar(&show.wide, "wide", false, "all columns in full length, also where they do not fit the terminal")
	cmd.Flags().StringVar(&show.format, "format", "table", "table, or json: all that GET /api/sources knows")
	cmd.Flags().StringVar(&output, "output", "", "`FILE` to write to instead of stdout")
	cmd.AddCommand(a.sourcesTest())
	return cmd
}

// sourcesView is what "freeway sources" shows and how.
type sourcesView struct {
	all, wide bool
	format    string
}

// sources prints what the server says, else what is configured.
func (a *app) sources(ctx context.Context, server string, show sourcesView) error {
	if show.format != "table" && show.format != "json" {
		return usagef("--format %q is neither table nor json", show.format)
	}
	cfg, err := a.loadRevealed(nil)
	if err != nil {
		return err
	}
	c, err := a.client(server, cfg)
	if err != nil {
		return err
	}
	body, err := c.get(ctx, "/api/sources", nil)
	if errors.Is(err, errNoServer) && server == "" {
		a.note("no server is running at %s: these are the sources of the configuration", c.base.Host)
		if show.format == "json" {
			return a.sourcesJSON(configuredResults(cfg), show.all)
		}
		return a.configuredSources(cfg, show)
	}
	if err != nil {
		return err
	}
	var page struct{ Items []scraper.Result }
	if err := json.Unmarshal(body, &page); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	if show.format == "json" {
		return a.sourcesJSON(page.Items, show.all)
	}
	sort.SliceStable(page.Items, func(i, j int) bool { return byWorth(&page.Items[i], &page.Items[j]) < 0 })
	rows := [][]string{{"NAME", "OFFERS", "NEW", "ONLY", "LIVE", "FIRST", "EVER", "LATENCY", "COST", "CHANGED", "READ", "RESULT"}}
	off := 0
	for _, r := range page.Items {
		if !r.Enabled && !show.all {
			off++
			continue
		}
		rows = append(rows, worthRow(r, show.wide))
	}
	return a.sourceTable(rows, off, show)
}

// sourcesJSON prints sources with what is known of them, as JSON, with escapes escaped.
func (a *app) sourcesJSON(items []scraper.Result, all bool) error {
	shown := make([]scraper.Result, 0, len(items))
	for _, r := range items {
		if r.Enabled || all {
			shown = append(shown, r)
		}
	}
	text, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(text) {
		if r >= 0x7f && r < 0xa0 { // JSON need not escape these; terminals obey them
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	_, err = fmt.Fprintln(a.stdout, b.String())
	return err
}

// sourceTable prints the rows, in a terminal as much of them as fits, and how
// many sources were left out.
func (a *app) sourceTable(rows [][]string, off int, show sourcesView) error {
	if width := a.lineWidth(); width > 0 && !show.wide {
		rows = fitRows(rows, width)
	}
	if err := columns(a.stdout, rows); err != nil {
		return err
	}
	if off == 0 {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%d more are off; --all lists them\n", off)
	return err
}

// byWorth puts the best first: enabled ones, then those with the most live
// endpoints.
func byWorth(a, b *scraper.Result) int {
	if a.Enabled != b.Enabled {
		if a.Enabled {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Worth.Live, a.Worth.Live), cmp.Compare(b.Candidates, a.Candidates), cmp.Compare(a.Name, b.Name))
}

// worthRow is a source in the table.
func worthRow(r scraper.Result, wide bool) []string {
	w := r.Worth
	if r.LastRun.IsZero() {
		return []string{r.Name, "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", outcome(r, wide)}
	}
	return []string{r.Name, strconv.Itoa(r.Candidates), strconv.Itoa(r.Total.New), strconv.Itoa(w.Exclusive), strconv.Itoa(w.Live),
		share(w.FirstLive, w), share(w.EverLive, w), latency(w.Latency), costs(r.Total), ago(r.Changed), ago(r.LastRun), outcome(r, wide)}
}

// configuredSources prints the sources without what became of them.
func (a *app) configuredSources(cfg config.Config, show sourcesView) error {
	rows := [][]string{{"NAME", "ON", "POOL", "FORMAT", "WHERE"}}
	sources, mistakes := cfg.Sources.Known()
	sort.SliceStable(sources, func(i, j int) bool { return onOff(sources[i]) > onOff(sources[j]) })
	off := 0
	for _, s := range sources {
		err := mistakes[s.Name]
		if !s.On() && !show.all && err == nil {
			off++
			continue
		}
		where := s.Where()
		if err != nil {
			where = strings.Map(printable, err.Error())
		}
		rows = append(rows, []string{s.Name, yesNo(s.On()), s.PoolName(), orDash(s.As), where})
	}
	return a.sourceTable(rows, off, show)
}

// configuredResults are the sources of the configuration in the form in which a
// server tells of those that it has not read yet.
func configuredResults(cfg config.Config) []scraper.Result {
	sources, mistakes := cfg.Sources.Known()
	items := make([]scraper.Result, 0, len(sources))
	for _, s := range sources {
		r := scraper.Result{Name: s.Name, URL: s.Where(), Pool: s.PoolName(), Enabled: s.On(), Via: s.Via, Format: s.As}
		if err := mistakes[s.Name]; err != nil {
			r.Err = err.Error()
		}
		items = append(items, r)
	}
	return items
}

func onOff(s scraper.Source) int {
	if s.On() {
		return 1
	}
	return 0
}

// allSources lists every source: the operator's, those of the folder, and the
// built-in ones they do not replace. Enabled is set.
func allSources(cfg config.Config) []scraper.Source {
	all, _ := cfg.Sources.Known()
	return all
}

// enabled reports whether a source of allSources is read by the configuration.
func enabled(_ config.Config, s scraper.Source) bool { return s.On() }

// yesNo is how tables print a bool.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// share is a part of what was checked, once something was.
func share(n int, w proxy.Worth) string {
	if w.Checked == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(w.Checked))
}

// latency prints a time to the millisecond, or that there is none.
func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}

// costs is what all runs of a source took of network and time.
func costs(t scraper.Total) string {
	if t.Requests == 0 {
		return latency(t.Took)
	}
	return fmt.Sprintf("%s/%d/%v", size(t.Received), t.Requests, short(t.Took))
}

// size prints bytes in three digits.
func size(n int64) string {
	const unit = 1024
	v, units := float64(n), "kMGT"
	if n < unit {
		return strconv.FormatInt(n, 10) + "B"
	}
	for v /= unit; v >= unit && len(units) > 1; v /= unit {
		units = units[1:]
	}
	if v < 10 {
		return fmt.Sprintf("%.1f%c", v, units[0])
	}
	return fmt.Sprintf("%.0f%c", v, units[0])
}

// short prints a duration in its largest unit.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 2*time.Minute:
		return strconv.FormatInt(int64(d.Seconds()), 10) + "s"
	case d < 2*time.Hour:
		return strconv.FormatInt(int64(d.Minutes()), 10) + "m"
	case d < 48*time.Hour:
		return strconv.FormatInt(int64(d.Hours()), 10) + "h"
	}
	return strconv.FormatInt(int64(d.Hours()/24), 10) + "d"
}

// ago is how long something has been; a clock that was set back makes it 0.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return short(max(time.Since(t), 0))
}

// outcome is the latest run in a few words that fit into a table, or, if wide,
// in all that is known of an error.
func outcome(r scraper.Result, wide bool) string {
	const longest = 48
	text := "ok"
	switch {
	case r.Err != "":
		if text = strings.Map(printable, r.Err); len(text) > longest && !wide {
			text = strings.ToValidUTF8(text[:longest], "") + "..."
		}
	case r.LastRun.IsZero():
		text = "not read yet"
	case r.NotModified:
		text = "ok, unchanged"
	}
	if r.Mirror != "" {
		text += ", mirror of " + r.Mirror
	}
	if r.Via != "" {
		text += ", via the " + r.Via
	}
	if !r.Enabled {
		text = "off; " + text
	}
	return text
}

// printable keeps what other hosts say from moving the cursor.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return ' '
	}
	return r
}
