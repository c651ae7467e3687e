package scraper

import (
	"bytes"
	"fmt"
	"strings"
)

// records builds entries out of keys and values, which readers of JSON, YAML
// and XML give to it in the order of the input: enter and leave around objects
// and arrays, key before what a key stands for, value for the rest. It keeps
// only what the objects that are open need, so it can follow a stream.
//
// An entry is one of these:
//
//	{"ip": "1.2.3.4", "port": 80, "protocol": "http"}   keys of an object, in any order and spelling
//	{"proxy": "socks5://1.2.3.4:80"}                    a string under a key for such strings
//	["1.2.3.4:80"]                                      a string in an array
//	["1.2.3.4", "80", "http"]                           an array as a row
//	{"1.2.3.4:80": {...}}, {"1.2.3.4": 80}              the key itself
//	{"ip": "1.2.3.4", "socks5": {"port": 80}}           ports below their host
//	{"socks5": ["1.2.3.4:80"]}                          any of them, under a key that is the protocol
//
// Addresses that are not of proxies are told by their keys (exit_ip, origin,
// judge, dns: see roleSkip) and by where they are: an object inside of one that
// has a host and a port tells details of it.
type records struct {
	e      *emitter
	lines  *liner
	stack  []frame         // stack[0] stands for the document
	n      int             // of stack in use
	over   int             // objects and arrays below maxNesting, which are not looked at
	next   role            // of the key before the next value
	nextAs protoSet        // the protocol that the key names
	label  []byte          // the key itself, when its role is none
	loose  bool            // any key may hold an entry: XML
	own    map[string]role // keys that the source names; nil: none
	island bool            // in a script: what is outside of objects and arrays is not looked at

	heads columns // of the rows that arrays are, when an array named them
	whose *frame  // whose wholes are being read
	waits *frame  // which gets the entries of the object that is being read

	cell    bool   // an element of an array is being read
	pending entry  // of an element, whose protocol may be the element behind it
	pend    bool   // pending is set
	text    []byte // memory of pending
	same    int    // ports of it that a whole named as well
}

const (
	maxNesting   = 64        // how deep objects and arrays are followed
	maxWholes    = 8         // of an object
	maxColumn    = 10_000    // of an array that is a column
	maxFrameText = 128 << 10 // of all strings of one object or array
)

// frame is an object or array that is open.
type frame struct {
	array  bool
	skip   bool     // nothing in it is a proxy
	detail bool     // it tells something of the proxy that the object around it is
	role   role     // of the key that it stands under
	under  protoSet // what keys and objects around it say of the protocol
	other  string   // or a protocol that is not spoken
	text   []byte   // memory of the strings below; texts of closed frames are reused
	label  span     // the key that it stands under, when that may be a host
	host   span
	rank   role // of the key that gave host
	bad    span // what stood where a host should
	user   span
	pass   span
	ports  []uint16
	noPort bool // a port key held something else
	protos protoSet
	socks  protoSet // "version": "5" beside "type": "socks"
	flags  protoSet // keys named for protocols that say yes
	denied protoSet // and those that say no
	tls    bool
	wholes []span
	cells  []span // scalars of an array that may be a row
	kids   []kid  // ports of objects below, which have no host of their own
	claims claims
	beside protoSet // the protocol that an object below names without being an entry
	others int      // how many of these there were
	column []span   // addresses of an array below, when arrays are columns
	nums   []uint16 // and the ports
	kinds  []protoSet
	late   []late // entries of objects below that wait for the protocol of this one
}

// span is a piece of a frame's text. It is not a slice because the text may move
// when it grows.
type span struct{ from, to int }

// kid is a port, with what is known of its protocol, that waits for its host.
type kid struct {
	port   uint16
	protos protoSet
}

// late is an entry of an object whose protocol may come behind it, in the object
// around it: {"proxy": {"ip": ..., "port": ...}, "type": "http"}.
type late struct {
	host, user, pass span // in the text of the frame that holds it
	port             uint16
	claims           claims
}

// newRecords makes records whose strings are read as lines with take behind them.
func newRecords(e *emitter) *records {
	r := &records{e: e, lines: newLiner(e), own: ownKeys(e.o.JSON)}
	r.lines.put = r.take
	r.reset()
	return r
}

// nestedRecords gives records for a document inside of another one; a list may
// hold hundreds of thousands, so their memory is used again.
func (e *emitter) nestedRecords() *records {
	n := len(e.spare)
	if n == 0 {
		return newRecords(e)
	}
	r := e.spare[n-1]
	e.spare = e.spare[:n-1]
	r.reset()
	return r
}

// reset forgets what is open.
func (r *records) reset() {
	r.n, r.over, r.heads, r.pend = 0, 0, nil, false
	r.noKey()
	r.push(true)
}

// top is the innermost frame that is open.
func (r *records) top() *frame { return &r.stack[r.n-1] }

// push opens a frame, reusing the memory of one that was closed.
func (r *records) push(array bool) *frame {
	if r.n == len(r.stack) {
		r.stack = append(r.stack, frame{})
	}
	f := &r.stack[r.n]
	*f = frame{array: array, text: f.text[:0], ports: f.ports[:0], wholes: f.wholes[:0], cells: f.cells[:0], kids: f.kids[:0], late: f.late[:0],
		column: f.column[:0], nums: f.nums[:0], kinds: f.kinds[:0]}
	r.n++
	return f
}

// keep copies a string into the memory of the frame; it is valid until the frame
// is closed. An object that says the same key without end is cut.
func (f *frame) keep(b []byte) span {
	from := len(f.text)
	if from+len(b) > maxFrameText {
		return span{}
	}
	f.text = append(f.text, b...)
	return span{from, len(f.text)}
}

// at is a string that was kept.
func (f *frame) at(s span) []byte { return f.text[s.from:s.to] }
func (s span) empty() bool        { return s.from == s.to }

// ownKeys are the keys that a source says to use.
func ownKeys(m map[string]string) map[string]role {
	var own map[string]role
	for name, r := range map[string]role{jsonHost: roleIP, jsonPort: rolePort, jsonProtocol: roleProto} {
		if key := m[name]; key != "" {
			if own == nil {
				own = map[string]role{}
			}
			own[key] = r
		}
	}
	return own
}

// keyRole is the role of a key, for which the source has the first word: when
// it names a key, others of that kind say nothing.
func (r *records) keyRole(b []byte) role {
	if role, ok := r.own[string(b)]; ok {
		return role
	}
	if string(b) == "_source" { // of Elasticsearch: the record itself
		return roleNone
	}
	role := keyRole(b)
	for _, own := range r.own {
		if own == role || own == roleIP && role.isHost() {
			return roleNone
		}
	}
	return role
}

// key tells the key of the next value.
func (r *records) key(b []byte) {
	r.next, r.label = r.keyRole(b), r.label[:0]
	r.nextAs = r.next.set()
	if r.next == roleNone || r.next == roleForeign {
		r.nextAs = protocolWord(b)
		r.label = append(r.label, b[:min(len(b), maxCellText)]...)
	}
}

// noKey forgets the key when its value has come.
func (r *records) noKey() { r.next, r.nextAs, r.label = roleNone, 0, r.label[:0] }

// enter opens an object or array.
func (r *records) enter(array bool) {
	r.settle()
	if r.n == maxNesting {
		r.e.tooDeep()
		r.over++
		return
	}
	// What is known of the protocol goes down: the nearest word wins.
	parent := r.top()
	under, other, skip, from := parent.under, parent.other, parent.skip, parent.role
	if p := parent.said(); p != 0 {
		under, other = p, ""
	}
	if r.nextAs != 0 {
		under, other = r.nextAs, ""
	}
	// An object inside one that is an entry already tells details of it: where it
	// leaves from, who checked it. Ports and protocols are another matter.
	detail := !array && !parent.array && !parent.host.empty() && len(parent.ports) > 0 && (r.next == roleNone || r.next >= roleCountry) && r.nextAs == 0
	f := r.push(array)
	f.under, f.other, f.role, f.skip, f.detail = under, other, r.next, skip || r.next == roleSkip, detail
	// An array in an array says nothing of its own.
	if f.role == roleNone && array && len(r.label) == 0 {
		f.role = from // an array in an array
	}
	if f.role == roleNone && looksLikeHost(r.label) {
		f.label = f.keep(r.label)
	}
	r.noKey()
}

// tooDeep says once for a list that a part of it is not looked at.
func (e *emitter) tooDeep() {
	if !e.deep {
		e.deep = true
		e.reject(nil, fmt.Sprintf("nested over %d deep; what is below is not read", maxNesting))
	}
}

// leave closes what was opened last.
func (r *records) leave() {
	r.settle()
	// Closing more than was opened is a mistake of the input.
	if r.over > 0 {
		r.over--
		return
	}
	if r.n <= 1 {
		return
	}
	f := r.top()
	r.n--
	r.noKey()
	if f.skip {
		return
	}
	if !f.array {
		r.hand(f)
	}
	switch {
	case f.array:
		r.row(f)
	case !f.detail:
		r.e.countRow()
		r.resolve(f)
	}
}

// close closes everything; the document may be cut short.
func (r *records) close() {
	r.settle()
	r.over = 0
	for r.n > 1 {
		r.leave()
	}
}

// value takes a scalar. quoted says that it is a string.
func (r *records) value(b []byte, quoted bool) {
	f := r.top()
	role, label := r.next, r.label
	// The null of JSON is nothing, the string "null" is what it is.
	if r.over == 0 && !f.skip && len(b) > 0 && (quoted || string(b) != "null") {
		switch {
		case r.n == 1 && r.island:
			if !r.e.nested(b) {
				r.e.nested(codedJSON(b))
			}
		case f.array:
			r.element(f, b)
		default:
			r.field(f, role, label, b)
		}
	}
	r.noKey()
}

// element takes a scalar of an array.
func (r *records) element(f *frame, b []byte) {
	parent := f
	if r.n > 1 {
		parent = &r.stack[r.n-2]
	}
	switch f.role {
	case roleProto:
		parent.protocol(b)
		if len(parent.kinds) < maxColumn {
			p, _ := words(b)
			parent.kinds = append(parent.kinds, p)
		}
	case rolePort:
		parent.port(b)
		if p, ok := fieldPort(b); len(parent.nums) < maxColumn {
			if !ok {
				p = 0
			}
			parent.nums = append(parent.nums, p)
		}
	// addresses and names that are not of proxies
	case roleLink, roleUser, rolePass:
	default:
		if parent != f && !parent.host.empty() && len(parent.ports) > 0 && f.role != roleWhole {
			return // what a proxy has, not other proxies
		}
		if b[0] == '<' && !bytes.Contains(b, []byte("<t")) && !bytes.Contains(b, []byte("<li")) {
			b = stripTags(b) // a cell with its tags, not a row of them
		}
		if r.pend && protocolCell(b) != 0 { // ["1.2.3.4:80", "US", "HTTP"]
			r.pending.protos |= protocolCell(b)
			return
		}
		r.cell = true
		taken := len(b) > 0 && r.entries(b, f.under)
		r.cell = false
		if !taken && f.role.isHost() && parent != f && !parent.array && len(parent.column) < maxColumn {
			parent.column = append(parent.column, parent.keep(b))
		}
		if len(b) > 0 && !taken && len(f.cells) < maxCells && len(b) <= maxCellText {
			f.cells = append(f.cells, f.keep(b))
		}
	}
}

// field takes a scalar of an object.
func (r *records) field(f *frame, role role, label, b []byte) {
	switch {
	case len(b) > maxCellText && role != roleNone && role != roleWhole && !role.isFlag():
	case role.isHost():
		f.setHost(role, b)
	case role == rolePort:
		f.port(b)
	case role == roleProto:
		f.protocol(b)
	case role == roleUser:
		f.user = f.keep(b)
	case role == rolePass:
		f.pass = f.keep(b)
	case role == roleTLS:
		f.tls = isYes(b)
	case role.isFlag():
		r.flag(f, role, b)
	case role == roleForeign:
		f.foreign(label, b)
	case role == roleWhole, role == roleLink && bytes.HasPrefix(bytes.ToLower(b[:min(len(b), 5)]), []byte("socks")):
		r.whole(f, b)
	case role == roleCountry || role == roleGrade:
		f.claims.say(role, b)
		r.unknown(f, b)
	case role != roleNone:
	case f.role == roleCountry && string(label) == "name":
		f.claims.say(roleCountry, b)
	case f.role == roleProto: // "protocol": {"name": "http"}
		f.protocol(b)
	case len(label) > 0 && label[0] == '$' && f.role == rolePort && r.n > 1: // "port": {"$numberInt": "80"}
		r.stack[r.n-2].port(b)
	case string(label) == "enabled" && f.role == roleTLS && r.n > 1:
		r.stack[r.n-2].tls = isYes(b)
	case len(bytes.Trim(label, "0123456789")) == 0: // the index of a list
		r.entries(b, f.said()|f.under)
	case looksLikeHost(label):
		r.labelled(label, b, f)
	case r.loose:
		r.whole(f, b)
	default:
		r.unknown(f, b)
	}
}

// unknown takes a string under a key that says nothing. It is looked at only
// when it is a document of its own or a list of lines that begins with an entry.
func (r *records) unknown(f *frame, b []byte) {
	if r.e.nested(b) {
		return
	}
	if i := bytes.IndexByte(b, '\n'); i > 0 {
		r.lines.section = f.said() | f.under
		if r.lines.leading(b[:i]) {
			r.lines.text(b)
		}
	}
}

// foreign takes a value that shows what an object is that does not say it: a
// secret is of MTProto, a cipher of Shadowsocks. "method" may be one of HTTP.
func (f *frame) foreign(label, b []byte) {
	if f.other != "" {
		return
	}
	switch low := strings.ToLower(string(b[:min(len(b), 32)])); {
	case isNo(b):
	case string(label) == "secret":
		f.other = "mtproto"
	case string(label) == "alterId":
		f.other = "vmess"
	case strings.HasPrefix(low, "aes-"), strings.Contains(low, "chacha20"), strings.HasPrefix(low, "rc4"), strings.HasPrefix(low, "2022-"):
		f.other = "shadowsocks"
	}
}

// flag takes a value under a key that is named for a protocol: whether the
// proxy speaks it, or an entry.
func (r *records) flag(f *frame, role role, b []byte) {
	switch {
	case isYes(b):
		f.flags |= role.set()
	case isNo(b):
		f.denied |= role.set()
	default:
		// "ports": {"http": 80, "socks5": 1080}
		if p, ok := wholePort(b); ok && f.role == rolePort && r.n > 1 {
			a := &r.stack[r.n-2]
			if len(a.kids) < maxWholes {
				a.kids = append(a.kids, kid{p, role.set()})
			}
			return
		}
		r.entries(b, role.set())
	}
}

// whole remembers a string that may be an entry until the object's protocol is
// known; longer texts are read at once.
func (r *records) whole(f *frame, b []byte) {
	const longest = 300
	if len(b) > longest || bytes.IndexByte(b, '\n') >= 0 || b[0] == '{' || b[0] == '<' || b[0] == '[' && !isIPv6Start(b) {
		r.entries(b, f.said()|f.under)
	} else if len(f.wholes) < maxWholes {
		f.wholes = append(f.wholes, f.keep(b))
	}
}

// labelled takes a pair such as "1.2.3.4:80": "http" or "1.2.3.4": 8080.
func (r *records) labelled(label, b []byte, f *frame) {
	var en entry
	en.protos, _ = words(b)
	if en.protos == 0 {
		en.protos = f.said() | f.under
	}
	if h, n := parseHost(label); n == len(label) && n > 0 {
		port, ok := wholePort(b)
		if en.host, en.port = h, port; ok {
			r.e.emit(&en)
		}
		return
	}
	r.entries(label, en.protos)
}

// entries reads a string as a line or lines of text and reports whether it
// began with an entry. p is the protocol of those that name none.
func (r *records) entries(b []byte, p protoSet) bool {
	if len(b) < 5 {
		return false
	}
	// A document in a string: JSON in JSON, a table in JSON.
	if c := b[0]; c == '{' || c == '<' || c == '[' && !isIPv6Start(b) {
		return r.e.nested(b)
	}
	r.lines.section = p
	if r.island && r.e.nested(fromBracket(b)) {
		return true
	}
	if bytes.IndexByte(b, '\n') >= 0 {
		r.lines.text(b)
		return true
	}
	return r.lines.plain(b) || bytes.ContainsAny(b, ".:") && r.lines.leading(b)
}

// fromBracket is the part of a string of a script that may be JSON: pages ship
// their data in pieces of strings.
func fromBracket(b []byte) []byte {
	if i := bytes.IndexAny(b, "[{"); i >= 0 && bytes.IndexByte(b[i:], '"') > 0 {
		return b[i:]
	}
	return nil
}

// setHost takes the host of an object. Of several keys the best one wins.
func (f *frame) setHost(role role, b []byte) {
	b = trimSpace(b)
	if bytes.IndexByte(b, '<') >= 0 {
		b = stripTags(b)
	}
	var en entry
	switch {
	case len(b) == 0:
	case wholeHost(b).valid():
		if f.host.empty() || role > f.rank {
			f.host, f.rank = f.keep(b), role
		}
	// host:port in the field for the host; whatever it is, lines know it
	case hostPort(b, &en) || len(b) > 8 && bytes.IndexByte(b, ':') > 0:
		if len(f.wholes) < maxWholes {
			f.wholes = append(f.wholes, f.keep(b))
		}
	default:
		if d := decodeHost(b); d != nil {
			f.setHost(role, d)
		} else if f.bad.empty() && len(b) < maxCellText {
			f.bad = f.keep(b)
		}
	}
}

// port takes a port of an object.
func (f *frame) port(b []byte) {
	const most = 64
	b = trimSpace(b)
	if bytes.IndexByte(b, '<') >= 0 {
		b = stripTags(b)
	}
	if p, ok := fieldPort(b); ok && len(f.ports) < most {
		f.ports = append(f.ports, p)
	} else {
		f.noPort = true
	}
}

// protocol takes the value of a protocol key.
func (f *frame) protocol(b []byte) {
	switch string(b) {
	case "4", "4a":
		f.socks = setSOCKS4
	case "5":
		f.socks = setSOCKS5
	}
	p, other := words(b)
	f.protos |= p
	// ["vless", "socks5"] is an entry, "vless" is none; and what is around it no
	// longer counts.
	if f.protos != 0 {
		f.other = ""
	} else if other != "" {
		f.other, f.under = other, 0
	}
}
