package scraper

import (
	"bytes"
	"net/netip"
	"strings"
)

// scan finds the entries of one line of text, in the shapes that lists are
// written in:
//
//	1.2.3.4:8080                     the address and its port
//	1.2.3.4 : 8080                   spaces around the colon, also the wide one of Chinese sites
//	1.2.3.4 8080   1.2.3.4,8080      the port apart, when the address comes first
//	socks5://user:pass@1.2.3.4:8080  a URL; see login.go for logins
//	SOCKS5 1.2.3.4:8080              the protocol before it
//	1.2.3.4:8080|http|US             or behind it, among other fields
//	[2001:db8::1]:8080               IPv6 in brackets; without, the port must be apart
//	proxy.example.com:8080           a name, at the beginning only
//
// What is glued to other text, as in "v1.2.3.4:80", in a path or in a longer
// number, is refused with everything that it is glued to, so that no part of
// it is taken for an entry. Nothing is looked for beyond the line.
//
// An entry is held back until the next one or the end of the line, because its
// protocol may stand behind it.
type scan struct {
	l       *liner
	b       []byte
	i       int      // of b, where to go on
	edge    int      // behind an escape: a word may begin there
	first   bool     // nothing but marks, labels and protocols has come so far
	comment bool     // behind a # that follows an entry: only protocols are read
	lead    protoSet // named before an entry and not used yet
	held    entry    // its texts point into b
	have    bool     // held is set
	fixed   bool     // its protocol stood before it
	any     bool     // something was found or refused
	strict  bool     // nothing is taken unless the line begins with an entry
	runFrom int      // the token that tokenEnd found last begins at or before it
	runEnd  int      // and ends here
	count   int      // entries found
	link    int      // and how many of them before the last bracket
}

// run goes through the line from word to word. A # that follows an entry begins
// a remark, often a country; one at the beginning of the line never comes here.
func (s *scan) run() {
	for s.i < len(s.b) && !s.l.e.done {
		switch c := s.b[s.i]; {
		case isDigit(c) || isLetter(c):
			s.word()
		case c == '[':
			s.bracket()
		case c == '~' && s.struckOut():
		case c == '(' && s.linkEnds():
		case c == '\\' && s.i+1 < len(s.b) && strings.IndexByte("nrt", s.b[s.i+1]) >= 0:
			s.i += 2 // a line break that was escaped
			s.edge = s.i
		default:
			s.comment = s.comment || c == '#' && s.have
			s.i++
		}
	}
	s.flush()
}

// flush gives the entry that is held.
func (s *scan) flush() {
	if !s.have {
		return
	}
	s.have = false
	if s.l.bySection = s.held.protos == 0 && s.l.section != 0; s.l.bySection {
		s.held.protos = s.l.section
	}
	s.l.en = s.held
	s.l.en.claims = s.l.claims
	s.l.put(&s.l.en)
}

// found holds an entry that ends at end.
func (s *scan) found(en entry, end int) {
	// A string that only mentions an entry somewhere is no entry.
	if s.strict && s.count == 0 && !s.first {
		s.i = end
		return
	}
	s.count++
	s.flush()
	if s.fixed = en.protos != 0; !s.fixed {
		en.protos, s.fixed = s.lead, s.lead != 0
	}
	s.held, s.have, s.any, s.first, s.lead = en, true, true, false, 0
	s.i = end
}

// refuse rejects b[start:end] and whatever is glued to it.
func (s *scan) refuse(start, end int, reason string) {
	// The rest of what it is glued to goes with it: of "1.2.3.4:80117.5.6.7:80"
	// nothing is taken.
	for end < len(s.b) && (isNameByte(s.b[end]) || strings.IndexByte(":/@+%", s.b[end]) >= 0) {
		end++
	}
	s.any, s.first, s.i = true, false, end
	s.l.e.reject(s.b[start:end], reason)
}

// word reads what begins with a letter or a digit.
func (s *scan) word() {
	start := s.i
	end := wordEnd(s.b, start)
	s.i = end
	// The order matters: a scheme says what follows, a login holds what looks
	// like names and addresses, and every address looks like a name.
	switch fresh := s.begins(start); {
	case bytes.HasPrefix(s.b[end:], []byte("://")):
		s.url(start, end)
	case s.comment:
		s.plain(start, end)
	case fresh && s.login(start), s.address4(start, end), fresh && s.bare6(start, end), fresh && s.name(start, end):
	default:
		s.plain(start, end)
	}
}

// address4 reads an IPv4 address with its port.
func (s *scan) address4(start, end int) bool {
	// A sentence may end behind an address.
	w := bytes.TrimRight(s.b[start:end], ".")
	if !isDigit(w[0]) || bytes.Count(w, []byte(".")) < 3 {
		return false
	}
	a, n := parse4(w)
	switch {
	case n == len(w):
		s.address(host{netip.AddrFrom4(a), w}, start, start+n)
	case len(bytes.Trim(w, "0123456789.")) == 0 && end < len(s.b) && s.b[end] == ':':
		s.refuse(start, end, "not an IPv4 address")
	default:
		return false
	}
	return true
}

// bracket reads "[IPv6]:port".
func (s *scan) bracket() {
	h, n := parse6(s.b[s.i:])
	s.link = s.count
	if n == 0 || s.comment {
		s.i++
		return
	}
	if start := s.i; s.begins(start) {
		s.address(h, start, start+n)
	} else {
		s.refuse(start, start+n, "glued to other text")
	}
}

// bare6 reads an IPv6 address without brackets, whose port must stand apart.
func (s *scan) bare6(start, end int) bool {
	// The first group of an IPv6 address is at most four digits and a colon follows.
	if end == len(s.b) || s.b[end] != ':' || end-start > 4 {
		return false
	}
	for end < len(s.b) && (isHex(s.b[end]) || s.b[end] == ':' || s.b[end] == '.') {
		end++
	}
	a, ok := bare6(s.b[start:end])
	if !ok {
		return false
	}
	if port, n := s.portApart(end); n > 0 && s.first {
		s.found(entry{host: host{addr: a}, port: port}, n)
	} else {
		s.refuse(start, end, "an IPv6 address needs brackets before its port")
	}
	return true
}

// address finds the port of the address b[start:end].
func (s *scan) address(h host, start, end int) {
	if !s.begins(start) && !s.labelled(start) {
		s.refuse(start, end, "glued to other text")
		return
	}
	if s.ofOthers(start) {
		s.refuse(start, end, "the address of something else than a proxy")
		return
	}
	if port, n := s.portBehindColon(end); n > 0 {
		s.foundTail(entry{host: h, port: port}, n)
		return
	}
	// In the middle of a line a number behind an address may be anything, unless
	// they are fields behind a protocol: "name = http, 1.2.3.4, 80".
	if s.first || s.lead != 0 && s.separated(end) {
		if port, n := s.portApart(end); n > 0 {
			en := entry{host: h, port: port}
			if s.l.chains {
				n = chainLogin(s.b, n, &en)
			}
			s.found(en, n)
			return
		}
	}
	switch {
	case end < len(s.b) && s.b[end] == ':' && end+1 < len(s.b):
		s.refuse(start, end, "no port from 1 to 65535 behind it")
	case end < len(s.b) && s.b[end] == '/':
		s.refuse(start, end, "a network or a path, not an address with a port")
	default:
		s.first, s.i = false, end
	}
}

// labelled reports whether what stands directly before start still lets an
// address begin: "ip:1.2.3.4", "- 1.2.3.4". A colon of an IPv6 address does not.
func (s *scan) labelled(start int) bool {
	before := s.b[:start-1]
	switch s.b[start-1] {
	case ':':
		return len(before) > 0 && before[len(before)-1] != ':' && !bytes.Contains(before[wordStart(before):], []byte("::"))
	case '-', '+', '.':
		return len(before) == 0 || isSpace(before[len(before)-1])
	}
	return false
}

// portBehindColon reads ":port" at i, with spaces around the colon if need be.
// It returns where the port ends, 0 when there is none.
func (s *scan) portBehindColon(i int) (uint16, int) {
	j := skipSpace(s.b, i)
	switch {
	case j < len(s.b) && s.b[j] == ':':
		j++
	case bytes.HasPrefix(s.b[j:], []byte("：")):
		j += len("：")
	default:
		return 0, 0
	}
	k := skipSpace(s.b, j)
	port, n := parsePort(s.b[k:])
	// "ping 1.2.3.4: 56 bytes": with a space behind the colon the address must come
	// first, and the number must not be a quantity.
	if n == 0 || !s.closes(k+n) || k > j && (!s.first || s.unit(k+n)) {
		return 0, 0
	}
	return port, k + n
}

// portApart reads a port that spaces, a comma, a semicolon or a bar set apart
// from the address that ends at i.
func (s *scan) portApart(i int) (uint16, int) {
	const marks = " \t\"'`*"
	j := i
	for j < len(s.b) && strings.IndexByte(marks, s.b[j]) >= 0 {
		j++
	}
	if j < len(s.b) && strings.IndexByte(",;|", s.b[j]) >= 0 {
		j++
	}
	for j < len(s.b) && strings.IndexByte(marks, s.b[j]) >= 0 {
		j++
	}
	// "IP: 1.2.3.4 Port: 8080"
	if end := wordEnd(s.b, j); end == j+4 && strings.EqualFold(string(s.b[j:end]), "port") {
		for j = end; j < len(s.b) && strings.IndexByte(" \t:=", s.b[j]) >= 0; {
			j++
		}
	}
	if j < len(s.b) && s.b[j] >= 0x80 {
		j = labelEnd(s.b, j)
	}
	// "8.8.8.8 10:20:33" is a time, "8.8.8.8 120 ms" a quantity.
	port, n := parsePort(s.b[j:])
	if n == 0 || j == i || !s.closes(j+n) || j+n < len(s.b) && s.b[j+n] == ':' || s.unit(j+n) {
		return 0, 0
	}
	return port, j + n
}

// labelEnd goes behind the word for a port of another alphabet, "端口：", and
// stays at i when there is none.
func labelEnd(b []byte, i int) int {
	const longest = 32
	for j := i; j < len(b) && j-i < longest; j++ {
		n := len(":")
		if bytes.HasPrefix(b[j:], []byte("：")) {
			n = len("：")
		} else if b[j] != ':' {
			continue
		}
		if keyRole(b[i:j]) == rolePort {
			return skipSpace(b, j+n)
		}
		break
	}
	return i
}

// closes reports whether a port may end at i.
func (s *scan) closes(i int) bool {
	if i == len(s.b) {
		return true
	}
	next := byte(' ')
	if i+1 < len(s.b) {
		next = s.b[i+1]
	}
	switch c := s.b[i]; {
	case isDigit(c) || isLetter(c) || c == '_' || c == '%' || c == '+':
		return false
	case c == '.':
		return !isNameByte(next)
	// a range of ports is none, "8080-US" is one
	case c == '-':
		return !isDigit(next)
	// a slash may end an address, a path may not follow
	case c == '/':
		return boundary(next)
	}
	return true
}

// separated reports whether a mark that separates fields stands at i.
func (s *scan) separated(i int) bool {
	i = skipSpace(s.b, i)
	return i < len(s.b) && strings.IndexByte(",;|", s.b[i]) >= 0
}

// unit reports whether a word at i makes the number before it a quantity:
// "8.8.8.8 120 ms" names no port.
func (s *scan) unit(i int) bool {
	i = skipSpace(s.b, i)
	if i < len(s.b) && s.b[i] == '%' {
		return true
	}
	switch strings.ToLower(string(s.b[i:min(wordEnd(s.b, i), i+16)])) {
	case "ms", "s", "sec", "secs", "second", "seconds", "min", "mins", "minute", "minutes", "hour", "hours", "h", "d", "day", "days",
		"times", "hops", "kb", "mb", "kbps", "mbps", "bytes", "hits", "queries", "requests", "ago":
		return true
	}
	return false
}

// plain reads a word that is no address: a protocol, a label or anything.
func (s *scan) plain(start, end int) {
	// A protocol belongs to the entry before it unless that has one; then it is
	// kept for the next one.
	p, end := s.protocol(start, end)
	s.i = end
	switch {
	case p != 0 && s.have && !s.fixed && !s.leads(start, end):
		s.held.protos |= p
	case p != 0:
		s.lead |= p
	case s.have && !s.fixed && s.held.protos == 0 && !s.comment && s.isForeign(start, end):
		s.have, s.first = false, false
		s.l.e.refuse(&s.held, "of another protocol: "+strings.ToLower(string(s.b[start:end])))
	case s.request(start, end):
	case s.comment || isLabel(s.b[start:end]) || s.lead != 0 && isGrade(s.b[start:end]):
	case s.first && len(bytes.Trim(s.b[start:end], "0123456789.")) == 0 && end-start <= 7: // the number of the line
	case s.first && end-start == 2 && isPlace(s.b[start:end]): // a country
	default:
		s.first, s.lead = false, 0
	}
}

// isForeign reports whether a word behind an entry shows that it is of another
// kind: the name of its protocol, or "secret:", which only MTProto has.
func (s *scan) isForeign(start, end int) bool {
	w := s.b[start:end]
	if strings.EqualFold(view(w), "secret") {
		return end < len(s.b) && (s.b[end] == ':' || s.b[end] == '=')
	}
	return foreign(w)
}

// leads reports whether a protocol belongs to the entry behind it, as in
// "1.2.3.4:80; SOCKS5 1.2.3.5:1080": a separator is before it and none behind.
func (s *scan) leads(start, end int) bool {
	// An address must follow at once.
	next := skipSpace(s.b, end)
	if next == end || next == len(s.b) || !isDigit(s.b[next]) && s.b[next] != '[' {
		return false
	}
	before := bytes.TrimRight(s.b[:start], " \t")
	return len(before) > 0 && strings.IndexByte(";,|", before[len(before)-1]) >= 0
}

// protocol reads the protocol at start, which may be a combination that goes
// beyond the word's end; "https: no" is none.
func (s *scan) protocol(start, end int) (protoSet, int) {
	// All protocols begin with h or s.
	if c := s.b[start] | 0x20; c != 'h' && c != 's' {
		return 0, end
	}
	long := end
	for long < len(s.b) && (isNameByte(s.b[long]) || strings.IndexByte("/+&", s.b[long]) >= 0) {
		long++
	}
	p := protocolWord(s.b[start:long])
	if p == 0 && end < len(s.b) && (s.b[end] == '/' || s.b[end] == '(') {
		return 0, end // "HTTP/1.1"
	}
	if p == 0 {
		p, long = protocolWord(s.b[start:end]), end
	}
	p, long = protocolTail(s.b, p, long)
	if p == 0 {
		return 0, end
	}
	// "Https: no", "https no" and "ssl=0" are answers, not protocols; the dash in
	// "SOCKS4  -  88" is an empty column.
	answer := long
	for answer < len(s.b) && strings.IndexByte(" :=\t", s.b[answer]) >= 0 {
		answer++
	}
	if answer > long && isNo(s.b[answer:wordEnd(s.b, answer)]) && (bytes.ContainsAny(s.b[long:answer], ":=") || isLetter(s.b[answer])) {
		return 0, long
	}
	return p, long
}

// isLabel knows the words that stand before an address without saying anything.
func isLabel(w []byte) bool {
	switch strings.ToLower(string(w[:min(len(w), 16)])) {
	case "proxy", "host", "ip", "addr", "address", "server", "type", "proto", "protocol", "port", "hostname", "proxies":
		return true
	}
	return false
}

// begins reports whether a word may begin at i.
func (s *scan) begins(i int) bool { return i == s.edge || boundary(s.b[i-1]) }

// boundary reports whether an address may begin behind c.
func boundary(c byte) bool {
	return c >= 0x80 || c <= ' ' || strings.IndexByte("\"'`()<>[]{},;|=*!&~#^$\\", c) >= 0
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// longestIPv6 is how long an IPv6 address with a zone may be.
const longestIPv6 = 64

// wordStart returns where the run of bytes without a space that ends b begins,
// as far back as an IPv6 address may reach: for each address in a run the way
// to its beginning would cost its square.
func wordStart(b []byte) int {
	i := len(b)
	for i > 0 && len(b)-i < longestIPv6 && !isSpace(b[i-1]) {
		i--
	}
	return i
}
