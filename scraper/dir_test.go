package scraper_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freeway/scraper"
)

// fill writes files into a new folder.
func fill(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDir(t *testing.T) {
	t.Parallel()
	dir := fill(t, map[string]string{
		"my list.txt":   entries(0, 3),
		"paid.txt":      entries(10, 4),
		"clash.yaml":    "proxies:\n  - {name: file, type: http, server: 5.5.5.5, port: 80}\n",
		".hidden":       entries(20, 1),
		"backup.txt~":   entries(30, 1),
		"many.yaml":     "sources:\n  - name: paid\n    file: paid.txt\n    pool: paid\n    protocols: [socks5]\n  - {name: web, url: 'http://127.0.0.1:1/', enabled: false}\n",
		"one.yml":       "name: one\nurl: http://127.0.0.1:1/\nenabled: false\n",
		"row.yaml":      "- {name: row, url: 'http://127.0.0.1:1/', enabled: false}\n",
		"mistake.yaml":  "name: mistake\nurl: ftp://127.0.0.1:1/\n",
		"unknown.yaml":  "sources:\n  - {name: x, url: 'http://127.0.0.1:1/', colour: red}\n",
		"unclosed.yaml": "sources:\n  - {name: x, url: 'http://127.0.0.1:1/\n",
		"taken.txt":     entries(0, 1),
	})
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := open(t, scraper.Config{}, scraper.Sources{Dir: dir, List: []scraper.Source{{Name: "taken.txt", URL: "http://127.0.0.1:1/"}}})
	want := map[string]string{ // what the error holds
		"my-list.txt": "", "paid": "", "clash.yaml": "", "web": "", "one": "", "row": "", "taken.txt": "",
		"mistake": "not an http", "unknown.yaml": "colour", "unclosed.yaml": "read definitions",
	}
	for _, res := range r.Results() {
		text, ok := want[res.Name]
		if !ok || !strings.Contains(res.Err, text) || text == "" && res.Err != "" || text != "" && res.Enabled {
			t.Errorf("source %s (%s): error %q, want %q", res.Name, res.URL, res.Err, text)
		}
		delete(want, res.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing sources: %v", want)
	}
	if res, err := r.once(t, "paid"); err != nil || res.Candidates != 4 || res.Pool != "paid" || r.pool.sets["paid"][0].Endpoint.Protocol.String() != "socks5" {
		t.Errorf("RunNow(paid) = %+v, %v, want 4 of pool paid", res, err)
	}
	if res, err := r.once(t, "my-list.txt"); err != nil || res.Candidates != 3 {
		t.Errorf("RunNow(my-list.txt) = %+v, %v, want 3", res, err)
	}
	if _, err := r.once(t, "mistake"); err == nil {
		t.Error("RunNow(mistake) = nil, want the mistake")
	}
	if err := r.Enable("mistake", true); err == nil {
		t.Error("Enable(mistake) = nil, want the mistake")
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	dir := fill(t, map[string]string{"a.txt": entries(0, 3), "b.yaml": "name: b\nurl: http://127.0.0.1:1/\nenabled: false\n", "c.yaml": "name: c\nurl: ftp://127.0.0.1:1/\n"})
	for _, c := range []struct {
		name    string
		builtin scraper.Builtin
		on      []string // of those looked at
	}{
		{"none", scraper.Builtin{}, []string{"a.txt", "own"}},
		{"all", scraper.Builtin{All: true}, []string{"a.txt", "own", "monosans"}},
		{"some", scraper.Builtin{Names: []string{"spys-one"}}, []string{"a.txt", "own", "spys-one"}},
	} {
		s := scraper.Sources{Builtin: c.builtin, Dir: dir, List: []scraper.Source{{Name: "own", URL: "http://127.0.0.1:1/"}}}
		all, mistakes := s.Known()
		if len(all) != len(scraper.Builtins())+4 || len(mistakes) != 1 || mistakes["c"] == nil {
			t.Errorf("%s: Known() = %d sources, mistakes %v, want all and one about c", c.name, len(all), mistakes)
		}
		for _, src := range all {
			switch src.Name {
			case "a.txt", "b", "c", "own", "monosans", "spys-one":
				if want := slices.Contains(c.on, src.Name); src.On() != want {
					t.Errorf("%s: %s is on: %v, want %v", c.name, src.Name, src.On(), want)
				}
			}
		}
	}
}

func TestDirIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := fill(t, map[string]string{"a.txt": entries(0, 3)})
		r := open(t, scraper.Config{}, scraper.Sources{Dir: dir})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, ".b"), []byte(entries(100, 5)), 0o600),
			os.Rename(filepath.Join(dir, ".b"), filepath.Join(dir, "b.txt"))); err != nil { // a look in between would find it empty
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if err := os.Remove(filepath.Join(dir, "a.txt")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		for name, want := range map[string]int{"a.txt": 0, "b.txt": 5} {
			if n, adds := r.pool.has(name); n != want || adds != 1 {
				t.Errorf("%s names %d endpoints after %d runs, want %d after 1", name, n, adds, want)
			}
		}
		if all := r.Results(); len(all) != 1 || all[0].Name != "b.txt" {
			t.Errorf("Results() = %+v, want b.txt", all)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}

func TestAMissingDirHoldsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	r := open(t, scraper.Config{}, scraper.Sources{Dir: dir})
	if n := len(r.Results()); n != 0 {
		t.Errorf("%d sources in a folder that is missing", n)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(entries(0, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if all := r.Results(); len(all) != 1 || all[0].Name != "a.txt" {
		t.Errorf("Results() = %+v, want the new file", all)
	}
	if res, err := r.once(t, "a.txt"); err != nil || res.Candidates != 3 {
		t.Errorf("RunNow() of a new file = %+v, %v, want 3", res, err)
	}
	if err := os.Rename(filepath.Join(dir, "a.txt"), filepath.Join(dir, "b.txt")); err != nil {
		t.Fatal(err)
	}
	if err := r.Enable("b.txt", false); err != nil {
		t.Errorf("Enable() of a new file = %v", err)
	}
	if n, _ := r.pool.has("a.txt"); n != 0 {
		t.Errorf("a file that is gone still names %d endpoints", n)
	}
}
