package main

import (
	"slices"
	"strings"
	"testing"
)

// TestWrapRows: no word is lost and no line is too long, except for a word that
// is longer than a line.
func TestWrapRows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 70)
	rows := [][]string{{"ok", "judges", "public ones, at most 2 requests a second each"}, {"BAD", "store", long + " is broken"}, {"ok", "é", ""}}
	for _, width := range []int{33, 40, 80, 200} {
		var b strings.Builder
		out := wrapRows(rows, width)
		if err := columns(&b, out); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > width && !strings.Contains(line, long) {
				t.Errorf("width %d: %q has %d letters", width, line, n)
			}
		}
		var want, got []string
		for _, r := range rows {
			want = append(want, strings.Fields(strings.Join(r, " "))...)
		}
		if got = strings.Fields(b.String()); !slices.Equal(got, want) {
			t.Errorf("width %d: %q, want the words of %q", width, got, want)
		}
	}
	if got := wrapRows(rows, 20); !slices.EqualFunc(got, rows, slices.Equal) {
		t.Errorf("width 20: %q, want the rows as they are", got)
	}
}
