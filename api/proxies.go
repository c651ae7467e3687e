package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/pool"
	"freeway/proxy"
)

// Filters are the filter parameters, the same everywhere. Values are
// case-insensitive; several are separated by commas.
type Filters struct {
	Protocol   string `query:"protocol" doc:"http, https, socks4, socks5; several by comma."`
	Country    string `query:"country" doc:"Of the exit, two letters; several by comma." example:"us,de"`
	ASN        string `query:"asn" doc:"Of the exit, 24940 or AS24940; several by comma."`
	Anonymity  string `query:"anonymity" doc:"At least transparent, anonymous or elite."`
	Tunnel     string `query:"tunnel" doc:"true: reaches port 443."`
	MaxLatency string `query:"max_latency" doc:"In milliseconds."`
	MinScore   string `query:"min_score" doc:"0 to 1."`
	Source     string `query:"source" doc:"Name of a source; several by comma."`
	Pool       string `query:"pool" doc:"Label of the sources; several by comma."`
	Exit       string `query:"exit" doc:"Exit address or range; several by comma." example:"1.2.3.0/24"`
	Target     string `query:"target" doc:"Name of a per-target check that must have passed; several by comma."`
	State      string `query:"state" doc:"new, live, resting, dead, unsafe; several by comma."`
	URL        string `query:"url" doc:"One endpoint, as in the url field."`
}

func (f Filters) parse() (proxy.Filter, error) {
	var out proxy.Filter
	var errs []error
	for _, kv := range [][2]string{
		{"protocol", f.Protocol}, {"country", f.Country}, {"asn", f.ASN}, {"anonymity", f.Anonymity}, {"tunnel", f.Tunnel},
		{"max_latency", f.MaxLatency}, {"min_score", f.MinScore}, {"source", f.Source}, {"pool", f.Pool}, {"exit", f.Exit},
		{"target", f.Target}, {"state", f.State}, {"url", f.URL},
	} {
		if kv[1] != "" {
			errs = append(errs, out.Set(kv[0], kv[1]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return out, badInput(err)
	}
	return out, nil
}

// Page is a list as json.
type Page struct {
	Items []Proxy `json:"items"`
	Total int     `json:"total" doc:"How many match, on all pages."`
	Next  string  `json:"next" doc:"Cursor of the next page; empty on the last."`
}

type listInput struct {
	Filters
	Format   string `query:"format" enum:"json,ndjson,csv,txt,proxychains,pac,clash,sing-box,foxyproxy,haproxy,squid,scrapy" default:"json" doc:"All but json give every match. The files for other programs hold live proxies where no state is asked for, and only what the program can use."`
	Fields   string `query:"fields" doc:"Fields of a proxy to show, in json, ndjson and csv; several by comma." example:"url,score"`
	Sort     string `query:"sort" default:"-score" doc:"A field: score, latency, last_checked, last_live, first_seen, next_check, country, url; a minus turns the order around."`
	Limit    int    `query:"limit" minimum:"1" doc:"Of a page of json, 50 when it is not given; of everything in the other formats, which have no limit when it is not given."`
	Cursor   string `query:"cursor" doc:"The next of the page before."`
	Distinct string `query:"distinct" enum:"exit_ip,asn,country" doc:"At most one, the best, for each value."`
	IfNone   string `header:"If-None-Match" doc:"The ETag of an earlier answer: 304 when nothing has changed."`
}

func (a *API) registerProxies(h huma.API) {
	list := huma.Operation{OperationID: "list-proxies", Method: http.MethodGet, Path: "/api/proxies", Summary: "List proxies", Tags: []string{"proxies"}}
	list.Responses = listResponses(h)
	huma.Register(h, list, a.list)
	random := huma.Operation{OperationID: "random-proxy", Method: http.MethodGet, Path: "/api/proxies/random",
		Summary: "Draw a proxy as the gateway would", Tags: []string{"proxies"},
		Description: "Without n one object; with n a list of at most n different ones. 404 with a reason when there is none."}
	random.Responses = randomResponses(h)
	huma.Register(h, random, a.random)
	huma.Register(h, huma.Operation{OperationID: "get-proxy", Method: http.MethodGet, Path: "/api/proxies/{id}",
		Summary: "One proxy with its history", Tags: []string{"proxies"}, Errors: []int{404}}, a.one)
	huma.Register(h, huma.Operation{OperationID: "delete-proxy", Method: http.MethodDelete, Path: "/api/proxies/{id}", DefaultStatus: http.StatusNoContent,
		Summary: "Remove a proxy and keep it out for 30 days", Tags: []string{"proxies"}, Errors: []int{404}}, a.remove)
	huma.Register(h, huma.Operation{OperationID: "check-proxy", Method: http.MethodPost, Path: "/api/proxies/{id}/check", DefaultStatus: http.StatusAccepted,
		Summary: "Check a proxy now", Tags: []string{"proxies"}, Errors: []int{404}}, a.check)
	huma.Register(h, huma.Operation{OperationID: "rest-proxy", Method: http.MethodPost, Path: "/api/proxies/{id}/rest", DefaultStatus: http.StatusAccepted,
		Summary: "Keep a proxy from use for a while", Tags: []string{"proxies"}, Errors: []int{404, 422}}, a.rest)
	huma.Register(h, huma.Operation{OperationID: "add-proxies", Method: http.MethodPost, Path: "/api/proxies", MaxBodyBytes: maxList,
		Summary: "Add endpoints", Tags: []string{"proxies"}, Errors: []int{413, 422},
		Description: "The body is text in any list format, or JSON. What is accepted is on disk when the answer comes."}, a.add)
}

func listResponses(h huma.API) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "The list.", Content: map[string]*huma.MediaType{
		"application/json":     {Schema: h.OpenAPI().Components.Schemas.Schema(typeOf[Page](), true, "Page")},
		"application/x-ndjson": {Schema: &huma.Schema{Type: "string"}},
		"text/csv":             {Schema: &huma.Schema{Type: "string"}},
		"text/plain":           {Schema: &huma.Schema{Type: "string"}},
		"application/yaml":     {Schema: &huma.Schema{Type: "string"}},

		"application/x-ns-proxy-autoconfig": {Schema: &huma.Schema{Type: "string"}},
		"text/x-python":                     {Schema: &huma.Schema{Type: "string"}},
	}}, "304": {Description: "Nothing has changed since the ETag of If-None-Match."}}
}

func randomResponses(h huma.API) map[string]*huma.Response {
	r := h.OpenAPI().Components.Schemas
	return map[string]*huma.Response{"200": {Description: "The proxy, or a list with n.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{r.Schema(typeOf[Proxy](), true, "Proxy"), r.Schema(typeOf[Page](), true, "Page")}}},
		"text/plain":       {Schema: &huma.Schema{Type: "string"}},
	}}}
}

func (a *API) list(_ context.Context, in *listInput) (*huma.StreamResponse, error) {
	f, err := in.parse()
	fields, ferr := parseFields(in.Fields)
	if err := cmp.Or(err, ferr, checkFields(in.Format, fields)); err != nil {
		return nil, problem(err)
	}
	if _, ok := exports[in.Format]; ok && len(f.States) == 0 {
		f.States = []proxy.State{proxy.Live}
	}
	if in.Format == "json" && in.Limit > maxPage {
		return nil, problem(badInput(fmt.Errorf("limit: at most %d for json; the other formats have no limit", maxPage)))
	}
	q := pool.Query{Filter: f, Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor, Distinct: in.Distinct}
	if in.Format != "json" {
		all, err := a.env.Pool.Each(q)
		if err != nil {
			return nil, problem(badInput(err))
		}
		tag := a.streamTag(in)
		if matches(in.IfNone, tag) {
			return notModified(tag), nil
		}
		if x, ok := exports[in.Format]; ok {
			all = x.usableBy(all)
		}
		return stream(in.Format, fields, tag, first(in.Limit, all)), nil
	}
	entries, total, next, err := a.env.Pool.List(q)
	if err != nil {
		return nil, problem(badInput(err))
	}
	if fields == nil {
		return answerTagged(Page{views(entries), total, next}, next, in.IfNone), nil
	}
	page := partialPage{Items: []any{}, Total: total, Next: next}
	for _, e := range entries {
		page.Items = append(page.Items, fields.of(View(e)))
	}
	return answerTagged(page, next, in.IfNone), nil
}

// partialPage is Page with some fields only.
type partialPage struct {
	Items []any  `json:"items"`
	Total int    `json:"total"`
	Next  string `json:"next"`
}

// maxPage is the largest page of json.
const maxPage = 1000

// first ends a sequence after n entries; 0 leaves it as it is.
func first(n int, all iter.Seq[proxy.Entry]) iter.Seq[proxy.Entry] {
	if n == 0 {
		return all
	}
	return func(yield func(proxy.Entry) bool) {
		left := n
		for e := range all {
			if left--; !yield(e) || left == 0 {
				return
			}
		}
	}
}

func views(entries []proxy.Entry) []Proxy {
	out := make([]Proxy, len(entries))
	for i, e := range entries {
		out[i] = View(e)
	}
	return out
}

type randomInput struct {
	Filters
	Format string `query:"format" enum:"json,txt" default:"json" doc:"txt gives bare URLs, one a line."`
	N      int    `query:"n" minimum:"0" maximum:"1000" doc:"How many different ones; 0 gives one object."`
	Wait   string `query:"wait" doc:"How long to wait for one, at most 60s." example:"5s"`
}

// maxWait bounds how long a client can hold a request open.
const maxWait = time.Minute

func (a *API) random(ctx context.Context, in *randomInput) (*huma.StreamResponse, error) {
	f, err := in.parse()
	if err != nil {
		return nil, problem(err)
	}
	if len(f.States) > 0 && !slices.Equal(f.States, []proxy.State{proxy.Live}) {
		return nil, problem(badInput(errors.New("state: only live proxies are handed out; leave it away")))
	}
	wait, err := parseWait(in.Wait)
	if err != nil {
		return nil, problem(err)
	}
	drawn, err := a.draw(ctx, proxy.Want{Filter: f}, max(in.N, 1), wait)
	if err != nil {
		return nil, withRetryAfter(err)
	}
	switch {
	case in.Format == "txt":
		return stream("txt", nil, "", slices.Values(drawn)), nil
	case in.N == 0:
		return answerJSON(View(drawn[0])), nil
	}
	return answerJSON(Page{Items: views(drawn), Total: len(drawn)}), nil
}

func parseWait(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxWait {
		return 0, badInput(fmt.Errorf("wait: bad duration %q; write for example 5s, at most %v", s, maxWait))
	}
	return d, nil
}

// draw picks n different proxies, fewer when there are no more. It waits for
// the first one as long as wait.
func (a *API) draw(ctx context.Context, want proxy.Want, n int, wait time.Duration) ([]proxy.Entry, error) {
	want.Pools = a.pools(want.Filter)
	want.Avoid = slices.Clone(want.Avoid)
	if wait > 0 {
		waiting, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err := a.env.Pool.Wait(waiting, want); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	var out []proxy.Entry
	for len(out) < n {
		lease, err := a.env.Pool.Pick(ctx, want)
		if err != nil {
			if len(out) > 0 {
				return out, nil
			}
			return nil, err
		}
		lease.Close()
		out = append(out, lease.Entry)
		want.Avoid = append(want.Avoid, lease.Entry.Endpoint)
	}
	return out, nil
}

// pools are those of the filter, else those that the gateway draws from.
func (a *API) pools(f proxy.Filter) []string {
	if len(f.Pools) > 0 || a.env.Pools == nil {
		return f.Pools
	}
	return a.env.Pools()
}

type idInput struct {
	ID string `path:"id" maxLength:"64" doc:"The id field of a proxy."`
}

func (a *API) one(_ context.Context, in *idInput) (*struct{ Body Detail }, error) {
	d, ok := a.env.Pool.Get(in.ID)
	if !ok {
		return nil, problem(notKnown(in.ID))
	}
	return &struct{ Body Detail }{detail(d)}, nil
}

func notKnown(id string) error { return notKnownAs("proxy", id) }

func notKnownAs(what, id string) error {
	return fmt.Errorf("%w: there is no %s %q", errNotFound, what, clip(id))
}

func (a *API) remove(ctx context.Context, in *idInput) (*struct{}, error) {
	ok, err := a.env.Pool.Delete(ctx, in.ID)
	if err == nil && !ok {
		err = notKnown(in.ID)
	}
	return nil, problem(err)
}

type noteOutput struct {
	Body struct {
		Note string `json:"note"`
	}
}

func (a *API) check(_ context.Context, in *idInput) (*noteOutput, error) {
	if !a.env.Pool.CheckNow(in.ID) {
		return nil, problem(notKnown(in.ID))
	}
	out := &noteOutput{}
	out.Body.Note = "it is next in the queue"
	return out, nil
}

type restInput struct {
	ID  string `path:"id" maxLength:"64" doc:"The id field of a proxy."`
	For string `query:"for" default:"10m" doc:"How long, at most 720h; 0s lets it be used again. A restart forgets it."`
}

func (a *API) rest(_ context.Context, in *restInput) (*noteOutput, error) {
	d, err := time.ParseDuration(in.For)
	if err != nil || d < 0 || d > pool.MaxRest {
		return nil, problem(badInput(fmt.Errorf("for: bad duration %q; write for example 10m, at most %v", clip(in.For), pool.MaxRest)))
	}
	if !a.env.Pool.Rest(in.ID, d) {
		return nil, problem(notKnown(in.ID))
	}
	out := &noteOutput{}
	if out.Body.Note = "it is not used for " + d.String(); d == 0 {
		out.Body.Note = "it may be used again"
	}
	return out, nil
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
