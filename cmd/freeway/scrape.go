package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/proxy"
	"freeway/scraper"
)

type scrapeFlags struct {
	format, as, output string
	protocols          protocolFlags
	rejected           bool
	passwords          bool
	save               bool
	allow              func(*config.Config) error
}

// scrapeCommand makes "freeway scrape".
func (a *app) scrapeCommand() *cobra.Command {
	var f scrapeFlags
	cmd := &cobra.Command{
		Use:     "scrape INPUT...",
		Short:   "Read lists and print the candidates; nothing is checked",
		Long:    "Read lists in any format and print what they name, each endpoint once.\n\n" + inputHelp,
		Example: "  freeway scrape https://example.com/list.txt proxies.html\n  freeway scrape --protocol socks5 --format ndjson - < list.txt",
		Args:    cobra.MinimumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "txt", "txt, ndjson or csv")
	flags.StringVar(&f.as, "as", "auto", "how to read the input: auto, text, html, json, ndjson, csv, xml, yaml or markdown")
	flags.Var(&f.protocols, "protocol", "what entries are that name no protocol (repeatable; default: they print as http)")
	flags.BoolVar(&f.rejected, "rejected", false, "say on stderr what was refused and why")
	flags.BoolVar(&f.passwords, "with-passwords", false, "print passwords, in txt and ndjson as part of the URL")
	flags.StringVar(&f.output, "output", "", "write to `FILE` instead of stdout")
	flags.BoolVar(&f.save, "save", false, "put what was found into the store")
	f.allow = allowFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.scrape(cmd.Context(), f, args) }
	return cmd
}

// scrape prepares format and output, then reads all inputs.
func (a *app) scrape(ctx context.Context, f scrapeFlags, args []string) error {
	write, err := candidateWriter(f.format, f.passwords)
	if err != nil {
		return err
	}
	if !slices.Contains(scraper.Formats(), f.as) {
		return usagef("--as %q is not one of %s", f.as, strings.Join(scraper.Formats(), ", "))
	}
	cfg, err := a.loadRevealed(nil)
	if err != nil {
		return err
	}
	if err := f.allow(&cfg); err != nil {
		return err
	}
	out, closeOut, err := a.output(f.output)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 64<<10)
	r := &reader{app: a, cfg: cfg, policy: proxy.NewAddrPolicy(cfg.Network.AllowUpstreams...), as: f.as, protocols: f.protocols}
	if f.rejected {
		r.rejected = func(input string, rej scraper.Rejection) {
			fmt.Fprintf(a.stderr, "%s:%d: %q: %s\n", input, rej.Line, rej.Text, rej.Reason)
		}
	}
	err = a.scrapeAll(ctx, r, args, w, write, f.save)
	return errors.Join(err, w.Flush(), closeOut())
}

// scrapeAll goes on with the next input after one that cannot be read.
func (a *app) scrapeAll(ctx context.Context, r *reader, args []string, w io.Writer, write func(io.Writer, proxy.Candidate) error, save bool) error {
	var result error
	seen := map[proxy.Endpoint]struct{}{}
	for _, arg := range args {
		var found []proxy.Candidate
		var broken error // of the output: nobody reads any more
		fresh, given := 0, 0
		var so atomic.Int64 // given, for the line
		var line *status
		if r.rejected == nil { // which goes to the same screen
			line = a.watch(a.stdout, func() string { return fmt.Sprintf("%s: %d candidates", redact(arg), so.Load()) })
		}
		n, err := r.read(ctx, arg, func(c proxy.Candidate) bool {
			if save {
				found = append(found, c)
			}
			// One input gives each endpoint once, up to a number of them.
			so.Add(1)
			if given++; len(args) > 1 || given > scraper.Remembered {
				if _, twice := seen[c.Endpoint]; twice {
					return true
				}
				seen[c.Endpoint] = struct{}{}
			}
			fresh++
			broken = write(w, c)
			return broken == nil
		})
		line.end()
		if broken != nil {
			return broken
		}
		if err != nil && (len(args) == 1 || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			a.complain(err)
			result = errQuiet
			continue
		}
		a.note("%s: %d candidates, %d not seen before", redact(arg), n, fresh)
		if save {
			if err := a.saveCandidates(ctx, r.cfg, sourceName(arg), found); err != nil {
				return err
			}
		}
	}
	return result
}
