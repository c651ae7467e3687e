package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"freeway/proxy"
	"freeway/scraper"
)

type addInput struct {
	Protocol    string `query:"protocol" doc:"Of entries that name none; several by comma. Without it they are found out."`
	Pool        string `query:"pool" doc:"Label of the entries; public when empty."`
	As          string `query:"as" default:"auto" doc:"The format, as in freeway scrape --as."`
	ContentType string `header:"Content-Type" doc:"A hint only."`
	RawBody     []byte `doc:"Endpoints, in any list format."`
}

// Added says what became of the endpoints of one request.
type Added struct {
	New     int                 `json:"new"`
	Known   int                 `json:"known"`
	IDs     []string            `json:"ids" doc:"Of the accepted endpoints, at most 1000."`
	Refused []scraper.Rejection `json:"refused" doc:"What looked like an endpoint and was not taken, at most 1000."`
	Dropped map[string]int      `json:"dropped,omitempty" doc:"What the pool did not take, by reason."`
}

const maxListed = 1000 // ids and refusals in one answer

func (a *API) add(ctx context.Context, in *addInput) (*struct{ Body Added }, error) {
	o, err := a.parseOptions(in)
	if err != nil {
		return nil, problem(err)
	}
	out := Added{IDs: []string{}, Refused: []scraper.Rejection{}}
	o.Rejected = func(r scraper.Rejection) {
		if len(out.Refused) < maxListed {
			out.Refused = append(out.Refused, r)
		}
	}
	var found []proxy.Candidate
	for c, err := range scraper.Parse(bytes.NewReader(in.RawBody), o) {
		if err != nil {
			return nil, problem(badInput(err))
		}
		found = append(found, c)
		if len(out.IDs) < maxListed {
			out.IDs = append(out.IDs, c.Endpoint.ID())
		}
	}
	if len(found) == 0 {
		return nil, problem(badInput(nothingIn(out.Refused)))
	}
	yield, err := a.env.Pool.Insert(ctx, found)
	if err != nil {
		return nil, problem(err)
	}
	out.New, out.Known, out.Dropped = yield.New, yield.Known, yield.Refused
	return &struct{ Body Added }{out}, nil
}

func nothingIn(refused []scraper.Rejection) error {
	if len(refused) == 0 {
		return errors.New("the body holds no endpoint; write one a line, for example socks5://1.2.3.4:1080")
	}
	r := refused[0]
	return fmt.Errorf("the body holds no endpoint that can be used; %d were refused, the first in line %d: %q: %s", len(refused), r.Line, r.Text, r.Reason)
}

func (a *API) parseOptions(in *addInput) (scraper.ParseOptions, error) {
	o := scraper.ParseOptions{As: in.As, Pool: in.Pool, Policy: a.env.Policy, ContentType: in.ContentType, MaxBytes: 2 * maxList}
	src := scraper.Source{Name: "api", File: "-", As: in.As, Pool: in.Pool}
	if in.Protocol != "" {
		src.Protocols = strings.Split(strings.ToLower(in.Protocol), ",")
	}
	if err := src.Validate(); err != nil {
		return o, badInput(err)
	}
	for _, name := range src.Protocols {
		p, err := proxy.ParseProtocol(name)
		if err != nil {
			return o, badInput(err)
		}
		o.Protocols = append(o.Protocols, p)
	}
	return o, nil
}
