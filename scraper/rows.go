package scraper

import (
	"bytes"
)

// Tables in text. A line that names columns, at least a host and something
// else, is the head of a table of CSV; lines with its delimiter are rows until
// the end; a field in quotes may hold line breaks. Between bars it is a table of Markdown, with a head or not, which
// ends at the first line without bars. encoding/csv is not used because a quote
// that is not closed makes it read the rest of the list as one field.

// fields splits a line of CSV at delim into the cells of row. Quotes are
// undone; a quote that is not closed is text, so no field goes beyond its line.
func (t *tableRow) fields(line []byte, delim byte) {
	t.n = 0
	// Each turn takes one field and its delimiter.
	for {
		line = bytes.TrimLeft(line, " ")
		if len(line) > 0 && line[0] == '"' {
			if i := quoteEnd(line); i >= 0 {
				t.add(line[1 : i-1])
				line = line[i:]
				if i = bytes.IndexByte(line, delim); i < 0 {
					return
				}
				line = line[i+1:]
				continue
			}
		}
		i := bytes.IndexByte(line, delim)
		if i < 0 {
			t.add(bytes.TrimRight(line, " "))
			return
		}
		t.add(bytes.TrimRight(line[:i], " "))
		line = line[i+1:]
	}
}

// csvHead finds the delimiter of a line that names columns, and what they are;
// nil when the line does not.
func (l *liner) csvHead(line []byte) columns {
	// Heads are short and begin with a word.
	if isDigit(line[0]) || len(line) > maxCellText {
		return nil
	}
	// The delimiter is what occurs most, tabs before all others.
	best, most := byte(0), 0
	for _, d := range []byte("\t;,|") {
		if n := bytes.Count(line, []byte{d}); n > most {
			best, most = d, n
		}
	}
	if most == 0 {
		best = wideGap
		if !bytes.Contains(line, []byte("  ")) {
			return nil
		}
	}
	l.delim = best
	l.e.row.split(line, best)
	return headOf(&l.e.row)
}

// wideGap stands for a delimiter of two spaces and more, as in tables whose
// columns are aligned.
const wideGap = ' '

// split splits a line at delim into the cells of row.
func (t *tableRow) split(line []byte, delim byte) {
	if delim != wideGap {
		t.fields(line, delim)
		return
	}
	t.n = 0
	for len(line) > 0 {
		i := bytes.Index(line, []byte("  "))
		if i < 0 {
			i = len(line)
		}
		t.add(line[:i])
		line = trimSpace(line[i:])
	}
}

// csvRow reads a line below a head and reports whether it was one.
func (l *liner) csvRow(line []byte) bool {
	if l.head == nil {
		if l.head = l.csvHead(line); l.head == nil {
			return false
		}
		if l.e.depth == 0 && l.e.stats.Format == "text" {
			l.e.stats.Format = "csv"
		}
		return true
	}
	// A line of another kind, below a table or between its rows.
	if bytes.IndexByte(line, l.delim) < 0 {
		return false
	}
	l.e.row.split(line, l.delim)
	// Between spaces an empty column cannot be seen.
	if l.delim == wideGap && l.e.row.n != len(l.head) {
		return false
	}
	// A row of as many fields as the head is a row, also when nothing is in it.
	return l.e.row.resolve(l, l.head) || l.e.row.n == len(l.head)
}

const (
	maxOpenRow   = 16 << 10 // of a row of CSV over several lines
	maxOpenLines = 16       // that such a row may have
)

// openRow collects the lines of a row of CSV in which a quoted field holds line
// breaks, and reports whether line belongs to one. When the quote turns out not
// to be closed near by, it was text, and the lines are read one by one.
func (l *liner) openRow(line []byte) bool {
	if l.head == nil || l.delim == wideGap || l.torn {
		return false
	}
	if len(l.open) == 0 {
		if bytes.IndexByte(line, '"') < 0 || !quoteOpen(line, l.delim) {
			return false
		}
		l.open, l.opened = append(l.open, line...), 1
		return true
	}
	// A line that is a row by itself shows that the quote was never to be closed.
	l.e.row.fields(line, l.delim)
	if l.e.row.n == len(l.head) && l.e.row.findHost(l.head) >= 0 || l.opened == maxOpenLines || len(l.open)+len(line) > maxOpenRow {
		l.closeRow()
		return l.openRow(line)
	}
	l.open, l.opened = append(append(l.open, '\n'), line...), l.opened+1
	if quoteOpen(l.open, l.delim) {
		return true
	}
	row := l.open
	l.open = l.open[:0]
	if !l.csvRow(row) {
		l.open = row
		l.closeRow()
	}
	return true
}

// closeRow reads the lines of a row that did not end one by one.
func (l *liner) closeRow() {
	rows := l.open
	l.open, l.torn = nil, true
	defer func() { l.torn = false }()
	for len(rows) > 0 {
		line, rest, _ := bytes.Cut(rows, []byte("\n"))
		if rows = rest; len(line) > 0 {
			l.shown(line, false)
		}
	}
}

// quoteOpen reports whether a quoted field of a row is not closed. A quote in
// the middle of a field is text.
func quoteOpen(b []byte, delim byte) bool {
	for len(b) > 0 {
		b = bytes.TrimLeft(b, " ")
		if len(b) == 0 || b[0] != '"' {
			i := bytes.IndexByte(b, delim)
			if i < 0 {
				return false
			}
			b = b[i+1:]
			continue
		}
		i := quoteEnd(b)
		if i < 0 {
			return true
		}
		if i = bytes.IndexByte(b[i:], delim) + i; b[max(i, 0)] != delim {
			return false
		}
		b = b[i+1:]
	}
	return false
}

// quoteEnd returns where the field that begins with a quote ends, behind its
// closing quote; -1 when it does not. Two quotes stand for one.
func quoteEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		if b[i] != '"' {
			continue
		}
		if i+1 == len(b) || b[i+1] != '"' {
			return i + 1
		}
		i++
	}
	return -1
}

// markdownRow reads a line between bars and reports whether it was a row.
func (l *liner) markdownRow(line []byte) bool {
	t := &l.e.row
	t.n = 0
	// "|---|:-:|" separates the head from the rows.
	rule := true
	for part := range bytes.SplitSeq(bytes.Trim(line, "|"), []byte("|")) {
		part = cleanMarkdown(trimSpace(part))
		rule = rule && len(part) > 0 && len(bytes.Trim(part, ":- ")) == 0
		t.add(part)
	}
	if rule || t.n < 2 {
		return rule
	}
	if head := headOf(t); head != nil {
		l.bars = head
		return true
	}
	return t.resolve(l, l.bars)
}

// cleanMarkdown takes the text of a link and drops tags.
func cleanMarkdown(b []byte) []byte {
	if i := bytes.Index(b, []byte("](")); i > 0 {
		if j := bytes.LastIndexByte(b[:i], '['); j >= 0 {
			b = b[j+1 : i]
		}
	}
	if bytes.IndexByte(b, '<') >= 0 && bytes.Contains(b, []byte("</")) {
		b = stripTags(b)
	}
	return b
}

// tabular tries a line as part of a table.
func (l *liner) tabular(line []byte) bool {
	if line[0] == '|' {
		return l.markdownRow(line)
	}
	// A table ends where its bars end.
	l.bars = nil
	return l.openRow(line) || l.csvRow(line)
}
