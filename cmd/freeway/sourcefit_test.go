package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"freeway/scraper"
)

// TestSourcesFitTheTerminal: whatever the width, no line is longer, every name
// is whole, and what is left out is what matters least.
func TestSourcesFitTheTerminal(t *testing.T) {
	t.Parallel()
	const name = "a-name-of-twenty-eight-signs"
	full := [][]string{
		{"NAME", "OFFERS", "NEW", "ONLY", "LIVE", "FIRST", "EVER", "LATENCY", "COST", "CHANGED", "READ", "RESULT"},
		{name, "120000", "6", "4", "1", "37.5%", "25.0%", "812ms", "1.2M/5/7s", "300d", "2h", "the server answered 503 and ünïcode " + strings.Repeat("x", 200)},
		{"b", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "not read yet"},
	}
	configured := [][]string{{"NAME", "ON", "POOL", "FORMAT", "WHERE"}, {name, "yes", "public", "-", "https://example.com/" + strings.Repeat("long/", 40)}}
	for _, rows := range [][][]string{full, configured} {
		before := len(rows[0]) + 1
		for width := 1000; width > 0; width-- {
			got := fitRows(rows, width)
			var b bytes.Buffer
			if err := columns(&b, got); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, " \n")); n > max(width, len(name)) {
					t.Fatalf("width %d: a line of %d characters: %q", width, n, line)
				}
			}
			if !strings.Contains(b.String(), name) || len(got[0]) > before {
				t.Fatalf("width %d: the name is cut, or a column comes back:\n%s", width, &b)
			}
			before = len(got[0])
		}
	}
	for width, want := range map[int]string{
		1000: strings.Join(full[0], " "), 120: "NAME OFFERS NEW ONLY LIVE FIRST EVER LATENCY CHANGED READ RESULT", 80: "NAME OFFERS ONLY LIVE READ RESULT", 20: "NAME",
	} {
		if got := strings.Join(fitRows(full, width)[0], " "); got != want {
			t.Errorf("width %d has the columns %q, want %q", width, got, want)
		}
	}
	short := [][]string{{"NAME", "RESULT"}, {"a", "ok"}}
	if got := fitRows(short, 80); len(got[0]) != 2 || got[1][1] != "ok" {
		t.Errorf("fitRows(%v) = %v, want no change", short, got)
	}
}

// TestConfiguredSourcesAsJSON: without a server the JSON is of the same form.
func TestConfiguredSourcesAsJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "freeway.yaml")
	text := "admin: {listen: '127.0.0.1:1'}\nsources: {builtin: false, list: [{name: own, url: 'http://bob:hunter2@127.0.0.1:1/?key=hunter2', pool: paid, as: csv}, {name: idle, file: x, enabled: false}]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for all, want := range map[string]int{"--all=false": 1, "--all": 2} {
		code, out, errs := command(t, nil, "sources", "--config", path, "--format", "json", all)
		var items []scraper.Result
		if err := json.Unmarshal([]byte(out), &items); err != nil || code != 0 || !strings.Contains(errs, "no server is running") {
			t.Fatalf("sources --format json %s = %d, %v, %s:\n%s", all, code, err, errs, out)
		}
		on := 0
		for _, r := range items {
			if r.Enabled {
				on++
			}
			if r.Name == "own" && (r.Pool != "paid" || r.Format != "csv" || !r.LastRun.IsZero()) {
				t.Errorf("own = %+v", r)
			}
		}
		if n := len(items); n < want || want == 1 && n != on || strings.Contains(out, "hunter2") {
			t.Errorf("sources --format json %s prints %d sources, %d on, want %d, and no secret:\n%s", all, n, on, want, out)
		}
	}
	if code, _, errs := command(t, nil, "sources", "--config", path, "--format", "json", "--server", "http://127.0.0.1:1"); code != 1 {
		t.Errorf("sources of a server that was named and does not run = %d, %s", code, errs)
	}
}
