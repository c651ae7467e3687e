package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
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
	var server string
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "Show the lists and what each is worth",
		Long: `Show the lists with what became of what they gave, from the running server. When
none runs, show those of the configuration.`,
		Example: "  freeway sources\n  freeway sources test https://example.com/list.txt",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.sources(cmd.Context(), server) },
	}
	serverFlag(cmd, &server)
	cmd.AddCommand(a.sourcesTest())
	return cmd
}

// sources prints what the server says, else what is configured.
func (a *app) sources(ctx context.Context, server string) error {
	cfg, err := a.load(nil)
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
		return a.configuredSources(cfg)
	}
	if err != nil {
		return err
	}
	var page struct{ Items []scraper.Result }
	if err := json.Unmarshal(body, &page); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	rows := [][]string{{"NAME", "ON", "LISTED", "CHECKED", "LIVE", "EVER", "YIELD", "LAST RUN", "RESULT"}}
	for _, r := range page.Items {
		w := r.Worth
		rows = append(rows, []string{r.Name, yesNo(r.Enabled), strconv.Itoa(w.Listed), strconv.Itoa(w.Checked), strconv.Itoa(w.Live),
			strconv.Itoa(w.EverLive), percent(w), ago(r.LastRun), outcome(r)})
	}
	return columns(a.stdout, rows)
}

// configuredSources prints the sources without what became of them.
func (a *app) configuredSources(cfg config.Config) error {
	rows := [][]string{{"NAME", "ON", "POOL", "FORMAT", "WHERE"}}
	for _, s := range allSources(cfg) {
		where := s.URL
		if s.File != "" {
			where = s.File
		}
		rows = append(rows, []string{s.Name, yesNo(enabled(cfg, s)), s.PoolName(), orDash(s.As), where})
	}
	return columns(a.stdout, rows)
}

// allSources lists the operator's sources, then the built-in ones they do not replace.
func allSources(cfg config.Config) []scraper.Source {
	all := slices.Clone(cfg.Sources.List)
	for _, b := range scraper.Builtins() {
		if !slices.ContainsFunc(all, func(s scraper.Source) bool { return s.Name == b.Name }) {
			all = append(all, b)
		}
	}
	return all
}

// enabled reports whether a source is read by the configuration.
func enabled(cfg config.Config, s scraper.Source) bool {
	if slices.ContainsFunc(cfg.Sources.List, func(own scraper.Source) bool { return own.Name == s.Name }) {
		return s.On()
	}
	b := cfg.Sources.Builtin
	return b.All && s.On() || !b.All && slices.Contains(b.Names, s.Name)
}

// yesNo is how tables print a bool.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// percent shows the share that ever worked, once something was checked.
func percent(w proxy.Worth) string {
	if w.Checked == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(w.EverLive)/float64(w.Checked))
}

// ago is how long something has been.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// outcome is the latest run in a few words.
func outcome(r scraper.Result) string {
	switch {
	case r.Err != "":
		return strings.Map(printable, r.Err)
	case r.LastRun.IsZero():
		return "-"
	case r.NotModified:
		return "ok, unchanged"
	}
	return "ok"
}

// printable keeps what other hosts say from moving the cursor.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// sourcesTest makes "freeway sources test".
func (a *app) sourcesTest() *cobra.Command {
	var as string
	var protocols protocolFlags
	cmd := &cobra.Command{
		Use:     "test NAME|URL|FILE",
		Short:   "Fetch one list and explain what it yields; nothing is stored or checked",
		Example: "  freeway sources test https://example.com/list.txt\n  freeway sources test --as html page.html",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&as, "as", "", "how to read it: auto, text, html, json, ndjson, csv, xml, yaml or markdown")
	cmd.Flags().Var(&protocols, "protocol", "what entries are that name no protocol (repeatable)")
	allow := allowFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(nil)
		if err != nil {
			return err
		}
		if err := allow(&cfg); err != nil {
			return err
		}
		src, err := findSource(cfg, args[0])
		if err != nil {
			return err
		}
		if as != "" {
			src.As = as
		}
		if len(protocols) > 0 {
			src.Protocols = names(protocols)
		}
		return a.testSource(cmd.Context(), cfg, src)
	}
	return cmd
}

// findSource takes the name of a source, an address or a path.
func findSource(cfg config.Config, arg string) (scraper.Source, error) {
	for _, s := range allSources(cfg) {
		if s.Name == arg {
			return s, nil
		}
	}
	if strings.Contains(arg, "://") {
		return scraper.Source{URL: arg}, nil
	}
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
		return scraper.Source{}, fmt.Errorf("%q is neither a source, nor an address, nor a file; \"freeway sources\" lists the sources", arg)
	}
	return scraper.Source{File: arg}, nil
}

// testSource fetches a list once and prints what it gave.
func (a *app) testSource(ctx context.Context, cfg config.Config, src scraper.Source) error {
	s, err := a.fetcher(cfg, proxy.NewAddrPolicy(cfg.Network.AllowUpstreams...))
	if err != nil {
		return err
	}
	res, err := s.Fetch(ctx, src)
	if err != nil && res.Bytes == 0 && len(res.Found) == 0 {
		return err
	}
	if werr := columns(a.stdout, explainResult(res)); werr != nil {
		return werr
	}
	for i, rej := range res.Rejections {
		if i == 5 {
			fmt.Fprintf(a.stdout, "  ... and %d more\n", len(res.Rejections)-i)
			break
		}
		fmt.Fprintf(a.stdout, "  line %d: %q: %s\n", rej.Line, rej.Text, rej.Reason)
	}
	return err
}

// explainResult tells what a list gave, a name and a value a row.
func explainResult(res scraper.Result) [][]string {
	rows := [][]string{{"where", res.URL}}
	if res.Status != 0 {
		rows = append(rows, []string{"status", strconv.Itoa(res.Status)})
	}
	rows = append(rows,
		[]string{"read", fmt.Sprintf("%d bytes in %d parts, %v", res.Bytes, max(res.Pages, 1), res.Took.Round(time.Millisecond))},
		[]string{"format", orDash(res.Format)},
		[]string{"candidates", strconv.Itoa(len(res.Found))})
	kinds := map[string]int{}
	for _, c := range res.Found {
		kind := c.Endpoint.Protocol.String()
		if c.Guess {
			kind = "no protocol named"
		}
		kinds[kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		rows = append(rows, []string{"  " + kind, strconv.Itoa(kinds[kind])})
	}
	for i, c := range res.Found[:min(3, len(res.Found))] {
		rows = append(rows, []string{[]string{"for example", "", ""}[i], c.Endpoint.String()})
	}
	for _, reason := range slices.Sorted(maps.Keys(res.Refused)) {
		rows = append(rows, []string{"refused", fmt.Sprintf("%d: %s", res.Refused[reason], reason)})
	}
	return rows
}
