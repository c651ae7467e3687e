package scraper

import (
	"bytes"
)

// flow reads the text of a page outside of tables, a stretch at a time.
// Address, port and protocol may stand in stretches that follow each other, as
// in lists whose items are cells:
//
//	<ul><li>1.2.3.4</li><li>80</li><li>HTTP</li></ul>
//	<p>1.2.3.4:80<br>1.2.3.5:81</p>
//	<h2>SOCKS5</h2> ... <li>1.2.3.4:80</li>
type flow struct {
	e     *emitter
	lines *liner
	held  entry
	buf   []byte // memory of held
	have  bool
	bare  bool     // held has no port yet
	fixed bool     // the protocol of held stood in its own stretch
	under protoSet // of the heading above held
	port  uint16   // of a stretch that says it is the port of what follows
	age   int      // stretches since held
	first bool     // labels in a row named the protocol before the address, so it stands before it
	lead  protoSet // the protocol of the next entry then
	label role     // of the stretch before, which said nothing but what follows it
}

// newFlow makes a flow whose entries go to e.
func newFlow(e *emitter) *flow {
	f := &flow{e: e, lines: newLiner(e)}
	f.lines.put = f.take
	return f
}

// read takes a stretch, which may have several lines.
func (f *flow) read(b []byte, r role) {
	for len(b) > 0 && !f.e.done {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if line = trimSpace(line); len(line) > 0 {
			f.line(line, r)
		}
		if f.bare && len(b) > 0 { // a port is never looked for in the next line
			f.have, f.bare = false, false
		}
	}
}

// line takes one line: an address, a port or a protocol that stands alone, or
// text in which entries may be.
func (f *flow) line(b []byte, r role) {
	// "IP: 1.2.3.4", or "IP" alone before "1.2.3.4"
	label := f.label
	f.label = roleNone
	if key, val, ok := cutLabel(b); ok {
		if f.label = key; len(val) == 0 {
			f.first = key.isHost() && label == roleProto || f.first && label != roleNone
			return
		}
		label, f.label, b = key, roleNone, val
	}
	if label == roleSkip {
		return // the address of the visitor, and the like
	}
	if label == rolePort && f.bare {
		f.age = 0
	}
	// A protocol belongs to the entry before it only if it is near.
	const oldest = 5
	if f.age++; f.have && f.age > oldest {
		f.flush()
	}
	if p := protocolCell(b); p != 0 && f.first {
		f.flush()
		f.lead = p
		return
	} else if p != 0 && f.have {
		if !f.fixed {
			f.held.protos |= p
		}
		return
	}
	r = max(r, label)
	word := trimMarks(b)
	if h := wholeHost(word); h.addr.IsValid() {
		f.hold(&entry{host: h, port: f.port}, false)
		f.bare, f.port = f.port == 0, 0
		return
	}
	// A number is a port only directly behind an address, or if its class says so.
	if port, ok := wholePort(word); ok && (f.bare && f.age == 1 || r == rolePort) {
		if f.have && f.bare {
			f.held.port, f.bare = port, false
		} else {
			f.port = port
		}
		return
	}
	f.lines.line(b, false)
}

// cutLabel splits "IP: 1.2.3.4" and knows a label that stands alone. The labels
// are the words that head columns, so that prose is none.
func cutLabel(b []byte) (r role, val []byte, ok bool) {
	const longest = 24
	key, val, found := bytes.Cut(b[:min(len(b), maxCellText)], []byte(":"))
	if !found {
		if key, val, found = bytes.Cut(b, []byte("：")); !found {
			key, val = b, nil
		}
	}
	if len(key) > longest || len(key) == 0 || isDigit(key[0]) {
		return roleNone, nil, false
	}
	switch r = keyRole(key); {
	case r.isHost(), r == rolePort, r == roleProto && protocolWord(key) == 0, r == roleSkip && found:
		val = trimSpace(val)
		// a protocol in a cell is no label of what follows
		return r, val, len(val) == 0 || r == roleSkip || labelled(r, val)
	}
	return roleNone, nil, false
}

// labelled reports whether a value is what its label says.
func labelled(r role, val []byte) bool {
	switch {
	case r.isHost():
		return wholeHost(trimMarks(val)).addr.IsValid()
	case r == rolePort:
		_, ok := wholePort(trimMarks(val))
		return ok
	}
	return protocolCell(val) != 0
}

// take holds an entry that a line gave.
func (f *flow) take(en *entry) {
	section := f.lines.bySection
	f.hold(en, en.protos != 0 && !section)
	if section {
		f.held.protos = 0
	}
	f.bare = false
}

// hold keeps an entry until its protocol may have come.
func (f *flow) hold(en *entry, fixed bool) {
	f.flush()
	f.held, f.have, f.fixed, f.age, f.bare = *en, true, fixed, 0, false
	if f.lead != 0 && !fixed {
		f.held.protos, f.fixed = f.lead, true
	}
	f.lead = 0
	f.under = f.lines.section
	n := len(en.host.text) + len(en.user) + len(en.pass)
	if cap(f.buf) < n {
		f.buf = make([]byte, 0, 2*n)
	}
	f.buf = f.buf[:0]
	for _, p := range []*[]byte{&f.held.host.text, &f.held.user, &f.held.pass} {
		from := len(f.buf)
		f.buf = append(f.buf, *p...)
		*p = f.buf[from:len(f.buf):len(f.buf)]
	}
}

// flush gives what is held.
func (f *flow) flush() {
	if f.have && !f.bare {
		if f.held.protos == 0 {
			f.held.protos = f.under
		}
		f.e.emit(&f.held)
	}
	f.have, f.bare, f.port = false, false, 0
}
