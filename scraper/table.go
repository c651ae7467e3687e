package scraper

import (
	"bytes"
	"strings"
)

const (
	maxCells    = 64      // of a row; what is beyond is not looked at
	maxCellText = 1 << 10 // of one cell that is no list of its own
)

// cell is one field of a row.
type cell struct {
	text []byte
	alts [2][]byte // other texts that it may mean, from attributes
	role role      // what the cell says of itself, by its class
	torn bool      // holds a script that could not be read: its text is not all
}

// tableRow is a row of a table, whatever the format: HTML, CSV, Markdown, or
// an array of JSON. With a head of columns, or classes that say what a cell is,
// these decide. Without, the first address is the host and a number directly
// behind it its port; numbers elsewhere are latencies, ASNs and counts.
type tableRow struct {
	cells [maxCells]cell
	n     int
	en    entry
}

// add appends a cell; it is dropped when the row is full.
func (t *tableRow) add(text []byte) *cell {
	// The last cell is overwritten, so that a row of any length has an end.
	if t.n == maxCells {
		t.n--
	}
	c := &t.cells[t.n]
	*c = cell{text: text}
	t.n++
	return c
}

// columns is what the head of a table says.
type columns []role

// headOf reads a row as the head of a table: nil when it is none.
func headOf(t *tableRow) columns {
	head := make(columns, t.n)
	host, other := false, 0
	for i := range t.n {
		text := trimMarks(t.cells[i].text)
		// Heads hold words.
		if wholeHost(text).addr.IsValid() {
			return nil
		}
		r := keyRole(text)
		head[i] = r
		host = host || r.isHost() || r == roleWhole
		if r != roleNone && (r != roleCountry && r != roleGrade || head[0] == roleWhole) {
			other++
		}
	}
	// One word may be a title; two that name columns are a head.
	if !host || other < 2 {
		return nil
	}
	return head
}

// at is the role of a column, roleNone beyond the head.
func (c columns) at(i int) role {
	if i < len(c) {
		return c[i]
	}
	return roleNone
}

// has reports whether a column has a role.
func (c columns) has(want role) bool {
	for _, r := range c {
		if r == want {
			return true
		}
	}
	return false
}

// resolve gives the entries of the row to l and reports whether there were any
// or one was refused. Those that name no protocol have that of l's section.
func (t *tableRow) resolve(l *liner, head columns) bool {
	p, other := t.protocols(l.e, head)
	hostAt := t.findHost(head)
	if p == 0 && hostAt >= 0 {
		p, _ = schemeHost(trimMarks(t.cells[hostAt].text))
	}
	if p == 0 {
		p = l.section
	}
	// A row of another protocol is refused as a whole.
	if other != "" && hostAt >= 0 {
		l.e.reject(t.cells[hostAt].text, "protocol "+other+" is not spoken")
		return true
	}
	if hostAt >= 0 {
		h := t.hostOf(hostAt)
		if !h.valid() {
			h = loneAddress(t.cells[hostAt].text)
		}
		// A torn cell holds a part of the entry only.
		if !t.cells[hostAt].torn {
			port, found := t.findPort(head, hostAt)
			if found && port == 0 {
				l.e.reject(t.cells[hostAt].text, "no port from 1 to 65535 with it")
				return true
			}
			if found {
				t.en = entry{host: h, port: port, protos: p}
				t.scheme()
				t.login(head)
				t.en.claims = t.claims(head)
				l.put(&t.en)
				return true
			}
		} else {
			l.e.reject(t.cells[hostAt].text, "its port is written by a script that is not understood")
			return true
		}
	}
	return t.wholes(l, head, p)
}

// findHost returns the cell that holds the host, -1 when there is none. A head
// decides between several; without one it is the first address.
func (t *tableRow) findHost(head columns) int {
	// The highest role wins, the first cell among equals.
	best, rank := -1, roleNone
	for i := range t.n {
		r := head.at(i)
		if r == roleNone || r == roleWhole {
			r = max(r, t.cells[i].role)
		}
		// With a column for addresses, those in other columns are exits and the like.
		if !r.isHost() && r != roleWhole && len(head) > 0 && (head.has(roleIP) || head.has(roleAddr) || t.holdsWhole(head)) {
			continue
		}
		h := t.hostOf(i)
		if !h.valid() && r.isHost() {
			h = loneAddress(t.cells[i].text)
		}
		// A column for something else.
		if r == roleCountry || r == roleGrade {
			r = roleNone
		}
		if r != roleNone && r != roleWhole && !r.isHost() {
			continue
		}
		// Words with dots are names only in a column for hosts.
		if !h.valid() || !h.addr.IsValid() && !r.isHost() {
			continue
		}
		if !r.isHost() {
			r = roleNone
		}
		if best < 0 || r > rank {
			best, rank = i, r
		}
	}
	return best
}

// holdsWhole reports whether the column for whole entries holds one.
func (t *tableRow) holdsWhole(head columns) bool {
	for i := range t.n {
		if head.at(i) == roleWhole && hostPort(trimMarks(t.cells[i].text), &t.en) {
			return true
		}
	}
	return false
}

// claims reads the columns that say where an entry is and what it hides.
func (t *tableRow) claims(head columns) (c claims) {
	for i := range min(t.n, len(head)) {
		if r := head[i]; r == roleCountry || r == roleGrade {
			c.say(r, t.cells[i].text)
		}
	}
	return c
}

// hostOf reads the cell as a host, by its text or what its attributes hide.
func (t *tableRow) hostOf(i int) host {
	c := &t.cells[i]
	text := trimMarks(c.text)
	if h := wholeHost(text); h.valid() {
		return h
	}
	if n := len(text) - 1; n > 0 && text[n] == ':' { // the colon stands before the port
		if h := wholeHost(text[:n]); h.addr.Is4() {
			return h
		}
	}
	if _, h := schemeHost(text); h.valid() {
		return h
	}
	// Only addresses: an attribute that decodes to a name is chance.
	for _, alt := range c.alts {
		if h := wholeHost(alt); h.addr.IsValid() {
			return h
		}
	}
	return host{}
}

// schemeHost reads an address behind a scheme, "http://1.2.3.4", whose port has
// a cell of its own.
func schemeHost(text []byte) (protoSet, host) {
	i := bytes.Index(text, []byte("://"))
	if i <= 0 {
		return 0, host{}
	}
	p := protocolWord(text[:i])
	h := wholeHost(bytes.TrimSuffix(text[i+len("://"):], []byte("/")))
	if p == 0 || !h.addr.IsValid() {
		return 0, host{}
	}
	return p, h
}

// loneAddress finds the one address in a cell of an address column that holds
// a flag or a country as well.
func loneAddress(text []byte) (h host) {
	for word := range bytes.FieldsSeq(text) {
		if w := wholeHost(trimMarks(word)); w.addr.IsValid() {
			if h.valid() {
				return host{}
			}
			h = w
		}
	}
	return h
}

// findPort returns the port that belongs to the host in cell at. found with
// port 0 means that the place for it holds something else.
func (t *tableRow) findPort(head columns, at int) (port uint16, found bool) {
	for i := range t.n {
		// A column for ports holds the port or there is none.
		if i == at || head.at(i) != rolePort && t.cells[i].role != rolePort {
			continue
		}
		if p := t.portOf(i); p != 0 || t.cells[i].torn || len(t.cells[i].text) > 0 {
			return p, true
		}
	}
	if head.has(rolePort) {
		return 0, false
	}
	// Without a column it is the next cell.
	next := at + 1
	for next < t.n && next < at+3 && len(t.cells[next].text) == 0 && t.cells[next].alts[0] == nil && !t.cells[next].torn {
		next++ // a cell with an icon
	}
	if next < t.n {
		if p := t.portOf(next); p != 0 {
			return p, true
		}
	}
	// Two cells in the wrong order.
	if t.n == 2 && at == 1 {
		p := t.portOf(0)
		return p, p != 0
	}
	return 0, false
}

// portOf reads the cell as a port, by its text or what its attributes hide.
func (t *tableRow) portOf(i int) uint16 {
	c := &t.cells[i]
	if c.torn {
		return 0
	}
	if p, ok := fieldPort(bytes.TrimPrefix(trimMarks(c.text), []byte(":"))); ok {
		return p
	}
	for _, alt := range c.alts {
		if p, ok := wholePort(alt); ok {
			return p
		}
	}
	return 0
}

// protocols collects what the row says of its protocol, and which one that is
// not spoken if it is one of these: a column for it wins
// over columns that are named for protocols; without a head, cells that
// consist of nothing but protocols and grades of anonymity count.
func (t *tableRow) protocols(e *emitter, head columns) (p protoSet, other string) {
	// From a column for it, from columns named for protocols, from other cells.
	var named, yes, no, bare protoSet
	for i := range t.n {
		text := trimMarks(t.cells[i].text)
		// Of a head and a class, whichever says something.
		switch r := max(head.at(i), t.cells[i].role); {
		case r == roleProto:
			p, not := words(text)
			named |= p
			other = max(other, not)
		case r.isFlag() && isYes(text):
			yes |= r.set()
		case r.isFlag() && isNo(text):
			no |= r.set()
		case (r == roleNone || r == roleGrade) && !head.has(roleProto):
			bare |= protocolCell(text)
			if foreign(text) {
				other = strings.ToLower(string(text))
			}
		}
	}
	// The most common table of all, in pieces of its page.
	if bare == 0 && len(head) == 0 {
		bare = t.httpsAnswer(e)
	}
	switch {
	case named != 0:
		return named, ""
	case yes != 0:
		return yes, ""
	case bare == 0 && no == setHTTPS:
		return e.notHTTPS(), other
	}
	return bare, other
}

// protocolCell reads a cell that says nothing but a protocol, as in "HTTPS",
// "SOCKS4, SOCKS5" or "HTTP elite".
func protocolCell(b []byte) protoSet {
	if len(b) < 4 || len(b) > longestProtocol {
		return 0
	}
	var all protoSet
	for i := 0; i < len(b); {
		j := wordEnd(b, i)
		if j == i {
			i++
			continue
		}
		// "SOCKS5 elite" and "HTTP (Squid)" are protocols, "Https Hosting Ltd" is not.
		p, end := protocolAt(b, i)
		if p == 0 && (all == 0 || !isGrade(b[i:j])) && !(all != 0 && b[i-1] == '(') {
			return 0
		}
		all |= p
		i = end
	}
	return all
}

// httpsAnswer reads rows of a table that has lost its head and whose shape
// many sites share: ..., anonymity, Google yes/no, Https yes/no, ...
func (t *tableRow) httpsAnswer(e *emitter) protoSet {
	// IP, port, code, country, anonymity, Google, Https, last checked.
	for i := 3; i+2 < t.n; i++ {
		grade, google, https := t.cells[i].text, t.cells[i+1].text, t.cells[i+2].text
		if !isGrade(grade[:wordEnd(grade, 0)]) || !isYes(google) && !isNo(google) {
			continue
		}
		switch {
		case isYes(https):
			return setHTTPS
		case isNo(https):
			return e.notHTTPS()
		}
	}
	return 0
}

// scheme looks for the same entry written with its protocol in an attribute.
func (t *tableRow) scheme() {
	for i := range t.n {
		for _, alt := range t.cells[i].alts {
			j := bytes.Index(alt, []byte("://"))
			if j < 0 {
				continue
			}
			var en entry
			if hostPort(alt[j+len("://"):], &en) && en.port == t.en.port && en.host.same(t.en.host) {
				t.en.protos = protocolWord(alt[:j])
				return
			}
		}
	}
}

// login takes user and password from columns of their own.
func (t *tableRow) login(head columns) {
	// Both, or it is no login.
	var user, pass []byte
	for i := range t.n {
		switch head.at(i) {
		case roleUser:
			user = trimMarks(t.cells[i].text)
		case rolePass:
			pass = trimMarks(t.cells[i].text)
		}
	}
	if len(user) > 0 && len(pass) > 0 {
		t.en.user, t.en.pass = user, pass
	}
}

// wholes reads cells that hold address and port in one.
func (t *tableRow) wholes(l *liner, head columns, p protoSet) bool {
	// The line reader gives the protocol of its section to what names none.
	section := l.section
	l.section, l.claims = p, t.claims(head)
	defer func() { l.section, l.claims = section, claims{} }()
	any := false
	for i := range t.n {
		r := head.at(i)
		if r == roleCountry || r == roleGrade {
			r = roleNone
		}
		// A column for anything else holds no entries.
		if r != roleNone && r != roleWhole && !r.isHost() || r == roleSkip {
			continue
		}
		c := &t.cells[i]
		if c.torn {
			continue
		}
		for _, text := range [...][]byte{c.text, c.alts[0], c.alts[1]} {
			// The text first; what attributes say only when it holds nothing.
			if len(text) > 0 && l.leading(trimMarks(text)) {
				any = true
				break
			}
		}
	}
	return any
}

// trimMarks drops spaces, quotes and the marks of Markdown around a cell.
func trimMarks(b []byte) []byte {
	for len(b) > 0 && isMark(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isMark(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// isMark knows what is around the text of cells without belonging to it.
func isMark(c byte) bool {
	return c <= ' ' || c == '"' || c == '\'' || c == '`' || c == '*' || c == '_'
}
