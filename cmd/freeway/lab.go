package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"freeway/lab"
)

// labFlags is what the lab and demo commands have in common.
type labFlags struct {
	upstreams  int
	seed       uint64
	speed      float64
	addressing string
	ca         string
}

// add defines the flags with the defaults of the command.
func (f *labFlags) add(flags *pflag.FlagSet, upstreams int, speed float64) {
	flags.IntVar(&f.upstreams, "upstreams", upstreams, "how many proxies there are")
	flags.Uint64Var(&f.seed, "seed", 1, "the same seed gives the same proxies")
	flags.Float64Var(&f.speed, "speed", speed, "how much faster than in reality proxies come and go; latencies stay real")
	flags.StringVar(&f.addressing, "addressing", "auto", "how proxies get addresses: auto, wildcard, per-address or per-port")
	flags.StringVar(&f.ca, "ca", "", "write the lab's certificate authority to this `FILE` (default: a temporary one)")
}

// config checks the flags.
func (f *labFlags) config(log *slog.Logger) (lab.Config, error) {
	cfg := lab.Config{Seed: f.seed, Upstreams: f.upstreams, Speed: f.speed, Log: log}
	if err := cfg.Addressing.UnmarshalText([]byte(f.addressing)); err != nil {
		return cfg, usagef("--addressing: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// caFile writes the CA where --ca says, else to a temporary file, which the
// function returned removes.
func (f *labFlags) caFile(pem []byte) (path string, remove func(), err error) {
	if f.ca != "" {
		return f.ca, func() {}, os.WriteFile(f.ca, pem, 0o644)
	}
	dir, err := os.MkdirTemp("", "freeway-lab-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	path = dir + "/ca.pem"
	if err := os.WriteFile(path, pem, 0o644); err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// labCommand makes "freeway lab".
func (a *app) labCommand() *cobra.Command {
	var f labFlags
	var listen string
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run only the simulated proxy internet, to test crawlers and checkers against",
		Long: `Run a simulated proxy internet on loopback addresses: hundreds of proxies that are
dead, slow, flapping, lying or tampering, lists of them, web sites with a certificate
authority of their own, and judges. What each proxy really is stands in the truth, as
JSON. It runs until Ctrl-C and reaches nothing but loopback addresses.`,
		Example: "  freeway lab --upstreams 1000 --seed 7",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.lab(cmd.Context(), f, listen) },
	}
	f.add(cmd.Flags(), 600, 1)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` of the lists and the truth")
	return cmd
}

// lab runs the lab until ctx ends.
func (a *app) lab(ctx context.Context, f labFlags, listen string) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	lc, err := f.config(a.logger(cfg.Log, new(slog.LevelVar)))
	if err != nil {
		return err
	}
	if f.upstreams == 0 {
		return usagef("--upstreams 0: a lab needs at least 1")
	}
	lc.Listen = listen
	l, err := lab.Start(ctx, lc)
	if err != nil {
		return err
	}
	ca, remove, err := f.caFile(l.CAPEM())
	if err != nil {
		l.Close()
		return err
	}
	defer remove()
	fmt.Fprint(a.stdout, labText(l, ca))
	<-ctx.Done()
	return l.Close()
}

// labText says where everything is, a name and a value a line.
func labText(l *lab.Lab, ca string) string {
	var b strings.Builder
	for _, u := range l.ListURLs() {
		fmt.Fprintf(&b, "list    %s\n", u)
	}
	fmt.Fprintf(&b, "truth   %s\n", l.TruthURL())
	fmt.Fprintf(&b, "target  %s\ntarget  %s\n", l.HTTPTarget(), l.HTTPSTarget())
	fmt.Fprintf(&b, "target  %s  (a name that only the proxies resolve)\ntarget  %s\n", l.HTTPName(), l.HTTPSName())
	fmt.Fprintf(&b, "judge   %s\njudge   %s\n", l.JudgeHTTP(), l.JudgeHTTPS())
	fmt.Fprintf(&b, "ca      %s\n", ca)
	return b.String()
}
