package api

import (
	"context"
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
