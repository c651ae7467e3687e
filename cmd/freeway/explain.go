package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"freeway/api"
	"freeway/gateway"
	"freeway/pool"
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
		if _, err := gateway.Want(cfg.Gateway, args[0], args[1]); isMisspelt(err) && server == "" { // another server may have other users
			return usageError{err}
		}
		c, err := a.client(server, cfg)
		if err != nil {
			return err
		}
		body, err := c.get(cmd.Context(), "/api/explain", url.Values{"user": {args[0]}, "url": {args[1]}})
		if saysMisspelt(err) {
			return usageError{err}
		}
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

// isMisspelt reports whether an error says that user name or address cannot be read.
func isMisspelt(err error) bool {
	var refused *gateway.Refused
	return errors.As(err, &refused) && refused.Status == http.StatusBadRequest
}

// saysMisspelt is isMisspelt for what a server answers.
func saysMisspelt(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status == http.StatusUnprocessableEntity &&
		(strings.HasPrefix(answer.detail, "bad_options: ") || strings.HasPrefix(answer.detail, "bad_request: "))
}

// explain answers "which upstreams would this request get?". What the gateway
// would refuse is an error.
func (s *server) explain(user, link string) (any, error) {
	want, err := s.gateway.Want(user, link)
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
