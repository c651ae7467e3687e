package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"

	"freeway/internal/access"
	"freeway/proxy"
	"freeway/scraper"
)

// sourceRow is one list.
type sourceRow struct {
	scraper.Result
	Spark []int // live proxies of late
}

// sourcesData is the table of lists.
type sourcesData struct {
	Rows   []sourceRow
	CanAdd bool
}

func (d *Dashboard) sources(*http.Request) (any, error) {
	if d.env.Scraper == nil {
		return sourcesData{}, nil
	}
	out := sourcesData{CanAdd: d.env.AddSource != nil}
	for _, r := range d.env.Scraper.Results() {
		out.Rows = append(out.Rows, sourceRow{r, d.history.spark(r.Name)})
	}
	sort.SliceStable(out.Rows, func(i, j int) bool {
		a, b := &out.Rows[i], &out.Rows[j]
		if a.Enabled != b.Enabled {
			return a.Enabled
		}
		return cmp.Or(cmp.Compare(b.Worth.Live, a.Worth.Live), cmp.Compare(a.Name, b.Name)) < 0
	})
	return out, nil
}

func (d *Dashboard) runSource(r *http.Request) (any, error) {
	name := r.PathValue("name")
	res, err := d.env.Scraper.RunNow(r.Context(), name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return note{Text: fmt.Sprintf("%s: %d endpoints, %d of them new.", name, res.Candidates, res.Yield.New)}, nil
}

func (d *Dashboard) enableSource(r *http.Request) (any, error) {
	name, on := r.PathValue("name"), r.FormValue("on") == "true"
	if err := d.env.Scraper.Enable(name, on); err != nil {
		return nil, err
	}
	if on {
		return note{Text: name + " is switched on."}, nil
	}
	return note{Text: name + " is switched off."}, nil
}

// sourceTest is what a list that was tried gave.
type sourceTest struct {
	Source  scraper.Source
	Result  scraper.Result
	Samples []proxy.Candidate
	Refused []share
	CanAdd  bool
	Err     string
}

// samplesShown are how many of the endpoints found are shown.
const samplesShown = 10

// tried reads the form of a new source.
func tried(r *http.Request) (scraper.Source, error) {
	src := scraper.Source{Name: strings.TrimSpace(r.FormValue("name")), URL: strings.TrimSpace(r.FormValue("url")), As: r.FormValue("as")}
	if src.URL == "" {
		return src, errors.New("give the address of the list")
	}
	if p := r.FormValue("protocol"); p != "" {
		src.Protocols = []string{p}
	}
	return src, nil
}

func (d *Dashboard) testSource(r *http.Request) (any, error) {
	src, err := tried(r)
	if err != nil {
		return nil, err
	}
	out := sourceTest{Source: src, CanAdd: d.env.AddSource != nil}
	if out.Result, err = d.env.Scraper.Fetch(r.Context(), src); err != nil {
		out.Err = err.Error()
	}
	out.Samples = out.Result.Found[:min(len(out.Result.Found), samplesShown)]
	for _, reason := range slices.Sorted(maps.Keys(out.Result.Refused)) {
		out.Refused = append(out.Refused, share{Name: reason, N: out.Result.Refused[reason]})
	}
	return out, nil
}

func (d *Dashboard) addSource(r *http.Request) (any, error) {
	src, err := tried(r)
	if err == nil && src.Name == "" {
		err = errors.New("give the source a name")
	}
	if err == nil && d.env.AddSource == nil {
		err = errors.New("sources cannot be added here")
	}
	if err == nil {
		err = d.env.AddSource(r.Context(), src)
	}
	if err != nil {
		return nil, err
	}
	return note{Text: src.Name + " is added and will be read now."}, nil
}

// configData is the page of the configuration.
type configData struct {
	Settings  []Setting
	CanReload bool
	Last      ReloadResult
}

func (d *Dashboard) config(*http.Request) (any, error) {
	out := configData{CanReload: d.env.Reload != nil}
	if d.env.Settings != nil {
		out.Settings = d.env.Settings()
	}
	if d.env.Reloaded != nil {
		out.Last = d.env.Reloaded()
	}
	return out, nil
}

func (d *Dashboard) reload(r *http.Request) (any, error) {
	switch {
	case d.env.Reload == nil:
		return nil, errors.New("there is nothing to reload here")
	case access.From(r.Context()).Role < access.Admin:
		return nil, errors.New("only an admin may reload the configuration")
	}
	if err := d.env.Reload(r.Context()); err != nil {
		return nil, err
	}
	return note{Text: "The configuration was read again."}, nil
}
