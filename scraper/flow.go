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
	// A protocol belongs to the entry before it only if it is near.
	const oldest = 5
	if f.age++; f.have && f.age > oldest {
		f.flush()
	}
	if p := protocolCell(b); p != 0 && f.have {
		if !f.fixed {
			f.held.protos |= p
		}
		return
	}
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
