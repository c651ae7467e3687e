package scraper

import (
	"bytes"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// treeBuilder makes the tree that selectors need, in one pass over the tokens of
// a page. It is not html.Parse because what that makes of a page may be any
// number of times larger than the page: it opens elements like <b> that were
// not closed again in every paragraph, so 40 KB can become a million nodes.
// Here a token makes at most three.
//
// The tree is the one that browsers make of pages without gross mistakes: html,
// head and body are always there, rows stand in a tbody, and end tags that may
// be left out are filled in.
type treeBuilder struct {
	z     *html.Tokenizer
	head  *html.Node
	open  []*html.Node // innermost last; open[0] is the body
	began bool         // something of the body has come
	wild  bool         // too deep, or an element has too many attributes
	slab  []html.Node
	attrs []html.Attribute
}

// Real pages stay below 60 and 100.
const (
	maxTreeDepth = 200 // elements inside each other
	maxTreeAttrs = 256 // of one element
)

// parseTree makes a tree of a page; nil when working with it would cost much.
func parseTree(b []byte) *html.Node {
	t := &treeBuilder{z: html.NewTokenizer(bytes.NewReader(b))}
	t.z.SetMaxBuf(maxPage + 1)
	doc, root := &html.Node{Type: html.DocumentNode}, t.element(atom.Html, nil)
	t.head = t.element(atom.Head, nil)
	body := t.element(atom.Body, nil)
	doc.AppendChild(root)
	root.AppendChild(t.head)
	root.AppendChild(body)
	t.open = append(t.open, body)
	for !t.wild {
		switch t.z.Next() {
		case html.ErrorToken:
			return doc
		case html.TextToken:
			t.text(tokenText(t.z))
		case html.StartTagToken, html.SelfClosingTagToken:
			t.start(root)
		case html.EndTagToken:
			tag, _ := rawTag(t.z.Raw())
			t.end(tag)
		}
	}
	return nil
}

// node takes a node from memory that is made for many.
func (t *treeBuilder) node() *html.Node {
	const many = 128
	if len(t.slab) == 0 {
		t.slab = make([]html.Node, many)
	}
	n := &t.slab[0]
	t.slab = t.slab[1:]
	return n
}

// element makes an element; name is only needed for those that HTML does not know.
func (t *treeBuilder) element(tag atom.Atom, name []byte) *html.Node {
	n := t.node()
	n.Type, n.DataAtom, n.Data = html.ElementNode, tag, tag.String()
	if tag == 0 {
		n.Data = string(name)
	}
	return n
}

// top is the innermost element that is open.
func (t *treeBuilder) top() *html.Node { return t.open[len(t.open)-1] }

// text adds a text.
func (t *treeBuilder) text(b []byte) {
	at := t.top()
	if !t.began {
		last := t.head.LastChild
		switch {
		// what a title, a style sheet or a script holds
		case last != nil && isRaw(last.DataAtom) && last.FirstChild == nil && t.inHead():
			at = last
		case len(trimSpace(b)) == 0:
			return
		}
	}
	n := t.node()
	n.Type, n.Data = html.TextNode, string(b)
	at.AppendChild(n)
}

// inHead reports whether the element that was opened last stands in the head.
func (t *treeBuilder) inHead() bool { return len(t.open) > 1 && t.top() == t.head.LastChild }

// isRaw knows the elements that hold nothing but text.
func isRaw(tag atom.Atom) bool {
	return tag == atom.Title || tag == atom.Style || tag == atom.Script || tag == atom.Noscript
}

// start adds an element and opens it unless it is empty.
func (t *treeBuilder) start(root *html.Node) {
	name, more := t.z.TagName()
	tag := atom.Lookup(name)
	switch tag {
	case atom.Html:
		root.Attr = append(root.Attr, t.attributes(more)...)
		return
	case atom.Body:
		t.began = true
		t.open[0].Attr = append(t.open[0].Attr, t.attributes(more)...)
		return
	case atom.Head:
		return
	}
	n := t.element(tag, name)
	n.Attr = t.attributes(more)
	if !t.began && (isRaw(tag) || tag == atom.Meta || tag == atom.Link || tag == atom.Base) {
		t.head.AppendChild(n)
	} else {
		t.began = true
		t.imply(tag)
		t.top().AppendChild(n)
	}
	if !isVoid(tag) {
		t.open = append(t.open, n)
	}
	t.wild = t.wild || len(t.open) > maxTreeDepth
}

// attributes reads those of the element that begins.
func (t *treeBuilder) attributes(more bool) []html.Attribute {
	if !more {
		return nil
	}
	const many = 128
	if cap(t.attrs)-len(t.attrs) < many/8 {
		t.attrs = make([]html.Attribute, 0, many)
	}
	from := len(t.attrs)
	for more && !t.wild {
		t.wild = len(t.attrs)-from == maxTreeAttrs
		var key, val []byte
		key, val, more = t.z.TagAttr()
		t.attrs = append(t.attrs, html.Attribute{Key: string(key), Val: string(val)})
	}
	return t.attrs[from:len(t.attrs):len(t.attrs)]
}

// imply closes and opens what browsers close and open before an element.
func (t *treeBuilder) imply(tag atom.Atom) {
	switch tag {
	case atom.Td, atom.Th:
		t.close(atom.Table, atom.Td, atom.Th)
		t.within(atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot, atom.Table)
	case atom.Tr:
		t.close(atom.Table, atom.Tr)
		t.within(atom.Tbody, atom.Table)
	case atom.Tbody, atom.Thead, atom.Tfoot:
		t.close(atom.Table, atom.Tbody, atom.Thead, atom.Tfoot)
	case atom.Li:
		t.close(atom.Ul, atom.Li)
	case atom.Dd, atom.Dt:
		t.close(atom.Dl, atom.Dd, atom.Dt)
	case atom.Option, atom.Optgroup:
		t.close(atom.Select, atom.Option)
	case atom.P, atom.Div, atom.Ul, atom.Ol, atom.Dl, atom.Pre, atom.Form, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Section, atom.Article,
		atom.Header, atom.Footer, atom.Main, atom.Nav, atom.Aside, atom.Blockquote, atom.Center, atom.Hr, atom.Fieldset, atom.Details:
		if t.top().DataAtom == atom.P {
			t.open = t.open[:len(t.open)-1]
		}
	}
}

// close closes the innermost element that is one of tags and what is open in
// it, not looking beyond the element around them, or a cell or list that
// separates them.
func (t *treeBuilder) close(around atom.Atom, tags ...atom.Atom) {
	for i := len(t.open) - 1; i > 0; i-- {
		have := t.open[i].DataAtom
		for _, tag := range tags {
			if have == tag {
				t.open = t.open[:i]
				return
			}
		}
		if have == around || have == atom.Table || around != atom.Table && (have == atom.Td || have == atom.Th || have == atom.Ol) {
			return
		}
	}
}

// within opens the first of tags if the innermost element is another one of
// them: a row in a table gets a tbody, a cell in a tbody a row.
func (t *treeBuilder) within(tags ...atom.Atom) {
	at := t.top().DataAtom
	for i, tag := range tags {
		if at != tag {
			continue
		}
		if i > 0 {
			if tags[0] == atom.Tr && tag == atom.Table {
				t.within(atom.Tbody, atom.Table)
			}
			n := t.element(tags[0], nil)
			t.top().AppendChild(n)
			t.open = append(t.open, n)
		}
		return
	}
}

// end closes the innermost element of a name. Parts of tables are closed by
// nothing but the ends of such parts.
func (t *treeBuilder) end(tag atom.Atom) {
	part := isPart(tag) || tag == atom.Tbody || tag == atom.Thead || tag == atom.Tfoot
	for i := len(t.open) - 1; i > 0; i-- {
		have := t.open[i].DataAtom
		if have == tag {
			t.open = t.open[:i]
			return
		}
		if have == atom.Table || !part && isPart(have) {
			return
		}
	}
}
