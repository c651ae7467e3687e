package main

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"freeway/proxy"
)

// getCommand makes "freeway get".
func (a *app) getCommand() *cobra.Command {
	var n int
	var server, format, output string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "get [-n N]",
		Short: "Print a healthy proxy from a running server",
		Long: `Ask a running server for proxies, drawn as its gateway would draw them, and print
one URL a line. Exit code 1 when nothing matches.`,
		Example: "  curl -x $(freeway get) http://example.com/\n  freeway get -n 5 --protocol socks5 --country de,nl",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().IntVarP(&n, "number", "n", 1, "how many, at most 1000; fewer may be there")
	cmd.Flags().StringVar(&format, "format", "txt", "txt or json")
	cmd.Flags().StringVar(&output, "output", "", "write to this `FILE` instead of stdout")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait for one that matches")
	serverFlag(cmd, &server)
	filters := filterFlags(cmd.Flags(), drawn()...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query, err := filters()
		if err != nil {
			return err
		}
		if n < 1 || n > 1000 {
			return usagef("-n %d is not between 1 and 1000", n)
		}
		if format != "txt" && format != "json" {
			return usagef("--format %q is neither txt nor json", format)
		}
		query.Set("format", format)
		query.Set("n", strconv.Itoa(n))
		if wait > 0 {
			query.Set("wait", wait.String())
		}
		return a.ask(cmd, server, "/api/proxies/random", query, output)
	}
	return cmd
}

// drawn are the filters that make sense where only live proxies are drawn.
func drawn() []string {
	return slices.DeleteFunc(proxy.FilterKeys(), func(key string) bool { return key == "state" })
}

// ask writes what the server answers to the file of --output. Without an answer
// there is no file.
func (a *app) ask(cmd *cobra.Command, server, path string, query url.Values, output string) error {
	c, err := a.clientOf(server)
	if err != nil {
		return err
	}
	body, err := c.get(cmd.Context(), path, query)
	if err != nil {
		return err
	}
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body, '\n')
	}
	return a.write(output, body)
}

// write writes to the file of --output, or to stdout.
func (a *app) write(output string, text []byte) error {
	w, done, err := a.output(output)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return errors.Join(err, done())
}

// filterFlags adds a flag for each filter, --max-latency for max_latency, and
// returns a function that checks them and makes a query of those given.
func filterFlags(flags *pflag.FlagSet, keys ...string) func() (url.Values, error) {
	values := map[string]*string{}
	for _, key := range keys {
		values[key] = flags.String(flagName(key), "", filterHelp[key])
	}
	return func() (url.Values, error) {
		query := url.Values{}
		var f proxy.Filter
		for _, key := range keys {
			if !flags.Changed(flagName(key)) {
				continue
			}
			if err := f.Set(key, *values[key]); err != nil {
				return nil, usagef("--%s: %w", flagName(key), err)
			}
			query.Set(key, *values[key])
		}
		return query, nil
	}
}

// flagName is the flag of a filter: --max-latency for max_latency.
func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

// filterHelp has the help text of every filter.
var filterHelp = map[string]string{
	"protocol":    "`P` http, https, socks4 or socks5; several by comma",
	"country":     "`CC` of the exit, two letters; several by comma",
	"asn":         "`N` of the exit's autonomous system; several by comma",
	"anonymity":   "at least this `GRADE`: transparent, anonymous or elite",
	"tunnel":      "`BOOL` whether it must reach port 443",
	"max_latency": "slowest acceptable answer in `MS`",
	"min_score":   "least acceptable score, 0 to 1 (`S`)",
	"source":      "named by this list (`NAME`); several by comma",
	"pool":        "label of its source (`NAME`); several by comma",
	"exit":        "leaves from this address or range (`IP`); several by comma",
	"target":      "passed the per-target check of this `NAME`",
	"state":       "`STATE` new, live, resting or dead; several by comma",
	"url":         "just this proxy (`URL`)",
}
