package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/api"
	"freeway/gateway"
	"freeway/pool"
)

// explainCommand makes "freeway explain".
func (a *app) explainCommand() *cobra.Command {
	var server, format, output string
	cmd := &cobra.Command{
		Use:     "explain USERNAME URL",
		Short:   "Tell which upstreams a request would get, and what each filter removed",
		Example: "  freeway explain bob-country-de-anonymity-elite https://example.com/\n  freeway explain --format json bob example.com:443 | jq .left",
		Args:    cobra.ExactArgs(2),
	}
	serverFlag(cmd, &server)
	cmd.Flags().StringVar(&format, "format", "", "table or json (default table on a terminal, else json)")
	cmd.Flags().StringVar(&output, "output", "", "write to this `FILE` instead of stdout")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format == "" {
			format = "json"
			if output == "" && isTerminal(a.stdout) {
				format = "table"
			}
		}
		if format != "table" && format != "json" {
			return usagef("--format %q is neither table nor json", format)
		}
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
		text, err := explained(format, body)
		if err != nil {
			return err
		}
		return a.write(output, text)
	}
	return cmd
}

// explained is an answer of /api/explain in one of the formats of the command.
func explained(format string, body []byte) ([]byte, error) {
	var text bytes.Buffer
	if format == "json" {
		if json.Indent(&text, bytes.TrimSpace(body), "", "  ") != nil {
			text.Write(body)
		}
		text.WriteByte('\n')
		return text.Bytes(), nil
	}
	var e explanation
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("the server's answer: %w", err)
	}
	err := columns(&text, explanationRows(e))
	return text.Bytes(), err
}

// explanationRows are the steps from all that is known to what is left, then
// some of that.
func explanationRows(e explanation) [][]string {
	rows := [][]string{{"CONDITION", "REMOVES", "LEAVES"}, {"known", "", strconv.Itoa(e.Total)}}
	for _, s := range e.Steps {
		rows = append(rows, []string{strings.Map(printable, s.Name), strconv.Itoa(s.Removed), strconv.Itoa(s.Left)})
	}
	left := fmt.Sprintf("%d, exits: %d", e.Left, e.Exits)
	if e.Panic {
		left += "; so few that ejections are ignored"
	}
	rows = append(rows, []string{"left", "", left})
	for _, p := range e.Chosen {
		rows = append(rows, []string{"for example", "", strings.Map(printable, p.URL)})
	}
	return rows
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
	Chosen []api.Proxy       `json:"chosen"` // a few of them, as they would be drawn; that of the session first

	Session *explainedSession `json:"session,omitempty"` // that of the user name, when it holds an exit
}

// explainedSession is the hold of a session.
type explainedSession struct {
	Proxy string    `json:"proxy"`
	Exit  string    `json:"exit"`
	Until time.Time `json:"until"`
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
	if h := e.Held; h != nil {
		out.Session = &explainedSession{Proxy: h.Endpoint.String(), Exit: h.Exit.String(), Until: h.Until.UTC()}
	}
	return out
}
