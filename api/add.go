package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"freeway/pool"
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
	found := 0
	for c, err := range scraper.Parse(bytes.NewReader(in.RawBody), o) { // all is read before any is taken: a mistake takes none
		if err != nil {
			return nil, problem(badInput(err))
		}
		found++
		if len(out.IDs) < maxListed {
			out.IDs = append(out.IDs, c.Endpoint.ID())
		}
	}
	if found == 0 {
		return nil, problem(badInput(nothingIn(out.Refused)))
	}
	o.Rejected = nil
	if err := a.insert(ctx, in.RawBody, o, &out); err != nil {
		return nil, problem(err)
	}
	return &struct{ Body Added }{out}, nil
}

// portion is how many endpoints are taken at once, so that a list of a million
// costs little more memory than its text.
const portion = 20_000

// insert takes the endpoints of a body that can be read. It fails with
// pool.ErrFull when there was no room for any.
func (a *API) insert(ctx context.Context, body []byte, o scraper.ParseOptions, out *Added) error {
	part := make([]proxy.Candidate, 0, portion)
	var full error
	take := func() error {
		yield, err := a.env.Pool.Insert(ctx, part)
		out.count(yield)
		part = part[:0]
		if errors.Is(err, pool.ErrFull) {
			full, err = err, nil
		}
		return err
	}
	for c, err := range scraper.Parse(bytes.NewReader(body), o) {
		if err != nil {
			return badInput(err)
		}
		if part = append(part, c); len(part) == portion {
			if err := take(); err != nil {
				return err
			}
		}
	}
	if len(part) > 0 {
		if err := take(); err != nil {
			return err
		}
	}
	if out.New+out.Known > 0 {
		return nil
	}
	return full
}

// count adds what the pool made of a portion.
func (out *Added) count(y proxy.Yield) {
	out.New += y.New
	out.Known += y.Known
	for why, n := range y.Refused {
		if out.Dropped == nil {
			out.Dropped = map[string]int{}
		}
		out.Dropped[why] += n
	}
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
