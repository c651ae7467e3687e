package config

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Error is one mistake in the configuration.
type Error struct {
	Where string // "freeway.yaml:12", "$FREEWAY_GATEWAY_LISTEN", "--listen", or "" when it comes from no single place
	Path  string // the key, for example "gateway.retry.attempts"; "" for the file as a whole
	Msg   string // what is wrong and what to write instead

	line  int    // for the order of the messages
	other *Error // the same mistake, told of the value with which this one clashes
}

// Error prints "freeway.yaml:12: gateway.listen: what is wrong".
func (e Error) Error() string {
	var parts []string
	for _, p := range []string{e.Where, e.Path, e.Msg} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// Errors holds all mistakes of one configuration, in the order of the file,
// then those of the environment, the flags and the whole. It is never empty
// when it is returned as an error.
type Errors []Error

// Error prints one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// add appends a mistake.
func (e *Errors) add(where, path, format string, args ...any) {
	*e = append(*e, Error{Where: where, Path: path, Msg: fmt.Sprintf(format, args...)})
}

// err returns the sorted list, or nil when there is no mistake.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	sort.SliceStable(e, func(i, j int) bool {
		a, b := e[i].line, e[j].line
		if a == 0 || b == 0 {
			return a > b
		}
		return a < b
	})
	return e
}

// nearest returns the candidate with the smallest edit distance to s; of
// several the first in the alphabet.
func nearest(s string, candidates []string) string {
	best, least := "", 1<<30
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// isNear reports whether a typing mistake could explain the difference.
func isNear(a, b string) bool {
	return distance(strings.ToLower(a), strings.ToLower(b)) <= max(1, min(len(a), len(b))/3)
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour (optimal string alignment). Only the first 64 bytes count.
func distance(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// clip keeps foreign text in messages short and printable.
func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return fmt.Sprintf("%q", s)
}
