package scraper

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
)

// liner reads text line by line. What it finds goes to put, which must not
// keep the entry or what it points to.
//
// Lines that are switched off with #, ; or // hold no entries. They and other
// lines without one may be headings, such as "### SOCKS5 ###", which say the
// protocol of the lines below until the next heading.
//
// Of every list, the commonest by far is address:port and a line break; it
// takes a way of its own through plain, without any of the above.
type liner struct {
	e         *emitter
	put       func(*entry)
	section   protoSet // of the heading above; 0: none
	bySection bool     // the protocol of the entry given is that of the heading
	chains    bool     // below "[ProxyList]", where logins follow ports behind spaces
	tables    bool     // lines may be rows of CSV or Markdown, or objects of JSON
	delim     byte     // of the CSV that head belongs to
	head      columns  // of CSV; nil: none
	bars      columns  // of a table between bars
	claims    claims   // of the entries of the row that is being read
	en        entry
	clean     []byte // memory of spaced
	open      []byte // a row of CSV in which a quote is not closed, with its line breaks
	opened    int    // lines in it
	blocks    blocks
	torn      bool // its lines are being read one by one
}

func newLiner(e *emitter) *liner {
	return &liner{e: e, put: func(en *entry) { e.emit(en) }}
}

// read reads all lines of r.
func (l *liner) read(r io.Reader) error {
	lr := newLineReader(r)
	for !l.e.done {
		line, cont, ok := lr.next()
		if !ok {
			break
		}
		if !cont {
			l.e.line++
		}
		l.line(line, cont)
	}
	l.closeRow()
	l.endBlock()
	return lr.failure()
}

// text reads lines that are in memory already. They count as one line.
func (l *liner) text(b []byte) {
	// A string with lines may be a table too.
	tables := l.tables
	l.tables = true
	defer func() {
		l.closeRow()
		l.endBlock()
		l.tables = tables
	}()
	for len(b) > 0 && !l.e.done {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		l.line(line, false)
	}
}

// line reads one line, or a piece of one when cont is set.
func (l *liner) line(line []byte, cont bool) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if !cont && len(l.open) == 0 && l.plain(line) {
		return
	}
	for len(line) > 0 { // files of old Macs end lines with \r alone
		part := line
		if i := bytes.IndexByte(line, '\r'); i >= 0 {
			part, line = line[:i], line[i+1:]
		} else {
			line = nil
		}
		l.part(trimSpace(part), cont)
		cont = false
	}
}

// plain is the fast way for what most lists are: address:port and no more.
func (l *liner) plain(line []byte) bool {
	// "1.2.3.4:5" is the shortest.
	if len(line) < 9 || !isDigit(line[0]) {
		return false
	}
	a, n := parse4(line)
	if n == 0 || n >= len(line) || line[n] != ':' {
		return false
	}
	port, ok := wholePort(line[n+1:])
	if !ok {
		return false
	}
	l.e.countRow()
	l.bySection = l.section != 0
	l.en = entry{host: host{netip.AddrFrom4(a), line[:n]}, port: port, protos: l.section, claims: l.claims}
	l.put(&l.en)
	return true
}

// part reads a trimmed line that is not plain.
func (l *liner) part(line []byte, cont bool) {
	if len(line) == 0 {
		l.endBlock()
		return
	}
	l.e.countRow()
	if !cont && len(l.open) == 0 && isComment(line) {
		if p := heading(line); p != 0 {
			l.section = p
		}
		return
	}
	if strings.EqualFold(view(line), "[proxylist]") {
		l.chains = true
		return
	}
	if line = l.spaced(line); len(line) == 0 {
		return
	}
	l.shown(line, cont)
}

// shown reads a line that is not switched off.
func (l *liner) shown(line []byte, cont bool) {
	// Rows of tables first: their columns say more than the order of words does.
	if l.tables && !cont && (l.tabular(line) || line[0] == '{' && l.e.nested(line)) {
		return
	}
	if !cont && (l.tables && l.label(line) || l.international(line)) {
		return
	}
	s := scan{l: l, b: line, first: !cont}
	s.run()
	// A line without an entry may be the heading of those below.
	if s.any || cont {
		return
	}
	if p := heading(line); p != 0 {
		l.section = p
	} else {
		l.almost(line)
	}
}

// spaced turns the wide spaces of a line into plain ones and drops the marks
// that have no width, which pages that are copied leave in addresses.
func (l *liner) spaced(line []byte) []byte {
	const wide = 3 // bytes of all but the no-break space
	if !bytes.Contains(line, []byte("\u00a0")) && !bytes.Contains(line, []byte("\u3000")) && !bytes.Contains(line, []byte("\u200b")[:2]) && !bytes.Contains(line, []byte("\ufeff")) {
		return line
	}
	l.clean = l.clean[:0]
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		switch {
		case rest[0] < 0x80:
			l.clean = append(l.clean, rest[0])
		case bytes.HasPrefix(rest, []byte("\u00a0")):
			l.clean = append(l.clean, ' ')
			i++
		case bytes.HasPrefix(rest, []byte("\u3000")) || len(rest) >= wide && rest[0] == 0xe2 && rest[1] == 0x80 && rest[2] < 0x8b && rest[2] >= 0x80:
			l.clean = append(l.clean, ' ')
			i += wide - 1
		// U+200B to U+200F, U+202A to U+202E
		case bytes.HasPrefix(rest, []byte("\ufeff")), len(rest) >= wide && rest[0] == 0xe2 && rest[1] == 0x80 && (rest[2] >= 0x8b && rest[2] <= 0x8f || rest[2] >= 0xaa && rest[2] <= 0xae):
			i += wide - 1
		default:
			l.clean = append(l.clean, rest[0])
		}
	}
	return trimSpace(l.clean)
}

// leading reads a string of which only an entry at its beginning counts, and
// reports whether there was one.
func (l *liner) leading(b []byte) bool {
	s := scan{l: l, b: trimSpace(b), first: true, strict: true}
	s.run()
	return s.count > 0
}

// isComment reports whether a line is switched off in the ways that lists use.
func isComment(line []byte) bool {
	return line[0] == '#' || line[0] == ';' || len(line) > 1 && line[0] == '/' && (line[1] == '/' || line[1] == '*')
}

// trimSpace is bytes.TrimSpace for ASCII, and drops a zero-width no-break
// space (a byte order mark in the wrong place) before the text as well.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	if len(b) > 2 && b[0] == 0xef && b[1] == 0xbb && b[2] == 0xbf {
		return trimSpace(b[3:])
	}
	return b
}
