package scraper_test

import (
	"testing"

	"freeway/scraper"
)

// One of the catalogue is changed by naming it, and the rest stays as it is.
func TestListChangesTheCatalogue(t *testing.T) {
	t.Parallel()
	var off, on scraper.Source
	for _, b := range scraper.Builtins() {
		switch {
		case !b.On() && off.Name == "" && b.Method == "":
			off = b
		case b.On() && on.Name == "":
			on = b
		}
	}
	no := false
	sources := scraper.Sources{Builtin: scraper.Builtin{All: true}, List: []scraper.Source{
		{Name: off.Name, Schedule: "@every 2h"}, {Name: on.Name, Enabled: &no}, {Name: "mine", URL: "http://127.0.0.1:9/x"},
	}}
	if err := sources.Validate(); err != nil {
		t.Fatal(err)
	}
	all, _ := sources.Known()
	seen := 0
	for _, s := range all {
		switch s.Name {
		case off.Name:
			seen++
			if !s.On() || s.URL != off.URL || s.Schedule != "@every 2h" {
				t.Errorf("%s = %+v, want it on every 2 h", s.Name, s)
			}
		case on.Name:
			seen++
			if s.On() || s.URL != on.URL {
				t.Errorf("%s = %+v, want it off", s.Name, s)
			}
		}
	}
	if seen != 2 || len(all) != len(scraper.Builtins())+1 {
		t.Errorf("%d sources, %d of the two changed ones, want each once", len(all), seen)
	}
	bad := scraper.Sources{List: []scraper.Source{{Name: "nobody"}}}
	if err := bad.Validate(); err == nil {
		t.Error("a source without an address that is not of the catalogue is accepted")
	}
}
