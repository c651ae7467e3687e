package scraper_test

import (
	"net/url"
	"strings"
	"testing"

	"freeway/scraper"
)

func TestBuiltins(t *testing.T) {
	t.Parallel()
	on, off := 0, 0
	names, urls := map[string]bool{}, map[string]string{}
	for _, src := range scraper.Builtins() {
		if err := src.Validate(); err != nil {
			t.Errorf("%s: %v", src.Name, err)
		}
		if lower := strings.ToLower(src.Name); names[lower] || len(src.Name) > 28 || lower != src.Name {
			t.Errorf("name %q is not unique, short and in lower case", src.Name)
		}
		names[strings.ToLower(src.Name)] = true
		if other := urls[src.URL]; other != "" {
			t.Errorf("%s and %s have the same url", src.Name, other)
		}
		urls[src.URL] = src.Name
		if u, err := url.Parse(src.URL); err != nil || u.User != nil || src.File != "" || src.Pool != "" {
			t.Errorf("%s: %q is not a public list, %v", src.Name, src.URL, err)
		}
		if src.On() {
			on++
		} else {
			off++
		}
	}
	if on < 61 || off < 100 {
		t.Errorf("%d sources are on and %d off, want at least 61 and 100", on, off)
	}
}

// TestObfuscatingSitesAreOff names those that hide their tables from programs.
func TestObfuscatingSitesAreOff(t *testing.T) {
	t.Parallel()
	for _, src := range scraper.Builtins() {
		u, err := url.Parse(src.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range []string{"spys.one", "proxynova.com", "advanced.name", "proxy-list.org", "free-proxy.cz", "freeproxylists.net", "premproxy.com", "nntime.com", "proxyverity.com", "freevpnnode.com"} {
			if strings.HasSuffix(u.Hostname(), site) && src.On() {
				t.Errorf("%s is on", src.Name)
			}
		}
	}
}

func TestChoiceOfBuiltins(t *testing.T) {
	t.Parallel()
	total := len(scraper.Builtins())
	off := ""
	for _, src := range scraper.Builtins() {
		if !src.On() {
			off = src.Name
		}
	}
	own := scraper.Source{Name: "monosans", URL: "http://127.0.0.1:1/"}
	for _, c := range []struct {
		name    string
		sources scraper.Sources
		all, on int // on: -1 for some but not all
	}{
		{"none", scraper.Sources{}, 0, 0},
		{"all", scraper.Sources{Builtin: scraper.Builtin{All: true}}, total, -1},
		{"some", scraper.Sources{Builtin: scraper.Builtin{Names: []string{off, "monosans"}}}, 2, 2},
		{"replaced", scraper.Sources{Builtin: scraper.Builtin{All: true}, List: []scraper.Source{own}}, total, -1},
	} {
		r := open(t, scraper.Config{}, c.sources)
		on := 0
		for _, res := range r.Results() {
			if res.Enabled {
				on++
			}
		}
		if n := len(r.Results()); n != c.all || c.on >= 0 && on != c.on || c.on < 0 && (on < 61 || on == n) {
			t.Errorf("%s: %d sources, %d on, want %d, %d on", c.name, n, on, c.all, c.on)
		}
		if src, ok := r.Lookup("monosans"); c.name == "replaced" && (!ok || src.URL != own.URL) {
			t.Errorf("Lookup(monosans) = %+v, want the operator's", src)
		}
	}
}
