package main

import (
	"os"
	"slices"
	"unicode/utf8"

	"golang.org/x/term"
)

const (
	columnGap  = 2  // spaces between columns; see columns
	usefulLast = 24 // characters; a last column that gets fewer costs another one its place
	leastLast  = 4  // characters; with fewer the last column says nothing
)

// dispensable are the columns of the tables of sources that a narrow terminal
// does without, in the order in which they go. The name is never among them.
func dispensable() []string {
	return []string{"COST", "EVER", "CHANGED", "LATENCY", "FIRST", "NEW", "ONLY", "READ", "FORMAT", "POOL", "OFFERS", "LIVE", "ON"}
}

// lineWidth is how many characters a line of the terminal has; 0 where the
// output is none, which takes lines of any length.
func (a *app) lineWidth() int {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// fitRows makes a table at most width characters wide: it shortens the last
// column and drops others. The first row is the head; all are equally long.
// The first column stays whole, also where it alone is wider.
func fitRows(rows [][]string, width int) [][]string {
	for _, name := range dispensable() {
		if room, need := lastRoom(rows, width); room >= min(need, usefulLast) {
			break
		}
		if i := slices.Index(rows[0], name); i > 0 {
			rows = withoutColumn(rows, i)
		}
	}
	last := len(rows[0]) - 1
	room, need := lastRoom(rows, width)
	switch {
	case room >= need || last == 0:
		return rows
	case room < leastLast:
		return withoutColumn(rows, last)
	}
	short := make([][]string, len(rows))
	for i, row := range rows {
		short[i] = append(slices.Clone(row[:last]), shorten(row[last], room))
	}
	return short
}

// lastRoom is what a width leaves for the last column and what that needs.
func lastRoom(rows [][]string, width int) (room, need int) {
	last := len(rows[0]) - 1
	room = width
	for i := range last {
		room -= widest(rows, i) + columnGap
	}
	return room, widest(rows, last)
}

// widest is the length of the longest cell of a column, in characters.
func widest(rows [][]string, column int) int {
	n := 0
	for _, row := range rows {
		n = max(n, utf8.RuneCountInString(row[column]))
	}
	return n
}

// withoutColumn copies a table without one column.
func withoutColumn(rows [][]string, column int) [][]string {
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = slices.Delete(slices.Clone(row), column, column+1)
	}
	return out
}

// shorten cuts text to n characters, the last three of which then say so; n is
// at least leastLast.
func shorten(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return string(runes[:n-3]) + "..."
}
