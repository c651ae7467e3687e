package scraper

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// The keys of ParseOptions.HTML. Each value is a CSS selector, which is looked
// for in the row, then optionally " @name" for an attribute instead of the
// text, then decoders, each behind " | ": "td.ip @data-ip | base64 | reverse".
// An empty selector is the row itself.
const (
	selectRow      = "row"      // one element for each entry; default "tr"
	selectHost     = "host"     // an address or a name, or address:port when there is no port
	selectPort     = "port"     // its port
	selectProtocol = "protocol" // its protocols
)

// checkSelectors reports the mistakes in ParseOptions.HTML.
func checkSelectors(m map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		switch key {
		// known
		case selectRow, selectHost, selectPort, selectProtocol:
		default:
			return fmt.Errorf("html: unknown key %q; use row, host, port or protocol", clip(key, 32))
		}
		if _, err := parsePicker(m[key]); err != nil {
			return fmt.Errorf("html: %s: %w", key, err)
		}
	}
	return nil
}

// picker takes one text out of an element.
type picker struct {
	sel   cascadia.Selector // nil: the element itself
	attr  string            // "": the text
	undos []undo
}

// parsePicker reads a value of ParseOptions.HTML.
func parsePicker(s string) (picker, error) {
	var p picker
	// With spaces, because "|" alone is part of attribute selectors.
	parts := strings.Split(s, " | ")
	sel := strings.TrimSpace(parts[0])
	if i := strings.LastIndex(" "+sel, " @"); i >= 0 {
		p.attr, sel = strings.ToLower(sel[i+1:]), strings.TrimSpace(sel[:i])
	}
	if sel != "" {
		var err error
		if p.sel, err = cascadia.Compile(sel); err != nil {
			return p, fmt.Errorf("bad selector %q: %w", clip(sel, 64), err)
		}
	}
	for _, name := range parts[1:] {
		u := undoNamed(strings.TrimSpace(name))
		if u == nil {
			return p, fmt.Errorf("unknown decoder %q; use base64, reverse, percent, rot13 or hex", clip(name, 32))
		}
		p.undos = append(p.undos, u)
	}
	return p, nil
}

// maxSelected is how many elements of a page are looked at, those that stand in
// several rows once for each. A page of 8 MiB has a million.
const maxSelected = 10_000_000

// selection reads a page by the selectors of its source. It is the one reader
// that builds a tree; scripts that write and classes that get a text work as in
// htmlReader, and rows that the page does not show are refused likewise.
type selection struct {
	e     *emitter
	facts *pageFacts
	pick  map[string]picker
	lines *liner
	steps int          // elements looked at
	found []*html.Node // memory of text
	out   []byte       // memory of text, which is valid until the row ends
}

// selected reads a page by selectors and reports whether it could: mistakes in
// the selectors are left to the reader that needs no tree.
func (e *emitter) selected(b []byte) bool {
	s := &selection{e: e, pick: map[string]picker{}, lines: newLiner(e)}
	// Parse has refused mistakes before; this is for those who come another way.
	for key, text := range e.o.HTML {
		p, err := parsePicker(text)
		if err != nil {
			e.reject([]byte(text), "selector that cannot be used")
			return false
		}
		s.pick[key] = p
	}
	root := parseTree(b)
	if root == nil {
		e.reject(nil, "a page too deep for selectors")
		return false
	}
	doc := goquery.NewDocumentFromNode(root)
	s.facts = readPageFacts(b)
	rows := s.pick[selectRow]
	if rows.sel == nil {
		rows, _ = parsePicker("tr")
	}
	for _, row := range doc.FindMatcher(rows.sel).Nodes {
		if s.out = s.out[:0]; !e.done && s.steps < maxSelected {
			s.row(row)
		}
	}
	if s.steps >= maxSelected {
		e.reject(nil, "a page whose rows are in each other; the rest is not read")
	}
	return true
}

// row reads one row.
func (s *selection) row(row *html.Node) {
	s.e.countRow()
	if s.concealed(row) {
		s.e.reject(plainText(nil, row, 0), "a row that the page does not show")
		return
	}
	var p protoSet
	// The column beats the source's default; a scheme in the text beats both.
	if pick, ok := s.pick[selectProtocol]; ok {
		p, _ = words(s.text(pick, row))
	}
	s.lines.section = p
	host := s.text(s.pick[selectHost], row)
	// Without a selector for ports the text holds both, in any shape.
	pick, ok := s.pick[selectPort]
	if !ok {
		before := s.e.stats.Taken + s.e.stats.Refused
		for line := range bytes.Lines(host) {
			s.lines.line(trimSpace(line), false)
		}
		if len(host) > 0 && s.e.stats.Taken+s.e.stats.Refused == before {
			s.e.reject(host, "no address with a port in what is selected")
		}
		return
	}
	// With both selectors the parts must be just that.
	en := entry{host: wholeHost(trimMarks(host)), protos: p}
	port, isPort := wholePort(trimMarks(s.text(pick, row)))
	switch en.port = port; {
	case en.host.valid() && isPort:
		s.e.emit(&en)
	case en.host.valid():
		s.e.reject(host, "no port from 1 to 65535 with it")
	case len(trimMarks(host)) > 0:
		s.e.reject(host, "not an address")
	}
}

// plainText adds the beginning of the text of a node, whether it is shown or
// not, for a rejection.
func plainText(out []byte, n *html.Node, deep int) []byte {
	if len(out) > maxRejected || deep > maxOpenTags {
		return out
	}
	if n.Type == html.TextNode {
		if text := strings.TrimSpace(n.Data); text != "" {
			if len(out) > 0 {
				out = append(out, ' ')
			}
			out = append(out, text[:min(len(text), maxRejected)]...)
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		out = plainText(out, c, deep+1)
	}
	return out
}

// text picks a text out of a row.
func (s *selection) text(p picker, row *html.Node) []byte {
	s.found = s.found[:0]
	if p.sel != nil {
		s.within(p.sel, row)
	} else {
		s.found = append(s.found, row)
	}
	// A row without the cell: a head, an advertisement.
	if len(s.found) == 0 {
		return nil
	}
	// An attribute is taken from the first element, text from all of them.
	from := len(s.out)
	if p.attr != "" {
		s.out = append(s.out, attr(s.found[0], p.attr)...)
	} else if !s.visible() {
		return nil
	}
	out := trimSpace(s.out[from:])
	for _, u := range p.undos {
		if out = u(out); out == nil {
			return nil
		}
	}
	return trimSpace(out)
}

// within finds the elements inside of n that a selector is for, in order.
func (s *selection) within(sel cascadia.Selector, n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if s.steps++; c.Type == html.ElementNode && s.steps < maxSelected {
			if sel(c) {
				s.found = append(s.found, c)
			}
			s.within(sel, c)
		}
	}
}

// visible adds the text that a browser would show of what was found, scripts
// run. It reports false when a script that writes is not understood.
func (s *selection) visible() (ok bool) {
	for _, n := range s.found {
		if s.out, ok = s.node(s.out, n, 0); !ok {
			return false
		}
		s.out = append(s.out, ' ')
	}
	return true
}

// node adds the text of a node and what is in it.
func (s *selection) node(out []byte, n *html.Node, deep int) ([]byte, bool) {
	if s.steps++; s.steps > maxSelected {
		return out, false
	}
	switch {
	// no-break spaces are spaces
	case n.Type == html.TextNode:
		return append(out, strings.ReplaceAll(n.Data, "\u00a0", " ")...), true
	case n.Type != html.ElementNode || deep > maxOpenTags || s.concealed(n) || n.DataAtom == atom.Style:
		return out, true
	// what it writes, if it is understood; an empty script writes nothing
	case n.DataAtom == atom.Script:
		if n.FirstChild == nil || len(n.FirstChild.Data) > maxScriptRun || !s.facts.js.run(n.FirstChild.Data) {
			return out, n.FirstChild == nil
		}
		return append(out, stripTags([]byte(s.facts.js.wrote.String()))...), true
	}
	// Texts that scripts or style sheets fill in.
	for class := range strings.FieldsSeq(attr(n, "class")) {
		out = append(out, s.facts.content[class]...)
	}
	ok := true
	for c := n.FirstChild; c != nil && ok; c = c.NextSibling {
		out, ok = s.node(out, c, deep+1)
	}
	switch n.DataAtom {
	case atom.Br, atom.P, atom.Div, atom.Li, atom.Tr:
		out = append(out, '\n')
	case atom.Td, atom.Th, atom.A:
		out = append(out, ' ')
	}
	return out, ok
}

// concealed reports whether a page does not show an element.
func (s *selection) concealed(n *html.Node) bool {
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return true
		case "aria-hidden":
			if (isPart(n.DataAtom) || n.DataAtom == atom.Li) && strings.EqualFold(a.Val, "true") {
				return true
			}
		case "style":
			if cssHides.MatchString(a.Val) {
				return true
			}
		case "class":
			for class := range strings.FieldsSeq(a.Val) {
				if isDecoy(class) || s.facts.hidden["."+class] {
					return true
				}
			}
		}
	}
	return false
}

// attr is the value of an attribute, "" when it is not there.
func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
