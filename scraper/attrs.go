package scraper

import (
	"bytes"
	"strings"

	"golang.org/x/net/html/atom"
)

// Attributes matter in three ways: they hide elements, they say what a cell is
// ("data-label", class "port"), and some hold the value itself, plain or in a
// disguise ("data-ip", "value"). Links and titles are never entries, because
// they lead to pages about an address.

// attribute is a name and a value of the element that begins.
type attribute struct{ key, val []byte }

// attributes reads the attributes of the element that begins and reports
// whether the page does not show it.
func (h *htmlReader) attributes(tag atom.Atom, more bool) (hidden bool) {
	h.attrs = h.attrs[:0]
	for more && len(h.attrs) < maxAttrs {
		var a attribute
		if a.key, a.val, more = h.z.TagAttr(); len(a.key) == 0 {
			continue
		}
		h.attrs = append(h.attrs, a)
		switch string(a.key) {
		case "hidden":
			hidden = true
		case "aria-hidden": // of icons beside a text it says nothing
			hidden = hidden || (isPart(tag) || tag == atom.Li) && strings.EqualFold(string(a.val), "true")
		case "style":
			hidden = hidden || cssHides.Match(a.val)
		case "class":
			hidden = hidden || h.unseen(a.val)
		case "id":
			hidden = hidden || h.facts.hidden["#"+string(a.val)]
		case "type":
			hidden = hidden || tag == atom.Input && strings.EqualFold(string(a.val), "hidden")
		}
	}
	// Its text comes with the next tokens.
	if h.decoy.is = hidden && (tag == atom.Tr || tag == atom.Li); h.decoy.is {
		h.decoy.text, h.decoy.line = h.decoy.text[:0], h.e.line
	}
	return hidden || tag == atom.Noscript || tag == atom.Template || tag == atom.Svg
}

// unseen reports whether one of the classes says that the element is a decoy
// or not shown.
func (h *htmlReader) unseen(classes []byte) bool {
	for class := range bytes.FieldsSeq(classes) {
		if name := string(class); h.facts.hidden["."+name] || isDecoy(name) {
			return true
		}
	}
	return false
}

// apply uses the attributes of an element that is shown.
func (h *htmlReader) apply(tag atom.Atom) {
	if h.pair(tag) {
		return
	}
	for _, a := range h.attrs {
		if holdsJSON(a.val) {
			h.e.nested(a.val)
			continue
		}
		switch name := string(a.key); {
		case name == "class":
			h.classes(a.val)
		case name == "id" || name == "data-label" || name == "data-title" || name == "data-th" || name == "data-column":
			h.setRole(keyRole(a.val))
		case name == "rowspan" && (tag == atom.Td || tag == atom.Th):
			h.cur.reach = rowSpan(a.val)
		case name == "href":
			h.link(a.val)
		case name == "value" && (tag == atom.Input || tag == atom.Option || tag == atom.Li || tag == atom.Td) || strings.HasPrefix(name, "data-"):
			h.alternative(name, a.val)
		}
	}
}

// attrPair is an entry that the attributes of one element make.
type attrPair struct {
	host   string
	port   uint16
	protos protoSet
}

// pair reads an element whose attributes are all of an entry, such as
// <tr data-ip="1.2.3.4" data-port="80" data-type="http">. Those of a row count
// when its cells hold none.
func (h *htmlReader) pair(tag atom.Atom) bool {
	const prefix = "data-"
	if len(h.attrs) < 2 || h.inCell && tag != atom.Tr {
		return false
	}
	var p attrPair
	for _, a := range h.attrs {
		if !bytes.HasPrefix(a.key, []byte(prefix)) || len(a.val) > maxCoded {
			continue
		}
		val := trimSpace(a.val)
		switch r := keyRole(a.key[len(prefix):]); {
		case r.isHost() && wholeHost(val).addr.IsValid():
			p.host = string(val)
		case r.isHost():
			p.host = string(decodeHost(val))
		case r == rolePort:
			if p.port, _ = wholePort(val); p.port == 0 {
				p.port, _ = wholePort(decodePort(val))
			}
		case r == roleProto:
			p.protos = protocolCell(val)
		}
	}
	switch {
	case p.port == 0 || !wholeHost([]byte(p.host)).addr.IsValid():
		return false
	case tag == atom.Tr:
		h.given = p
	case h.inRow:
		return false
	default:
		h.flow.hold(&entry{host: wholeHost([]byte(p.host)), port: p.port, protos: p.protos}, p.protos != 0)
	}
	return true
}

// holdsJSON reports whether an attribute holds a document, as pages do that a
// script fills in.
func holdsJSON(val []byte) bool {
	const shortest = 20
	return len(val) > shortest && (val[0] == '{' || val[0] == '[') && isJSONStart(val)
}

// classes reads what classes say of the kind of a cell, and those by which
// scripts or style sheets fill in a text.
func (h *htmlReader) classes(val []byte) {
	for class := range bytes.FieldsSeq(val) {
		if s, ok := h.facts.content[string(class)]; ok {
			h.text = append(h.text, s...)
		}
		r := keyRole(class)
		// what has a class of its own is a word of its own
		if r == rolePort || r == roleProto {
			h.text = append(h.text, ' ')
		}
		h.setRole(r)
	}
}

// isDecoy knows the classes by which sites mark rows that only robots read.
func isDecoy(class string) bool {
	class = strings.ToLower(class)
	return strings.Contains(class, "decoy") || strings.Contains(class, "honeypot") || class == "trap" || class == "fake"
}

// setRole remembers what a cell says of itself.
func (h *htmlReader) setRole(r role) {
	if r.isHost() || r == rolePort || r == roleProto {
		h.cur.role = r
	}
}

// link reads "/1.2.3.4/80#https", which says the protocol of a row, and links
// to SOCKS proxies.
func (h *htmlReader) link(val []byte) {
	// "/45.9.8.7/80#https"
	if i := bytes.LastIndexByte(val, '#'); i > 0 {
		if p := protocolWord(val[i+1:]); p != 0 && bytes.Count(val[:i], []byte(".")) >= 3 {
			h.hint |= p
		}
	}
	if bytes.HasPrefix(val, []byte("socks")) {
		h.alternative("data-link", val)
	}
}

// alternative keeps the value of an attribute that may be what a cell means: an
// address or a port, plain or hidden.
func (h *htmlReader) alternative(name string, val []byte) {
	val = trimSpace(val)
	if len(val) == 0 || len(val) > maxCoded || h.cur.nalt == len(h.cur.alts) {
		return
	}
	// A checkbox whose value is the address and a class.
	if host, class, ok := bytes.Cut(val, []byte("|")); ok { // "1.2.3.4|r1", a class that gets the port
		if port, known := h.facts.content[string(class)]; known {
			val = append(append(bytes.Clone(host), ':'), port...)
		}
	}
	r := keyRole([]byte(strings.TrimPrefix(name, "data-")))
	_, number := wholePort(val)
	switch {
	case isAddress(val):
	// a number may be a port only when something says so
	case number && (r == rolePort || h.cur.role == rolePort || name == "data-text" || name == "data-value"):
	case r == rolePort:
		val = decodePort(val)
	default:
		val = decodeHost(val)
	}
	if val == nil {
		return
	}
	h.setRole(r)
	// It is kept in the memory of the row; visible takes it out of the text again.
	from := len(h.text)
	h.text = append(h.text, val...)
	h.cur.alts[h.cur.nalt] = span{from, len(h.text)}
	h.cur.nalt++
}
