package scraper

import (
	"bytes"
)

// row resolves an array whose scalars may be the cells of a row.
func (r *records) row(f *frame) {
	// Under the key of a host they are its ports.
	if !f.label.empty() { // "1.2.3.4": [80, 81]
		for _, c := range f.cells {
			f.port(f.at(c))
		}
		r.pairs(f, f.at(f.label), f.under)
		return
	}
	// A full row is a list of something else.
	if len(f.cells) < 2 || len(f.cells) == maxCells {
		return
	}
	row := &r.e.row
	row.n = 0
	for _, c := range f.cells {
		text := f.at(c)
		if bytes.IndexByte(text, '<') >= 0 {
			text = stripTags(text)
		}
		row.add(trimSpace(text))
	}
	r.lines.section = f.under
	// {"columns": ["ip", "port"], "rows": [["1.2.3.4", 80]]}
	if head := headOf(row); head != nil {
		r.heads = head
		return
	}
	head := r.heads
	if len(head) != row.n {
		head = nil
	}
	row.resolve(r.lines, head)
}

// hand gives what an object says of the one around it to that one: a login, or
// the protocols in {"types": [{"type": "http"}, {"type": "https"}]}.
func (r *records) hand(f *frame) {
	if !f.host.empty() || len(f.ports) > 0 {
		return
	}
	around := &r.stack[r.n-1]
	names := f.role == roleProto || around.array && around.role == roleProto
	if !around.array && f.claims != (claims{}) {
		around.claims = around.claims.over(f.claims)
	}
	if q := f.said(); q != 0 && !around.array {
		around.beside, around.others = q, around.others+1
	}
	login := !f.user.empty() && !f.pass.empty()
	for _, w := range f.wholes {
		login = login && bytes.IndexByte(f.at(w), ':') < 0
	}
	if !names && !login {
		return
	}
	for i := r.n - 1; i >= 1; i-- {
		a := &r.stack[i]
		if a.array {
			continue
		}
		if names {
			a.protos |= f.said()
			if a.protos == 0 && f.other != "" {
				a.other = f.other
			}
		}
		if login && a.user.empty() && a.pass.empty() {
			a.user, a.pass = a.keep(f.at(f.user)), a.keep(f.at(f.pass))
		}
		return
	}
}

// patron returns the object around f when that may still name the protocol of
// its entries; nil when nothing can come of waiting.
func (r *records) patron(f *frame) *frame {
	const most = 64 // that wait; others are given at once
	if r.n < 2 {
		return nil
	}
	a := &r.stack[r.n-1]
	if a.array || a.skip || a.detail || len(a.late)+len(f.ports)+len(f.wholes)+len(f.kids)+len(f.late) > most || len(a.text) > maxFrameText/2 {
		return nil
	}
	return a
}

// give emits an entry, or lets it wait for its protocol.
func (r *records) give(en *entry) {
	a := r.waits
	if r.cell && a == nil {
		r.settle()
		if en.protos == 0 {
			r.hold(en)
			return
		}
	}
	if a == nil || en.protos != 0 {
		r.e.emit(en)
		return
	}
	text := en.host.text
	if len(text) == 0 {
		text = []byte(en.host.addr.String())
	}
	a.late = append(a.late, late{a.keep(text), a.keep(en.user), a.keep(en.pass), en.port, en.claims})
}

// hold keeps the entry of an element until the next one has come.
func (r *records) hold(en *entry) {
	r.pending, r.pend, r.text = *en, true, r.text[:0]
	for _, p := range []*[]byte{&r.pending.host.text, &r.pending.user, &r.pending.pass} {
		from := len(r.text)
		r.text = append(r.text, *p...)
		*p = r.text[from:len(r.text):len(r.text)]
	}
}

// settle gives the entry that is held.
func (r *records) settle() {
	if r.pend {
		r.pend = false
		r.e.emit(&r.pending)
	}
}

// overdue gives the entries that waited for the protocol of f.
func (r *records) overdue(f *frame, p protoSet) {
	for _, l := range f.late {
		en := &r.lines.en
		*en = entry{host: wholeHost(f.at(l.host)), port: l.port, protos: p, user: f.at(l.user), pass: f.at(l.pass), claims: l.claims.over(f.claims)}
		r.give(en)
	}
}

// resolve gives the entries of an object that is complete.
func (r *records) resolve(f *frame) {
	// Its own word first, then that of what is around it.
	p := f.said()
	if p == 0 {
		p = f.under
	}
	if p == 0 && f.denied == setHTTPS {
		p = r.e.notHTTPS()
	}
	if why := f.notSpoken(p); why != "" {
		if !f.host.empty() {
			r.e.reject(f.at(f.host), why)
		}
		return
	}
	if p == 0 {
		r.waits = r.patron(f)
		defer func() { r.waits = nil }()
	}
	if p == 0 && f.others == 1 && len(f.late) > 0 {
		r.waits = nil
		r.overdue(f, f.beside)
		f.late = f.late[:0]
		r.waits = r.patron(f)
	}
	r.overdue(f, p)
	// Strings that hold all of an entry may name the scheme, so they go first, and
	// the split fields add only what they have not given.
	r.same = 0
	r.readWholes(f, p)
	switch {
	// the plain case, and ports of its own below
	case !f.host.empty() && len(f.ports)+len(f.kids) > 0:
		if len(f.ports) > r.same {
			r.pairs(f, f.at(f.host), p)
		}
		for _, k := range f.kids {
			r.pair(f, f.at(f.host), k.port, k.protos|p)
		}
	// a port of 0, over 65535, or words
	case !f.host.empty() && f.noPort:
		r.e.reject(f.at(f.host), "no port from 1 to 65535 with it")
	// "999.1.1.1" or a text in place of the host
	case !f.bad.empty() && len(f.ports) > 0:
		r.e.reject(f.at(f.bad), "not an address")
	// "1.2.3.4": {"port": 80}
	case f.host.empty() && len(f.ports) > 0 && !f.label.empty():
		r.pairs(f, f.at(f.label), p)
	case f.columns():
		r.readColumns(f, p)
	case f.host.empty() && len(f.ports) > 0:
		r.adopt(f, p)
	}
}

// columns reports whether the arrays of an object are the columns of a table.
func (f *frame) columns() bool {
	return f.host.empty() && len(f.column) > 0 && len(f.column) == len(f.nums)
}

// readColumns reads {"ip": ["1.2.3.4", ...], "port": [80, ...]}, in which a
// column for protocols may stand as well.
func (r *records) readColumns(f *frame, p protoSet) {
	for i, text := range f.column {
		q := p
		if len(f.kinds) == len(f.column) {
			q = f.kinds[i]
		}
		if h := wholeHost(f.at(text)); h.valid() && f.nums[i] != 0 {
			r.give(&entry{host: h, port: f.nums[i], protos: q, claims: f.claims})
		} else if !text.empty() {
			r.e.reject(f.at(text), "no address with a port from 1 to 65535")
		}
	}
}

// notSpoken says why an object of a protocol p, or of another one, is refused.
func (f *frame) notSpoken(p protoSet) string {
	switch {
	// an outbound of another kind
	case p == 0 && f.other != "":
		return "protocol " + f.other + " is not spoken"
	case f.tls && f.rank == roleHost && p != 0 && p&(setHTTP|setHTTPS) == 0:
		return "SOCKS inside TLS is not spoken"
	}
	return ""
}

// readWholes reads the strings that hold address and port in one.
func (r *records) readWholes(f *frame, p protoSet) {
	r.whose, r.lines.section = f, p
	for _, w := range f.wholes {
		r.lines.leading(f.at(w))
	}
	if !f.label.empty() && bytes.IndexByte(f.at(f.label), ':') >= 0 {
		r.lines.leading(f.at(f.label))
	}
	r.whose = nil
}

// take is where the lines of strings go.
func (r *records) take(en *entry) {
	// The string belongs to an object, whose login goes with it. Where its split
	// fields say the same they are done with.
	if f := r.whose; f != nil {
		en.claims = f.claims
		for _, port := range f.ports {
			if port == en.port && wholeHost(f.at(f.host)).same(en.host) {
				r.same = len(f.ports)
			}
		}
		if len(en.user) == 0 && !f.user.empty() && !f.pass.empty() {
			en.user, en.pass = f.at(f.user), f.at(f.pass)
		}
	}
	r.give(en)
}

// pairs gives one entry for each port of an object.
func (r *records) pairs(f *frame, text []byte, p protoSet) {
	for _, port := range f.ports {
		r.pair(f, text, port, p)
	}
}

// pair gives one entry, with the login of the object. A user alone is more often
// who uploaded the list than a login.
func (r *records) pair(f *frame, text []byte, port uint16, p protoSet) {
	en := &r.lines.en
	*en = entry{host: wholeHost(text), port: port, protos: p, claims: f.claims}
	if !en.host.valid() {
		return
	}
	if !f.user.empty() && !f.pass.empty() {
		en.user, en.pass = f.at(f.user), f.at(f.pass)
	}
	r.give(en)
}

// adopt gives the ports of an object without a host, such as
// "socks5": {"port": 1080}, to the object around it.
func (r *records) adopt(f *frame, p protoSet) {
	const most = 64
	fits := false
	// f was the last frame, so r.n is its place. Arrays between do not count, but
	// the keys on the way must say that it is about ports or protocols.
	for i := r.n; i >= 1; i-- {
		a := &r.stack[i]
		if a != f && !a.array {
			if fits && len(a.kids) < most {
				for _, port := range f.ports {
					a.kids = append(a.kids, kid{port, p})
				}
			}
			return
		}
		fits = fits || a.role.isFlag() || a.role == rolePort || a.role == roleProto || a.role == roleWhole
	}
}

// said is what the object itself says of its protocol so far.
func (f *frame) said() protoSet {
	switch {
	case f.protos&setHTTP != 0 && f.tls && f.rank == roleHost: // Clash and sing-box
		return f.protos&^setHTTP | setHTTPS
	// sing-box
	case f.protos == setSOCKS4|setSOCKS5 && f.socks != 0:
		return f.socks
	case f.protos != 0:
		return f.protos
	}
	return f.flags
}
