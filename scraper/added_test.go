package scraper_test

import (
	"errors"
	"strings"
	"testing"

	"freeway/proxy"
	"freeway/scraper"
)

// book is a notebook in memory.
type book map[string][]byte

func (b book) Recall(key string) []byte    { return b[key] }
func (b book) Note(key string, doc []byte) { b[key] = doc }

// Sources that were added survive a restart and a new configuration, and can be
// taken away again.
func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	notes := book{}
	reopen := func() *scraper.Scraper {
		s, err := scraper.Open(scraper.Config{}, scraper.Sources{List: []scraper.Source{{Name: "mine", URL: "http://127.0.0.1:9/mine"}}}, scraper.Env{Notebook: notes})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	names := func(s *scraper.Scraper) string {
		var out []string
		for _, r := range s.Results() {
			if !strings.Contains(r.URL, "127.0.0.1") {
				continue // the catalogue
			}
			out = append(out, r.Name)
		}
		return strings.Join(out, " ")
	}
	s := reopen()
	extra := scraper.Source{Name: "extra", URL: "http://127.0.0.1:9/extra", Protocols: []string{"socks5"}, Pool: "own"}
	if err := s.Add(extra); err != nil || names(s) != "extra mine" {
		t.Fatalf("Add = %v, sources %s", err, names(s))
	}
	for _, tt := range []struct {
		name string
		src  scraper.Source
		want string
	}{
		{"twice", extra, "already"},
		{"one of the configuration", scraper.Source{Name: "mine", URL: "http://127.0.0.1:9/x"}, "already"},
		{"no name", scraper.Source{URL: "http://127.0.0.1:9/x"}, "name"},
		{"a file", scraper.Source{Name: "f", File: "/etc/passwd"}, "configuration"},
		{"a key in headers", scraper.Source{Name: "h", URL: "http://127.0.0.1:9/x", Headers: map[string]string{"Authorization": "x"}}, "keys"},
		{"a body", scraper.Source{Name: "b", URL: "http://127.0.0.1:9/x", Method: "POST", Body: proxy.NewSecret("x")}, "body"},
		{"another scheme", scraper.Source{Name: "s", URL: "file:///etc/passwd"}, "url"},
	} {
		if err := s.Add(tt.src); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Add = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
	s = reopen()
	if src, ok := s.Lookup("extra"); !ok || src.Pool != "own" || len(src.Protocols) != 1 || names(s) != "extra mine" {
		t.Errorf("after a restart: %+v, sources %s", src, names(s))
	}
	if err := s.Apply(scraper.Config{}, scraper.Sources{}); err != nil || names(s) != "extra" {
		t.Errorf("after another configuration (%v): %s, want extra", err, names(s))
	}
	if err := s.Remove("extra"); err != nil || names(s) != "" {
		t.Errorf("Remove = %v, sources %s", err, names(s))
	}
	if err := s.Remove("extra"); !errors.Is(err, scraper.ErrUnknown) {
		t.Errorf("Remove again = %v, want ErrUnknown", err)
	}
	if got := names(reopen()); got != "mine" {
		t.Errorf("after another restart: %s, want mine", got)
	}
}
