package main

import (
	"strings"
	"unicode/utf8"
)

// minWrapped is the narrowest last column that is worth breaking lines for.
const minWrapped = 20

// wrapRows breaks the last cell of each row, which is a text, so that rows fit a
// screen; the lines that this makes have empty cells before it. A word that is
// too long stays whole, as it may be a path to copy.
func wrapRows(rows [][]string, width int) (out [][]string) {
	before := 0
	if len(rows) > 0 {
		for i := range len(rows[0]) - 1 {
			widest := 0
			for _, row := range rows {
				widest = max(widest, utf8.RuneCountInString(row[i]))
			}
			before += widest + 2 // as columns pads
		}
	}
	room := width - before
	if room < minWrapped {
		return rows
	}
	for _, row := range rows {
		last := len(row) - 1
		for i, line := range wrapText(row[last], room) {
			next := make([]string, len(row))
			if i == 0 {
				copy(next, row)
			}
			next[last] = line
			out = append(out, next)
		}
	}
	return out
}

// wrapText breaks a text between words into lines of at most room letters.
func wrapText(text string, room int) (lines []string) {
	line, n := "", 0
	for _, word := range strings.Fields(text) {
		k := utf8.RuneCountInString(word)
		if line != "" && n+1+k > room {
			lines = append(lines, line)
			line, n = "", 0
		}
		if line != "" {
			line, n = line+" ", n+1
		}
		line, n = line+word, n+k
	}
	return append(lines, line)
}
