package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"freeway/scraper"
)

// Sources is what the lists are worth.
type Sources struct {
	Items []scraper.Result `json:"items"`
	Total int              `json:"total"`
}

// SourceInput names a source.
type SourceInput struct {
	Name string `path:"name" maxLength:"64"`
}

type patchInput struct {
	SourceInput
	Body struct {
		Enabled bool `json:"enabled" doc:"Whether it is read on its schedule; kept over restarts, overrides the file."`
	}
}

func (a *API) registerSources(h huma.API) {
	if a.env.Scraper == nil {
		return
	}
	huma.Register(h, huma.Operation{OperationID: "list-sources", Method: http.MethodGet, Path: "/api/sources",
		Summary: "The lists and what each is worth", Tags: []string{"sources"}}, a.sources)
	huma.Register(h, huma.Operation{OperationID: "add-source", Method: http.MethodPost, Path: "/api/sources", DefaultStatus: http.StatusCreated,
		Summary: "Add a list", Tags: []string{"sources"}, Errors: []int{409, 422}, Description: "It is kept over restarts, beside those of the configuration, and read soon."}, a.addSource)
	huma.Register(h, huma.Operation{OperationID: "delete-source", Method: http.MethodDelete, Path: "/api/sources/{name}", DefaultStatus: http.StatusNoContent,
		Summary: "Forget a list that was added", Tags: []string{"sources"}, Errors: []int{404}}, a.removeSource)
	huma.Register(h, huma.Operation{OperationID: "run-source", Method: http.MethodPost, Path: "/api/sources/{name}/run",
		Summary: "Read a list now", Tags: []string{"sources"}, Errors: []int{404, 502}}, a.runSource)
	huma.Register(h, huma.Operation{OperationID: "patch-source", Method: http.MethodPatch, Path: "/api/sources/{name}",
		Summary: "Switch a source on or off", Tags: []string{"sources"}, Errors: []int{404}}, a.patchSource)
}

func (a *API) sources(context.Context, *struct{}) (*struct{ Body Sources }, error) {
	all := orEmpty(a.env.Scraper.Results())
	return &struct{ Body Sources }{Sources{all, len(all)}}, nil
}

// runSource waits for the run. A list that could not be read is a 502: the
// fault is the list's server's.
func (a *API) runSource(ctx context.Context, in *SourceInput) (*struct{ Body scraper.Result }, error) {
	if _, ok := a.source(in.Name); !ok {
		return nil, problem(unknownSource(in.Name))
	}
	res, err := a.env.Scraper.RunNow(ctx, in.Name)
	if err != nil {
		return nil, huma.NewError(http.StatusBadGateway, fmt.Sprintf("source %s: %v", in.Name, err))
	}
	return &struct{ Body scraper.Result }{res}, nil
}

func (a *API) patchSource(_ context.Context, in *patchInput) (*struct{ Body scraper.Result }, error) {
	if _, ok := a.source(in.Name); !ok {
		return nil, problem(unknownSource(in.Name))
	}
	if err := a.env.Scraper.Enable(in.Name, in.Body.Enabled); err != nil {
		return nil, problem(err)
	}
	res, _ := a.source(in.Name)
	return &struct{ Body scraper.Result }{res}, nil
}

// NewSource is a list to be added. The fields mean what they mean in the
// configuration.
type NewSource struct {
	Name      string            `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	URL       string            `json:"url" minLength:"1" maxLength:"2048"`
	As        string            `json:"as,omitempty" doc:"The format; empty and auto: found out."`
	Protocols []string          `json:"protocols,omitempty" maxItems:"4" doc:"What entries are that do not say."`
	Pool      string            `json:"pool,omitempty" maxLength:"64"`
	Schedule  string            `json:"schedule,omitempty" maxLength:"100"`
	Pages     scraper.Pages     `json:"pages,omitempty"`
	Days      int               `json:"days,omitempty"`
	HTML      map[string]string `json:"html,omitempty"`
	JSON      map[string]string `json:"json,omitempty"`
	MinYield  int               `json:"min_yield,omitempty"`
	Via       string            `json:"via,omitempty" enum:"pool,direct,"`
}

func (a *API) addSource(_ context.Context, in *struct{ Body NewSource }) (*struct{ Body scraper.Result }, error) {
	b := in.Body
	err := a.env.Scraper.Add(scraper.Source{Name: b.Name, URL: b.URL, As: b.As, Protocols: b.Protocols, Pool: b.Pool, Schedule: b.Schedule, Pages: b.Pages, Days: b.Days,
		HTML: b.HTML, JSON: b.JSON, MinYield: b.MinYield, Via: b.Via})
	switch {
	case errors.Is(err, scraper.ErrKnown):
		return nil, problem(err)
	case err != nil:
		return nil, problem(badInput(err))
	}
	res, _ := a.source(b.Name)
	return &struct{ Body scraper.Result }{res}, nil
}

func (a *API) removeSource(_ context.Context, in *SourceInput) (*struct{}, error) {
	return nil, problem(a.env.Scraper.Remove(in.Name))
}

func (a *API) source(name string) (scraper.Result, bool) {
	for _, r := range a.env.Scraper.Results() {
		if r.Name == name {
			return r, true
		}
	}
	return scraper.Result{}, false
}

func unknownSource(name string) error {
	return fmt.Errorf("%w: no source has the name %q; GET /api/sources lists them", errNotFound, clip(name))
}
