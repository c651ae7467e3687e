package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// registerStatus adds what tells how Freeway is doing and what became of requests.
func (a *API) registerStatus(h huma.API) {
	op := func(id, method, path, summary string, errs ...int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"status"}, Errors: errs}
	}
	huma.Register(h, op("get-stats", http.MethodGet, "/api/stats", "Numbers of the pool, the checker and the gateway"), a.stats)
	huma.Register(h, op("list-requests", http.MethodGet, "/api/requests", "The latest requests with every attempt, newest first, also those that still run"), a.requests)
	huma.Register(h, op("give-feedback", http.MethodPost, "/api/feedback", "Say how a proxy did", 404, 422), a.feedback)
	huma.Register(h, op("list-sessions", http.MethodGet, "/api/sessions", "Sessions and their exits"), a.sessions)
	gone := op("delete-session", http.MethodDelete, "/api/sessions/{id}", "Give a session a new exit", 404)
	gone.DefaultStatus = http.StatusNoContent
	huma.Register(h, gone, a.dropSession)
	huma.Register(h, op("list-targets", http.MethodGet, "/api/targets", "Domains that refuse exits or do not answer"), a.targets)
	forgive := op("forgive-target", http.MethodDelete, "/api/targets/{domain}", "Forget the bans of a domain", 404)
	forgive.DefaultStatus = http.StatusNoContent
	huma.Register(h, forgive, a.forgive)
	if a.env.Config != nil {
		huma.Register(h, op("get-config", http.MethodGet, "/api/config", "The configuration in force, secrets masked"), a.config)
	}
	huma.Register(h, op("reload", http.MethodPost, "/api/reload", "Read the configuration again", 404, 422, 503), a.reload)
	if a.env.Explain != nil {
		huma.Register(h, op("explain", http.MethodGet, "/api/explain", "Which upstreams a user name would get, and what each filter removed", 422), a.explain)
	}
}

type anyOutput struct{ Body any }

func (a *API) config(context.Context, *struct{}) (*anyOutput, error) {
	return &anyOutput{a.env.Config()}, nil
}

// ReloadReport is what a reload did. Keys are named, not their values.
type ReloadReport struct {
	Changed      []string // now in force
	NeedsRestart []string // keep their old values until then
}

type reloadOutput struct {
	Body struct {
		OK           bool     `json:"ok"`
		Changed      []string `json:"changed" nullable:"false" doc:"Keys with new values, now in force."`
		NeedsRestart []string `json:"needs_restart" nullable:"false" doc:"Keys that keep their old values until a restart."`
	}
}

func (a *API) reload(ctx context.Context, _ *struct{}) (*reloadOutput, error) {
	if err := adminsOnly(ctx); err != nil {
		return nil, err
	}
	if a.env.Reload == nil {
		return nil, problem(fmt.Errorf("%w: a demo has no configuration to read again", errNotFound))
	}
	report, err := a.env.Reload(ctx)
	if err != nil {
		return nil, problem(badInput(err))
	}
	out := &reloadOutput{}
	out.Body.OK = true
	out.Body.Changed = append([]string{}, report.Changed...)
	out.Body.NeedsRestart = append([]string{}, report.NeedsRestart...)
	return out, nil
}

type explainInput struct {
	User string `query:"user" doc:"A user name with options, as for the gateway." example:"bob-country-de"`
	URL  string `query:"url" doc:"What the request would ask for." example:"https://example.com/"`
}

func (a *API) explain(_ context.Context, in *explainInput) (*anyOutput, error) {
	if in.URL == "" {
		return nil, problem(badInput(errors.New("url: say what the request would ask for")))
	}
	v, err := a.env.Explain(in.User, in.URL)
	if err != nil {
		return nil, problem(badInput(err))
	}
	return &anyOutput{v}, nil
}
