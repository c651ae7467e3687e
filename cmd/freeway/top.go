package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"freeway/api"
)

// topCommand makes "freeway top".
func (a *app) topCommand() *cobra.Command {
	var server string
	var every time.Duration
	var once bool
	var how reporting
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch a running server: the pool, rates and the latest requests",
		Long: `Show the pool, the rates of the last minute and the latest requests of a running
server, again and again until Ctrl-C. Without a terminal, with --output and as JSON it
is shown once.`,
		Example: "  freeway top\n  freeway top --interval 5s\n  freeway top --once --format json | jq .stats.states",
		Args:    cobra.NoArgs,
	}
	serverFlag(cmd, &server)
	cmd.Flags().DurationVar(&every, "interval", 2*time.Second, "how often it is drawn, at least 200ms")
	cmd.Flags().BoolVar(&once, "once", false, "show it once")
	how.tables(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if every < 200*time.Millisecond {
			return usagef("--interval %v is less than 200ms", every)
		}
		if err := how.check(); err != nil {
			return err
		}
		c, err := a.clientOf(server)
		if err != nil {
			return err
		}
		if once || how.format == "json" || how.output != "" || !a.canMove(a.stdout) {
			return a.topOnce(cmd.Context(), c, how)
		}
		return a.topLoop(cmd.Context(), c, every)
	}
	return cmd
}

// topLoop draws until ctx ends. An answer that fails is shown in place of the
// numbers: the server may come back.
func (a *app) topLoop(ctx context.Context, c *client, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		width, height := a.screen()
		var page bytes.Buffer
		err := drawTop(ctx, c, &page, width, height)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if first && errors.Is(err, errNoServer) {
				return err
			}
			page.Reset()
			fmt.Fprintln(&page, oneLine(err))
		}
		// Home, then each line with the rest of it erased, then what is below.
		text := "\x1b[H" + strings.ReplaceAll(page.String(), "\n", "\x1b[K\n") + "\x1b[J"
		if _, err := io.WriteString(a.stdout, text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// screen returns the size of the terminal, or what most have.
func (a *app) screen() (width, height int) {
	if f, ok := a.stdout.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// topOnce draws once.
func (a *app) topOnce(ctx context.Context, c *client, how reporting) error {
	const width, height = 120, 40
	if how.format == "json" {
		stats, latest, err := askTop(ctx, c, height)
		if err != nil {
			return err
		}
		return a.reportJSON(how, map[string]any{"stats": stats, "requests": latest.Items})
	}
	var page bytes.Buffer
	if err := drawTop(ctx, c, &page, width, height); err != nil {
		return err
	}
	return a.write(how.output, page.Bytes())
}

// askTop asks the server for all that is shown, with the latest requests.
func askTop(ctx context.Context, c *client, most int) (stats api.Stats, latest api.Requests, err error) {
	for path, v := range map[string]any{"/api/stats": &stats, "/api/requests": &latest} {
		query := url.Values{}
		if path == "/api/requests" {
			query.Set("limit", strconv.Itoa(min(max(most, 1), 1000)))
		}
		body, err := c.get(ctx, path, query)
		if err != nil {
			return stats, latest, err
		}
		if err := json.Unmarshal(body, v); err != nil {
			return stats, latest, fmt.Errorf("%s of %s: %w", path, c.base.Redacted(), err)
		}
	}
	return stats, latest, nil
}

// drawTop asks the server and draws one page that fits the screen.
func drawTop(ctx context.Context, c *client, w *bytes.Buffer, width, height int) error {
	const head = 9 // lines above the requests
	stats, latest, err := askTop(ctx, c, height-head-1)
	if err != nil {
		return err
	}
	lines := append(topHead(c, stats), topRequests(latest.Items, max(height-head-1, 1))...)
	for _, line := range lines {
		fmt.Fprintln(w, fit(line, width))
	}
	return nil
}

// topHead are the lines above the requests.
func topHead(c *client, s api.Stats) []string {
	m := s.LastMinute
	return []string{
		fmt.Sprintf("freeway %s  %s  %s", s.Version, c.base.Redacted(), time.Now().Format(time.TimeOnly)),
		"",
		fmt.Sprintf("pool       %d live over %d exits, %d new, %d resting, %d dead, %d unsafe; %d in all",
			s.States["live"], s.Exits, s.States["new"], s.States["resting"], s.States["dead"], s.States["unsafe"], s.Total),
		"live       " + shares(s.Protocols) + "   " + shares(s.Countries),
		fmt.Sprintf("checks     %d in the last minute, %d passed; %d running, %d due", m.Checks, m.Passed, s.Checking, s.Due),
		fmt.Sprintf("gateway    %d requests in the last minute, %s answered; %s attempts each, %d times no upstream; %d sessions",
			m.Requests, percent(m.Answered, m.Requests), ratio(m.Picks, m.Requests), m.Misses, s.Sessions),
		"",
		"WHEN      TOOK     STATUS  TRIES  TARGET                                    LAST UPSTREAM",
	}
}

// topRequests are the latest requests, a line each.
func topRequests(all []api.Request, most int) []string {
	if len(all) == 0 {
		return []string{"no request yet; try: curl -x http://GATEWAY https://example.com/"}
	}
	var out []string
	for _, r := range all[:min(most, len(all))] {
		status := strconv.Itoa(r.Status)
		if r.Code != "" {
			status = r.Code
		}
		last := "-"
		if n := len(r.Attempts); n > 0 {
			t := r.Attempts[n-1]
			last = t.Proxy + " " + t.Class
			if t.Country != "" {
				last += " " + t.Country
			}
		}
		when := "-"
		if r.At != nil {
			when = r.At.Local().Format(time.TimeOnly)
		}
		took := fmt.Sprintf("%5dms", r.TookMS)
		if r.Running {
			took += "+"
		}
		out = append(out, fmt.Sprintf("%-9s %-8s %-7s %5d  %-41s %s", when, took, status, len(r.Attempts), r.Method+" "+r.Target, last))
	}
	return out
}

// shares lists the largest of some counts.
func shares(counts map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		if d := counts[y] - counts[x]; d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	var out []string
	for _, k := range keys[:min(len(keys), 6)] {
		out = append(out, fmt.Sprintf("%s %d", orDash(k), counts[k]))
	}
	return strings.Join(out, ", ")
}

// percent is part of whole, "-" when there is nothing.
func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// ratio is a over b with one digit, "-" when there is nothing.
func ratio(a, b int) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(a)/float64(b))
}

// fit cuts a line to the width and keeps foreign text from moving the cursor.
func fit(s string, width int) string {
	s = strings.Map(printable, s)
	if r := []rune(s); len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return s
}
