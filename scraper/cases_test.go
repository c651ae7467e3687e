package scraper_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"freeway/scraper"
)

// TestCases reads small lists in every shape that is known, each with what a
// careful reader takes out of it. "hint" is what the source says of its
// entries, "-" nothing. A new shape is a line in testdata/cases.jsonl.
func TestCases(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		var c struct {
			Name, In, Hint string
			Want           []string
		}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		got := found(t, c.In, scraper.ParseOptions{Protocols: hintOf(t, c.Hint)})
		if slices.Sort(got); !slices.Equal(got, c.Want) {
			t.Errorf("%s: Parse(%q) = %q, want %q", c.Name, c.In, got, c.Want)
		}
	}
	if err := in.Err(); err != nil {
		t.Error(err)
	}
}
