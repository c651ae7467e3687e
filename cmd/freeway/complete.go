package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/api"
	"freeway/config"
	"freeway/proxy"
	"freeway/scraper"
)

// completionTime is how long a completion may ask a server: people wait for it.
const completionTime = 2 * time.Second

// complete gives the flags of all commands their completions: fixed words, and
// those that the running server knows.
func (a *app) complete(root *cobra.Command) {
	var protocols, states []string
	for _, p := range proxy.Protocols() {
		protocols = append(protocols, p.String())
	}
	for _, s := range []proxy.State{proxy.New, proxy.Live, proxy.Resting, proxy.Dead, proxy.Unsafe} {
		states = append(states, s.String())
	}
	words := map[string]lister{
		"protocol":  fixed(protocols...),
		"anonymity": fixed("transparent", "anonymous", "elite"),
		"tunnel":    fixed("true", "false"),
		"state":     fixed(states...),
		"log-level": fixed("debug", "info", "warn", "error"),
		"shell":     fixed("sh", "bash", "zsh", "fish", "powershell"),
		"role":      fixed("viewer", "operator", "admin"),
		"as":        fixed(scraper.Formats()...),
		"country": func(ctx context.Context, server string) []string {
			return a.stat(ctx, server, func(s api.Stats) map[string]int { return s.Countries })
		},
		"pool": func(ctx context.Context, server string) []string {
			return a.stat(ctx, server, func(s api.Stats) map[string]int { return s.Pools })
		},
		"source": a.sourceNames,
	}
	for _, cmd := range root.Commands() {
		a.complete(cmd)
		words["format"] = fixed(formatsOf[cmd.CommandPath()]...)
		if cmd.CommandPath() == "freeway sources test" {
			cmd.ValidArgsFunction = a.sourceOrFile
		}
		cmd.LocalFlags() // merges what belongs to it
		for name, list := range words {
			if cmd.Flags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, lastWord(list)) // fails where the command has one of its own
			}
		}
	}
}

// formatsOf are the values of --format by command.
var formatsOf = map[string][]string{
	"freeway scan": {"table", "ndjson", "json", "csv", "txt"}, "freeway scrape": {"txt", "ndjson", "csv"}, "freeway get": {"txt", "json"},
	"freeway explain": {"table", "json"}, "freeway sources": {"table", "json"}, "freeway sources test": {"table", "json"},
	"freeway top": {"table", "json"}, "freeway doctor": {"table", "json"}, "freeway geo": {"table", "json"}, "freeway geo info": {"table", "json"},
	"freeway geo lookup": {"table", "json"}, "freeway config show": {"yaml", "json"}, "freeway version": {"text", "json"},
}

// sourceOrFile completes the names of sources, and files.
func (a *app) sourceOrFile(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	return a.sourceNames(ctx, serverOf(cmd)), cobra.ShellCompDirectiveDefault
}

// lister lists words. server is the value of --server, "" for the server that
// the configuration describes.
type lister func(ctx context.Context, server string) []string

// fixed are words that are always the same.
func fixed(words ...string) lister {
	return func(context.Context, string) []string { return words }
}

// serverOf is the value of a command's --server, "" where it has none.
func serverOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("server"); f != nil {
		return f.Value.String()
	}
	return ""
}

// lastWord completes the last of several values that are separated by commas.
func lastWord(list lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTime)
		defer cancel()
		before := ""
		if i := strings.LastIndexByte(typed, ','); i >= 0 {
			before = typed[:i+1]
		}
		var out []cobra.Completion
		for _, word := range list(ctx, serverOf(cmd)) {
			out = append(out, before+word)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// askJSON reads an answer of the running server; false when there is none.
func (a *app) askJSON(ctx context.Context, server, path string, v any) bool {
	c, err := a.clientOf(server)
	if err != nil {
		return false
	}
	body, err := c.get(ctx, path, nil)
	return err == nil && json.Unmarshal(body, v) == nil
}

// stat returns the keys of one of the server's counts, the largest first.
func (a *app) stat(ctx context.Context, server string, counts func(api.Stats) map[string]int) []string {
	var s api.Stats
	if !a.askJSON(ctx, server, "/api/stats", &s) {
		return nil
	}
	return mostFirst(counts(s))
}

// mostFirst returns the keys by their counts, without the empty one.
func mostFirst(counts map[string]int) []string {
	var out []string
	for k := range counts {
		if k != "" {
			out = append(out, strings.ToLower(k))
		}
	}
	slices.SortFunc(out, func(x, y string) int {
		if d := counts[strings.ToUpper(y)] + counts[y] - counts[strings.ToUpper(x)] - counts[x]; d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	return out
}

// sourceNames are those of the running server, else those of the configuration.
func (a *app) sourceNames(ctx context.Context, server string) []string {
	var list struct {
		Items []struct {
			Name string `json:"name"`
		} `json:"items"`
	}
	var out []string
	if a.askJSON(ctx, server, "/api/sources", &list) {
		for _, s := range list.Items {
			out = append(out, s.Name)
		}
		return out
	}
	cfg, err := a.load(nil)
	if err != nil {
		cfg = config.Default()
	}
	for _, s := range allSources(cfg) {
		out = append(out, s.Name)
	}
	return out
}
