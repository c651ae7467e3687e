package scraper

import (
	"bytes"
)

// Tables in text. A line that names columns, at least a host and something
// else, is the head of a table of CSV; lines with its delimiter are rows until
// the end. Between bars it is a table of Markdown, with a head or not, which
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
			if i := bytes.IndexByte(line[1:], '"'); i >= 0 {
				t.add(line[1 : 1+i])
				line = line[i+2:]
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
		return nil
	}
	l.delim = best
	l.e.row.fields(line, best)
	return headOf(&l.e.row)
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
	l.e.row.fields(line, l.delim)
	// A row of as many fields as the head is a row, also when nothing is in it.
	return l.e.row.resolve(l, l.head) || l.e.row.n == len(l.head)
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
	return l.csvRow(line)
}
