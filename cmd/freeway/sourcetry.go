package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
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

const (
	shownEntries = 10 // of what was accepted
	shownRefused = 10 // of what was refused
)

// sourcesTest makes "freeway sources test".
func (a *app) sourcesTest() *cobra.Command {
	var as string
	var protocols protocolFlags
	var direct bool
	var how reporting
	cmd := &cobra.Command{
		Use:   "test NAME|URL|FILE",
		Short: "Fetch one list and explain what it yields; nothing is stored or checked",
		Long: `Fetch one list and explain what it yields: how it was read, how many rows were seen,
what was accepted and what was refused for which reason. Nothing is stored or checked.
NAME is a source of the configuration, its folder or the catalogue, also one that is off.`,
		Example: "  freeway sources test https://example.com/list.txt\n  freeway sources test --as html page.html",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&as, "as", "", "how to read it: auto, text, html, json, ndjson, csv, xml, yaml or markdown")
	cmd.Flags().Var(&protocols, "protocol", "what entries are that name no protocol (repeatable)")
	cmd.Flags().BoolVar(&direct, "direct", false, "fetch it directly, also when the source says via: pool")
	how.tables(cmd)
	allow := allowFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := how.check(); err != nil {
			return err
		}
		cfg, err := a.loadRevealed(nil)
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
		if direct {
			src.Via = ""
		}
		return a.testSource(cmd.Context(), cfg, src, how)
	}
	return cmd
}

// findSource takes the name of a source, an address or a path.
func findSource(cfg config.Config, arg string) (scraper.Source, error) {
	all, mistakes := cfg.Sources.Known()
	for _, s := range all {
		if s.Name == arg {
			return s, mistakes[arg]
		}
	}
	if strings.Contains(arg, "://") {
		return scraper.Source{URL: arg}, nil
	}
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
		return scraper.Source{}, fmt.Errorf("%q is neither a source, nor an address, nor a file; \"freeway sources --all\" lists the sources", arg)
	}
	return scraper.Source{File: arg}, nil
}

// testSource fetches a list once and prints what it gave.
func (a *app) testSource(ctx context.Context, cfg config.Config, src scraper.Source, how reporting) error {
	s, err := a.fetcher(cfg, proxy.NewAddrPolicy(cfg.Network.AllowUpstreams...))
	if err != nil {
		return err
	}
	res, err := s.Fetch(ctx, src)
	if err != nil && res.Bytes == 0 && len(res.Found) == 0 {
		if res.Via != "" {
			err = fmt.Errorf("%w; only a running server has one, --direct goes without", err)
		}
		return err
	}
	werr := a.reportResult(src, res, how)
	if err == nil && len(res.Found) == 0 {
		err = errors.New("nothing in the list was taken for a proxy")
	}
	return errors.Join(werr, err)
}

// reportResult prints what a list gave.
func (a *app) reportResult(src scraper.Source, res scraper.Result, how reporting) error {
	if how.format == "json" {
		return a.reportJSON(how, map[string]any{"url": res.URL, "status": res.Status, "format": res.Format, "bytes": res.Bytes, "rows": res.Rows,
			"accepted": len(res.Found), "protocols": protocolsOf(res.Found), "refused": res.Refused})
	}
	var text bytes.Buffer
	err := errors.Join(columns(&text, explainResult(src, res)), printSamples(&text, res))
	return errors.Join(err, a.write(how.output, text.Bytes()))
}

// explainResult tells what a list gave, a name and a value a row.
func explainResult(src scraper.Source, res scraper.Result) [][]string {
	rows := [][]string{{"where", res.URL}}
	if res.Status != 0 {
		rows = append(rows, []string{"status", fmt.Sprintf("%d %s", res.Status, http.StatusText(res.Status))})
	}
	rows = append(rows, []string{"fetched", fetched(src, res)}, []string{"format", foundFormat(src, res)}, []string{"reader", readerOf(src, res.Format)},
		[]string{"rows seen", strconv.Itoa(res.Rows)}, []string{"accepted", strconv.Itoa(len(res.Found))})
	rows = append(rows, counts(protocolsOf(res.Found))...)
	refused := 0
	for _, n := range res.Refused {
		refused += n
	}
	rows = append(rows, []string{"refused", strconv.Itoa(refused)})
	return append(rows, counts(res.Refused)...)
}

// counts makes rows of numbers by kind, the largest first.
func counts(kinds map[string]int) (rows [][]string) {
	keys := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		if kinds[a] != kinds[b] {
			return kinds[b] - kinds[a]
		}
		return strings.Compare(a, b)
	})
	for _, k := range keys {
		rows = append(rows, []string{"", fmt.Sprintf("%6d  %s", kinds[k], strings.Map(printable, k))})
	}
	return rows
}

// protocolsOf counts the protocols, with what lists say besides.
func protocolsOf(found []proxy.Candidate) map[string]int {
	kinds := map[string]int{}
	for _, c := range found {
		kind := c.Endpoint.Protocol.String()
		if c.Guess {
			kind = "no protocol named; checks will find out"
		}
		kinds[kind]++
	}
	return kinds
}

// fetched says what was spent, and which way.
func fetched(src scraper.Source, res scraper.Result) string {
	var b strings.Builder
	if src.File != "" {
		fmt.Fprintf(&b, "%d bytes", res.Bytes)
	} else {
		fmt.Fprintf(&b, "%d bytes, %s", res.Received, plural(res.Requests, "request"))
		if res.Bytes != res.Received {
			fmt.Fprintf(&b, ", unpacked %d bytes", res.Bytes)
		}
	}
	if res.Pages > 1 {
		fmt.Fprintf(&b, ", %d pages", res.Pages)
	}
	fmt.Fprintf(&b, ", %v", res.Took.Round(100*time.Microsecond))
	if res.Via != "" {
		b.WriteString(", through the pool")
	}
	return b.String()
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// foundFormat says what the list is and how that is known.
func foundFormat(src scraper.Source, res scraper.Result) string {
	text := orDash(res.Format)
	if src.As == "" || src.As == "auto" {
		text += " (found out from the content)"
	} else {
		text += " (as the source says)"
	}
	if res.Packed != "" {
		text += ", packed with " + res.Packed
	}
	if res.Charset != "" {
		text += ", in " + res.Charset
	}
	return text
}

// readerOf says in words what reads a format.
func readerOf(src scraper.Source, format string) string {
	switch {
	case format == "html" && len(src.HTML) > 0:
		return "elements by the source's selectors"
	case (format == "json" || format == "ndjson") && src.JSON["jq"] != "":
		return "values that the source's jq program picks"
	case (format == "json" || format == "ndjson") && len(src.JSON) > 0:
		return "objects with the source's keys"
	}
	readers := map[string]string{
		"text": "lines", "html": "tables, lists and text of the page, with its scripts", "json": "objects and strings at any depth", "ndjson": "an object a line",
		"csv": "columns by header or content", "xml": "elements and attributes", "yaml": "mappings, Clash proxies among them", "markdown": "tables and lines",
	}
	return orDash(readers[format])
}

// printSamples shows some of what was accepted and some of what was refused.
func printSamples(w io.Writer, res scraper.Result) error {
	var b strings.Builder
	shown := min(shownEntries, len(res.Found))
	if shown > 0 {
		fmt.Fprintf(&b, "\n%d of those accepted:\n", shown)
	}
	for i := range shown { // spread over the list: its beginning may be unlike the rest
		c := res.Found[i*len(res.Found)/shown]
		fmt.Fprintf(&b, "  %s\n", strings.TrimSpace(c.Endpoint.String()+"  "+claimsText(c)))
	}
	if len(res.Rejections) > 0 {
		fmt.Fprintf(&b, "\nthe first %d refused:\n", min(shownRefused, len(res.Rejections)))
	}
	for _, rej := range res.Rejections[:min(shownRefused, len(res.Rejections))] {
		line := ""
		if rej.Line > 0 {
			line = fmt.Sprintf("line %d: ", rej.Line)
		}
		fmt.Fprintf(&b, "  %s%q: %s\n", line, rej.Text, strings.Map(printable, rej.Reason))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// claimsText is what the list says of an entry beyond its address.
func claimsText(c proxy.Candidate) string {
	words := []string{c.Claims.Country, c.Claims.Anonymity.String()}
	if c.Guess {
		words = append(words, "(protocol guessed)")
	}
	if !c.Password.IsZero() {
		words = append(words, "(with a password)")
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}
