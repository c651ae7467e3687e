package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"freeway/checker"
	"freeway/config"
	"freeway/proxy"
)

type scanFlags struct {
	format, output string
	protocols      protocolFlags
	judges         []string
	judgeCA        string
	targets        []string
	timeout        time.Duration
	connectTimeout time.Duration
	fixed          bool
	concurrency    int
	rate           float64
	limit, minLive int
	all, save      bool
	store, sources bool
	changed        func(name string) bool
	filter         func() (url.Values, error)
	allow          func(*config.Config) error
}

// scanCommand makes "freeway scan".
func (a *app) scanCommand() *cobra.Command {
	f := &scanFlags{}
	cmd := &cobra.Command{
		Use:   "scan INPUT...",
		Short: "One-shot health scan of lists or proxies",
		Long: `Check everything that the inputs name, once, and print what works as it is found.

` + inputHelp + `

Ctrl-C ends the scan and keeps what was found. The exit code is 0 when the scan went
well, however little it found; it is 1 when an input, or every source, could not be
read, and with --min-live when fewer work.`,
		Example: "  freeway scan list.txt\n  freeway scan --format txt --output live.txt --min-live 5 list.txt https://example.com/more.txt\n" +
			"  freeway scan socks5://192.0.2.1:1080 --all\n  freeway scan --judge http://judge.example.com/ - < list.txt",
	}
	f.add(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !f.store && !f.sources {
			return usagef("nothing to scan: give an INPUT, --store or --sources")
		}
		return a.scan(cmd.Context(), f, args)
	}
	return cmd
}

// add defines the flags.
func (f *scanFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.format, "format", "", "table, ndjson, json, csv or txt (default: table on a terminal, else ndjson)")
	flags.StringVar(&f.output, "output", "", "write to `FILE` instead of stdout")
	flags.Var(&f.protocols, "protocol", "what to try where the input does not say (repeatable; default: all); nothing else is kept there")
	flags.StringArrayVar(&f.judges, "judge", nil, "`URL` of a judge (repeatable; default: those of the configuration, else public ones)")
	flags.StringVar(&f.judgeCA, "judge-ca", "", "PEM `FILE` of authorities to trust for judges and for proxies behind TLS, besides the system's")
	flags.StringArrayVar(&f.targets, "target", nil, "`URL` that must also be reached (repeatable)")
	flags.DurationVar(&f.timeout, "timeout", 0, "for one step: the proxy's answer, the judge's; all of one protocol together may take three times as long (default 10s)")
	flags.DurationVar(&f.connectTimeout, "connect-timeout", 0, "for the connection to the proxy (default 5s)")
	flags.BoolVar(&f.fixed, "fixed-timeouts", false, "wait for every candidate as long as that; else less, once it is known what live proxies need")
	flags.IntVar(&f.concurrency, "concurrency", 0, "addresses checked at the same time; 0: as the file limit allows")
	flags.Float64Var(&f.rate, "rate", 1000, "connections a second; 0: no limit")
	flags.IntVar(&f.limit, "limit", 0, "stop after this many live ones; 0: no limit")
	flags.IntVar(&f.minLive, "min-live", 0, "exit code 1 if fewer are live")
	flags.BoolVar(&f.all, "all", false, "print what fails, too, with stage and class")
	flags.BoolVar(&f.save, "save", false, "put what was found into the store")
	flags.BoolVar(&f.store, "store", false, "scan what is in the store")
	flags.BoolVar(&f.sources, "sources", false, "scan what the enabled sources name")
	f.filter = filterFlags(flags, "anonymity", "country", "max_latency")
	f.allow = allowFlag(flags)
	f.changed = flags.Changed
}

// config lays the flags over the configuration.
func (f *scanFlags) config(cfg *config.Config) error {
	for name, d := range map[string]time.Duration{"timeout": f.timeout, "connect-timeout": f.connectTimeout} {
		if f.changed(name) && d == 0 {
			return usagef("--%s 0s would let nothing pass", name)
		}
	}
	if f.limit < 0 || f.minLive < 0 || f.concurrency < 0 || f.rate < 0 || f.timeout < 0 || f.connectTimeout < 0 {
		return usagef("limits, numbers and times are not negative")
	}
	c := &cfg.Checker
	if len(f.judges) > 0 {
		c.Judges = nil // flags replace, they do not add
	}
	for _, u := range f.judges {
		c.Judges = append(c.Judges, checker.Judge{URL: u})
	}
	for i, u := range f.targets { // beside those of the configuration
		c.Targets = append(c.Targets, checker.TargetCheck{Name: fmt.Sprintf("target-%d", i+1), URL: u, Required: true})
	}
	if f.judgeCA != "" {
		c.JudgeCA = f.judgeCA
	}
	if f.timeout > 0 {
		c.Timeout = f.timeout
	}
	switch {
	case f.connectTimeout > 0:
		c.ConnectTimeout = f.connectTimeout
	case f.timeout > 0 && c.ConnectTimeout > f.timeout:
		c.ConnectTimeout = f.timeout
	}
	if f.fixed {
		c.FixedTimeouts = true
	}
	if f.changed("concurrency") {
		c.Concurrency = f.concurrency
	}
	if f.changed("rate") {
		c.Rate = f.rate
	}
	if err := f.allow(cfg); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// wanted is the filter of --anonymity, --country and --max-latency.
func (f *scanFlags) wanted(cfg config.Config) (proxy.Filter, error) {
	var filter proxy.Filter
	query, err := f.filter()
	if err != nil {
		return filter, err
	}
	for key := range query {
		if err := filter.Set(key, query.Get(key)); err != nil {
			return filter, usageError{err}
		}
	}
	return filter, nil
}

// scan prepares configuration, filter and output, then runs.
func (a *app) scan(ctx context.Context, f *scanFlags, args []string) (err error) {
	cfg, err := a.loadRevealed(nil)
	if err != nil {
		return err
	}
	if err := f.config(&cfg); err != nil {
		return err
	}
	filter, err := f.wanted(cfg)
	if err != nil {
		return err
	}
	if f.format == "" {
		f.format = "ndjson"
		if f.output == "" && isTerminal(a.stdout) {
			f.format = "table"
		}
	}
	out, closeOut, err := a.output(f.output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeOut()) }()
	s := &scan{app: a, flags: f, cfg: cfg, filter: filter}
	if s.printer, err = newPrinter(f.format, s.screen(out), f.all); err != nil {
		return err
	}
	return s.run(ctx, args)
}
