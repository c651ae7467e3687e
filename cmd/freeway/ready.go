package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/api"
	"freeway/checker"
	"freeway/proxy"
)

// ready says whether traffic should come: not while stopping, and not without
// the upstreams that admin.ready asks for. Sources and judges do not count: what is in the pool still works
// without them.
func (s *server) ready() (bool, []string) {
	var reasons []string
	for _, p := range s.parts() {
		if !p.OK && !p.Info {
			reasons = append(reasons, p.Says)
		}
	}
	return len(reasons) == 0, reasons
}

// parts are what /readyz?verbose lists.
func (s *server) parts() []api.Part {
	cfg := s.current()
	serving := api.Part{Name: "serving", OK: !s.stopping.Load(), Says: "requests are taken"}
	if !serving.OK {
		serving.Says = "stopping"
	}
	usable := s.pool.Eligible(proxy.Want{Pools: cfg.Gateway.Pools})
	upstreams := api.Part{Name: "upstreams"}
	upstreams.OK, upstreams.Says = cfg.Admin.Ready.Says(usable, time.Since(s.began))
	return append([]api.Part{serving, upstreams, {Name: "configuration", OK: true, Says: "loaded"}}, s.remarks()...)
}

// remarks are the parts that do not decide.
func (s *server) remarks() []api.Part {
	out := []api.Part{s.storePart()}
	st := s.checker.Status()
	checks := api.Part{Name: "checks", OK: true, Info: true, Says: fmt.Sprintf("%d under way", st.Running)}
	switch {
	case st.Frozen:
		checks.OK, checks.Says = false, "scores are frozen: "+st.Reason
	case st.Doubt != "":
		checks.OK, checks.Says = false, "failures do not count at present: "+st.Doubt
	}
	on, failing, open, resting := 0, 0, 0, 0
	for _, r := range s.scraper.Results() {
		if r.Enabled {
			on++
			if r.Breaker != "closed" {
				open++
			}
			if !r.RestsUntil.IsZero() {
				resting++
			}
			if r.Err != "" {
				failing++
			}
		}
	}
	lists := api.Part{Name: "sources", OK: failing == 0, Info: true, Says: fmt.Sprintf("%d on, %d failed the last time", on, failing)}
	if open+resting > 0 {
		lists.Says += fmt.Sprintf(", %d with an open breaker, %d at rest", open, resting)
	}
	return append(out, checks, judgesPart(st.Judges), lists)
}

// judgesPart tells which judges answer. One that was not asked yet does not, but
// its breaker is closed.
func judgesPart(judges []checker.JudgeStatus) api.Part {
	up, broken := 0, 0
	for _, j := range judges {
		if j.Up {
			up++
		}
		if j.Breaker != "closed" {
			broken++
		}
	}
	says := fmt.Sprintf("%d of %d answer", up, len(judges))
	if broken > 0 {
		says += fmt.Sprintf("; the breakers of %d are open", broken)
	}
	if unasked := len(judges) - up - broken; unasked > 0 {
		says += fmt.Sprintf("; %d not asked yet", unasked)
	}
	return api.Part{Name: "judges", OK: up > 0, Info: true, Says: says}
}

// healthcheckCommand makes "freeway healthcheck".
func (a *app) healthcheckCommand() *cobra.Command {
	var server string
	var live bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running server whether traffic should come: exit code 0 yes, 1 no",
		Long: `Ask a running server for /readyz and print what it says; --live asks only whether the
process serves. It is meant for containers and scripts.`,
		Example: "  freeway healthcheck\n  freeway healthcheck --live --server http://127.0.0.1:8081",
		Args:    cobra.NoArgs,
	}
	serverFlag(cmd, &server)
	cmd.Flags().BoolVar(&live, "live", false, "only whether the process serves")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.healthcheck(cmd.Context(), server, live) }
	return cmd
}

// healthcheck prints what the server says of itself.
func (a *app) healthcheck(ctx context.Context, server string, live bool) error {
	c, err := a.clientOf(server)
	if err != nil {
		return err
	}
	path, query := "/readyz", url.Values{"verbose": {""}}
	if live {
		path, query = "/livez", nil
	}
	body, err := c.get(ctx, path, query)
	var answer *answerError
	if errors.As(err, &answer) && answer.status == http.StatusServiceUnavailable {
		fmt.Fprint(a.stdout, clean(answer.body))
		return errQuiet
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, clean(string(body)))
	return err
}

// clean keeps the lines of foreign text, and nothing that moves the cursor.
func clean(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.Map(printable, lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}
