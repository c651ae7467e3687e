package scraper

import (
	"bytes"
	"strings"

	"golang.org/x/net/html/atom"
)

// attributes reads the attributes of the element that begins. It reports
// whether the element is not shown.
func (h *htmlReader) attributes(tag atom.Atom) (hidden bool) {
	for range maxAttrs {
		key, val, more := h.z.TagAttr()
		switch name := string(key); {
		case name == "style":
			hidden = hidden || cssHides.Match(val)
		case name == "hidden":
			hidden = true
		case name == "class":
			hidden = h.classes(val) || hidden
		case name == "id":
			hidden = hidden || h.facts.hidden["#"+string(val)]
			h.setRole(keyRole(val))
		case name == "data-label" || name == "data-title" || name == "data-th" || name == "data-column":
			h.setRole(keyRole(val))
		case name == "href":
			h.link(val)
		case name == "type" && tag == atom.Input && strings.EqualFold(string(val), "hidden"):
			hidden = true
		case name == "value" && (tag == atom.Input || tag == atom.Option || tag == atom.Li || tag == atom.Td) || strings.HasPrefix(name, "data-"):
			h.alternative(name, val)
		}
		if !more {
			break
		}
	}
	if hidden && (tag == atom.Tr || tag == atom.Li) {
		h.e.reject(nil, "a row that the page does not show")
	}
	return hidden
}

// classes reads the class attribute: hidden rows, the kind of a cell, and
// classes by which scripts or style sheets fill in a text.
func (h *htmlReader) classes(val []byte) (hidden bool) {
	for class := range bytes.FieldsSeq(val) {
		name := string(class)
		if s, ok := h.facts.content[name]; ok {
			h.text = append(h.text, s...)
		}
		hidden = hidden || h.facts.hidden["."+name] || isDecoy(name)
		h.setRole(keyRole(class))
	}
	return hidden
}

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
	if host, class, ok := bytes.Cut(val, []byte("|")); ok { // "1.2.3.4|r1", a class that gets the port
		if port, known := h.facts.content[string(class)]; known {
			val = append(append(bytes.Clone(host), ':'), port...)
		}
	}
	r := keyRole([]byte(strings.TrimPrefix(name, "data-")))
	_, number := wholePort(val)
	switch {
	case isAddress(val):
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
	if h.cur.text.from == 0 && !h.inCell && len(h.text) == 0 {
		h.cur.text.from = 0
	}
	from := len(h.text)
	h.text = append(h.text, val...)
	h.cur.alts[h.cur.nalt] = span{from, len(h.text)}
	h.cur.nalt++
}
