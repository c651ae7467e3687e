package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"freeway/api"
	"freeway/config"
	"freeway/gateway"
	"freeway/pool"
	"freeway/proxy"
)

// explainCommand makes "freeway explain".
func (a *app) explainCommand() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:     "explain USERNAME URL",
		Short:   "Tell which upstreams a request would get, and what each filter removed",
		Example: "  freeway explain bob-country-de-anonymity-elite https://example.com/",
		Args:    cobra.ExactArgs(2),
	}
	serverFlag(cmd, &server)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := a.load(nil)
		if err != nil {
			return err
		}
		if _, err := wantOf(cfg, args[0], args[1]); err != nil && server == "" { // another server may have other users
			return usageError{err}
		}
		c, err := a.client(server, cfg)
		if err != nil {
			return err
		}
		body, err := c.get(cmd.Context(), "/api/explain", url.Values{"user": {args[0]}, "url": {args[1]}})
		if err != nil {
			return err
		}
		var pretty bytes.Buffer
		if json.Indent(&pretty, body, "", "  ") != nil {
			pretty.Write(body)
		}
		_, err = fmt.Fprintln(a.stdout, strings.TrimSpace(pretty.String()))
		return err
	}
	return cmd
}

// explain answers "which upstreams would this request get?".
func (s *server) explain(user, link string) (any, error) {
	want, err := wantOf(s.current(), user, link)
	if err != nil {
		return nil, err
	}
	return explanationOf(s.pool.Explain(want)), nil
}

// explanation is an answer of /api/explain.
type explanation struct {
	Total  int               `json:"total"`  // entries known
	Steps  []explanationStep `json:"steps"`  // what each condition removed, in order
	Left   int               `json:"left"`   // entries that could be chosen
	Exits  int               `json:"exits"`  // addresses they leave from
	Panic  bool              `json:"panic"`  // so few are left that ejections are ignored
	Chosen []api.Proxy       `json:"chosen"` // a few of them, as they would be drawn
}

type explanationStep struct {
	Name    string `json:"name"`
	Removed int    `json:"removed"`
	Left    int    `json:"left"`
}

// explanationOf shows what the pool found in the words of the API.
func explanationOf(e pool.Explanation) explanation {
	out := explanation{Total: e.Total, Steps: []explanationStep{}, Left: e.Left, Exits: e.Exits, Panic: e.Panic, Chosen: []api.Proxy{}}
	for _, s := range e.Steps {
		out.Steps = append(out.Steps, explanationStep(s))
	}
	for _, c := range e.Chosen {
		out.Chosen = append(out.Chosen, api.View(c))
	}
	return out
}

// wantOf is what the gateway would ask of the pool for a request of that user.
func wantOf(cfg config.Config, user, link string) (proxy.Want, error) {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" {
		return proxy.Want{}, fmt.Errorf("url: %q is not an address such as https://example.com/", link)
	}
	port := uint16(443)
	if u.Scheme == "http" {
		port = 80
	} else if u.Scheme != "https" {
		return proxy.Want{}, fmt.Errorf("url: %q begins with neither http:// nor https://", link)
	}
	target, err := proxy.ParseTarget(u.Host, port)
	if err != nil {
		return proxy.Want{}, fmt.Errorf("url: %w", err)
	}
	name, opt, err := splitUser(cfg.Gateway.Users, user)
	if err != nil {
		return proxy.Want{}, fmt.Errorf("user: %w", err)
	}
	want := proxy.Want{Filter: opt.Filter, Target: target, Need: target.Needs(u.Scheme == "http"), Pools: cfg.Gateway.Pools}
	if len(opt.Filter.Pools) > 0 {
		want.Pools = opt.Filter.Pools
	}
	if opt.Session != "" && !opt.Rotate {
		want.Session = proxy.SessionKey{User: name, ID: opt.Session}
	}
	return want, nil
}

// splitUser finds the configured user of a user name, the longest wins, and
// reads the options behind it. What the user requires is added.
func splitUser(users []gateway.User, s string) (string, gateway.Options, error) {
	var best gateway.User
	for _, u := range users {
		rest, ok := strings.CutPrefix(s, u.Name)
		if ok && (rest == "" || rest[0] == '-' || rest[0] == '~') && len(u.Name) > len(best.Name) {
			best = u
		}
	}
	if best.Name == "" {
		return gateway.ParseUser(s)
	}
	rest := s[len(best.Name):]
	if best.Require != "" && !strings.HasPrefix(rest, "~") {
		rest += "-" + best.Require
	}
	_, opt, err := gateway.ParseUser("x" + rest)
	return best.Name, opt, err
}
