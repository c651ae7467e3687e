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
	row.resolve(r.lines, nil)
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
	case f.host.empty() && len(f.ports) > 0:
		r.adopt(f, p)
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
		for _, port := range f.ports {
			if port == en.port && wholeHost(f.at(f.host)).same(en.host) {
				r.same = len(f.ports)
			}
		}
		if len(en.user) == 0 && !f.user.empty() && !f.pass.empty() {
			en.user, en.pass = f.at(f.user), f.at(f.pass)
		}
	}
	r.e.emit(en)
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
	*en = entry{host: wholeHost(text), port: port, protos: p}
	if !en.host.valid() {
		return
	}
	if !f.user.empty() && !f.pass.empty() {
		en.user, en.pass = f.at(f.user), f.at(f.pass)
	}
	r.e.emit(en)
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
