package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"freeway/checker"
	"freeway/config"
)

// How doctor --online asks: few hosts at once, each once.
const (
	reachTime  = 10 * time.Second
	reachMany  = 8
	reachNamed = 5 // hosts that are named when they do not answer
)

// checkReach asks the hosts of judges and sources for their first page, once
// each. Any answer will do: what they say is the business of serve.
func (a *app) checkReach(ctx context.Context, cfg config.Config) []finding {
	judges := checker.PublicJudges()
	if len(cfg.Checker.Judges) > 0 {
		judges = nil
		for _, j := range cfg.Checker.Judges {
			judges = append(judges, j.URL)
		}
	}
	var lists []string
	for _, s := range allSources(cfg) {
		if enabled(cfg, s) && s.URL != "" && s.Via == "" { // others are not fetched directly
			lists = append(lists, s.URL)
		}
	}
	c, err := a.reachClient(cfg)
	if err != nil {
		return []finding{{what: "online", says: err.Error(), bad: true}}
	}
	return []finding{reach(ctx, c, "judges online", judges), reach(ctx, c, "sources online", lists)}
}

// reachClient goes nowhere but where it is told: no proxy, no redirect.
func (a *app) reachClient(cfg config.Config) (*http.Client, error) {
	roots, err := trusted(cfg.Checker.JudgeCA)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: reachTime,
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: reachTime, Control: a.control()}).DialContext, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// reach makes a finding of the hosts of some URLs. It is bad when none answers.
func reach(ctx context.Context, c *http.Client, what string, urls []string) finding {
	hosts := map[string]error{}
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			hosts[u.Scheme+"://"+u.Host+"/"] = nil
		}
	}
	all := slices.Sorted(maps.Keys(hosts))
	failed := make([]error, len(all))
	var g errgroup.Group
	g.SetLimit(reachMany)
	for i, host := range all {
		g.Go(func() error {
			failed[i] = knock(ctx, c, host)
			return nil
		})
	}
	g.Wait() //nolint:errcheck // failed has them
	var silent []string
	for i, err := range failed {
		if err != nil {
			silent = append(silent, fmt.Sprintf("%s (%v)", all[i], oneLine(err)))
		}
	}
	f := finding{what: what, says: fmt.Sprintf("%d of %d hosts answer", len(all)-len(silent), len(all))}
	if len(silent) > 0 {
		f.says += "; not " + strings.Join(silent[:min(len(silent), reachNamed)], ", ")
	}
	if f.bad = len(all) > 0 && len(silent) == len(all); f.bad {
		f.says += "; look for a firewall, the name server and the clock"
	}
	return f
}

// knock asks a host for the head of its first page.
func knock(ctx context.Context, c *http.Client, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, host, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", userAgent())
	resp, err := c.Do(req)
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err // it names the host again
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
