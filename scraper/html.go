package scraper

import (
	"bytes"
	"io"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	maxPage     = 8 << 20 // of HTML that is read as such
	maxOpenTags = 256     // elements inside each other that are followed
	maxAttrs    = 64      // of one element that are looked at
	maxCloses   = 32      // how far up the element that an end tag closes is looked for
)

// htmlReader reads a page in one pass over its tokens, without a tree: what a
// row is, is known from the tags around it, and pages of any depth and with
// any errors cost the same.
//
// Rows of tables go to tableRow, all other text to flow, a stretch at a time.
// Tags within a line, such as <b>, do not separate what is beside them, because
// pages cut addresses into pieces with them; tags that begin a line do. What
// the page does not show is left out. Scripts that write are run where they
// stand and what they write is text; others are searched for data.
type htmlReader struct {
	e     *emitter
	z     *html.Tokenizer
	facts *pageFacts
	flow  *flow
	rows  *liner // for cells that hold whole entries

	// Where in the page we are.
	open   []atom.Atom // elements, innermost last
	over   int         // elements below maxOpenTags
	decoy  decoy       // the row that is not shown
	hidden int         // how many elements were open when what is not shown began; 0: shown
	raw    atom.Atom   // the element whose raw text comes next
	attrs  []attribute // of the element that begins; valid until the next token

	// What is being collected.
	text   []byte  // of the row, or of the stretch outside of tables
	cur    piece   // the cell, or that stretch
	cells  []piece // of the row, those that have ended
	inRow  bool
	inCell bool
	hint   protoSet // from a link in the row
	head   columns  // of the table; nil: none

	spans   []spanned // cells of rows above that reach down
	fallen  int       // how often one did
	upright bool      // the rows of the table are the fields of an entry
	given   attrPair  // what the attributes of the row say
}

// decoy is a row that the page does not show, which is refused when it ends.
type decoy struct {
	is   bool
	line int
	text []byte // its beginning
}

// decoyWords collects the text of a row that is not shown.
func (h *htmlReader) decoyWords(b []byte) {
	d := &h.decoy
	if b = trimSpace(b); !d.is || len(b) == 0 || len(d.text) > maxRejected {
		return
	}
	if len(d.text) > 0 {
		d.text = append(d.text, ' ')
	}
	d.text = append(d.text, b[:min(len(b), maxRejected)]...)
}

// endDecoy refuses the row.
func (h *htmlReader) endDecoy() {
	h.hidden = 0
	if !h.decoy.is {
		return
	}
	line := h.e.line
	h.e.line, h.decoy.is = h.decoy.line, false
	h.e.reject(h.decoy.text, "a row that the page does not show")
	h.e.line = line
}

// piece is a cell, or a stretch of text outside of tables between two tags
// that break lines.
type piece struct {
	text span
	alts [2]span // what attributes say, in the same memory
	nalt int
	role role // what classes and labels say it is
	torn bool // a script in it was not understood

	reach int // over how many rows the cell reaches; 0: its own
}

// readHTML reads a page from a stream.
func (e *emitter) readHTML(r io.Reader) error {
	// The page is needed whole, because scripts and style sheets at its end may say
	// what its beginning means.
	b, err := io.ReadAll(io.LimitReader(r, maxPage+1))
	if len(b) > maxPage {
		e.reject(nil, "a page over 8 MiB; the rest is not read")
		b = b[:maxPage]
	}
	if len(e.o.HTML) > 0 && e.depth == 0 && e.selected(b) {
		return err
	}
	e.htmlBytes(b)
	return err
}

// htmlBytes reads a page, or a piece of one, that is in memory.
func (e *emitter) htmlBytes(b []byte) {
	h := &htmlReader{e: e, z: html.NewTokenizer(bytes.NewReader(b)), facts: readPageFacts(b), rows: newLiner(e)}
	h.flow = newFlow(e)
	// A token may be the whole page: a list in <pre>.
	h.z.SetMaxBuf(maxPage + 1)
	if e.depth == 0 {
		e.line = 1
	}
	for !e.done {
		tt := h.z.Next()
		if tt == html.ErrorToken {
			break
		}
		if e.depth == 0 {
			e.line += bytes.Count(h.z.Raw(), []byte("\n"))
		}
		switch tt {
		case html.StartTagToken, html.SelfClosingTagToken:
			h.start(tt == html.SelfClosingTagToken)
		case html.EndTagToken:
			h.end()
		case html.TextToken:
			h.words(tokenText(h.z))
		}
	}
	h.endDecoy()
	h.endRow()
	h.endSegment()
	h.flow.flush()
}

// tokenText is the text of a token; the plain case needs no memory.
func tokenText(z *html.Tokenizer) []byte {
	if raw := z.Raw(); bytes.IndexByte(raw, '&') < 0 && bytes.IndexByte(raw, 0) < 0 {
		return raw
	}
	return z.Text()
}

// rawTag reads the name of a tag and whether anything follows it, without the
// copies that the tokenizer makes. Names that are no elements of HTML are 0.
func rawTag(raw []byte) (tag atom.Atom, more bool) {
	// raw begins with "<" or "</".
	raw = bytes.TrimPrefix(raw[1:], []byte("/"))
	var low [16]byte
	for i, c := range raw {
		switch {
		case c == '>':
			return atom.Lookup(low[:i]), false
		case c <= ' ' || c == '/':
			return atom.Lookup(low[:i]), true
		case i == len(low):
			return 0, true
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		}
		low[i] = c
	}
	return 0, true
}

// start acts on the beginning of an element.
func (h *htmlReader) start(closed bool) {
	tag, more := rawTag(h.z.Raw())
	h.raw = tag
	shown := h.hidden == 0
	// A concealed element does not even break the line: pages cut addresses with
	// them. Cells do, or the columns would shift.
	concealed := shown && h.attributes(tag, more)
	if shown && (!concealed || isPart(tag)) {
		h.breakAt(tag, true)
		h.begin(tag, concealed)
	}
	if shown && !concealed && len(h.attrs) > 0 {
		h.apply(tag)
	}
	// Elements that cannot hold others are never open.
	switch {
	case isVoid(tag) || closed:
	case len(h.open) == maxOpenTags:
		h.over++
	default:
		h.open = append(h.open, tag)
		if concealed {
			h.hidden = len(h.open)
		}
	}
}

// isPart reports whether an element is a part of a table also when it is not shown.
func isPart(tag atom.Atom) bool {
	return tag == atom.Table || tag == atom.Tr || tag == atom.Td || tag == atom.Th
}

// isHeading knows the elements that begin a section.
func isHeading(tag atom.Atom) bool {
	switch tag {
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		return true
	}
	return false
}

// breakAt ends what a tag ends, at its beginning and at its end.
func (h *htmlReader) breakAt(tag atom.Atom, begins bool) {
	switch tag {
	// what is outside of a table is never paired with what is inside
	case atom.Table, atom.Tr:
		h.endRow()
		h.endSegment()
		if tag == atom.Table {
			h.head, h.upright, h.spans = nil, false, nil
		}
		if !h.upright {
			h.flow.flush()
		}
	case atom.Td, atom.Th:
		h.endCell()
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Hr:
		h.endBlock()
		if !h.inRow {
			h.flow.flush()
		}
		// The protocol that a heading named holds until the next heading.
		if isHeading(tag) && begins {
			h.flow.lines.section = 0
		}
	case atom.Br, atom.P, atom.Div, atom.Li, atom.Dd, atom.Dt, atom.Option, atom.Pre, atom.Section, atom.Article, atom.Textarea, atom.Body, atom.Header,
		atom.Footer, atom.Nav, atom.Main, atom.Form, atom.Center, atom.Blockquote, atom.Title, atom.Label, atom.Fieldset, atom.Summary, atom.Details:
		h.endBlock()
	// these stand beside each other with space between
	case atom.A, atom.Button, atom.Img, atom.Input:
		h.text = append(h.text, ' ')
	}
}

// endBlock ends a line of text: in a cell it goes on.
func (h *htmlReader) endBlock() {
	if h.inCell {
		h.text = append(h.text, '\n')
	} else {
		h.endSegment()
	}
}

// begin opens a row or a cell; cells may stand outside of tables and rows in
// pieces of pages.
func (h *htmlReader) begin(tag atom.Atom, concealed bool) {
	switch tag {
	case atom.Tr:
		h.endSegment()
		h.inRow = !concealed
	case atom.Td, atom.Th:
		if !h.inRow {
			h.endSegment()
			h.flow.flush()
		}
		h.inRow, h.inCell = true, true
		h.cur = piece{text: span{len(h.text), 0}}
		if concealed { // it still counts as a column
			h.endCell()
		}
	}
}

// end acts on an end tag: it closes the innermost element of that name.
func (h *htmlReader) end() {
	tag, _ := rawTag(h.z.Raw())
	if h.hidden == 0 {
		h.breakAt(tag, false)
	}
	if h.over > 0 {
		h.over--
		return
	}
	// An end tag without a beginning changes nothing. Looking far up for it would
	// let a page cost time.
	for i := len(h.open) - 1; i >= max(0, len(h.open)-maxCloses); i-- {
		if h.open[i] == tag {
			h.open = h.open[:i]
			break
		}
	}
	if len(h.open) < h.hidden {
		h.endDecoy()
	}
}

// isVoid knows the elements that have no end tag.
func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// words takes text between tags.
func (h *htmlReader) words(b []byte) {
	raw := h.raw
	h.raw = 0
	if h.hidden > 0 {
		h.decoyWords(b)
		return
	}
	switch raw {
	case atom.Script:
		h.script(b)
	case atom.Style, atom.Title, atom.Noscript, atom.Iframe, atom.Noframes, atom.Xmp, atom.Noembed, atom.Plaintext:
	default:
		// no-break spaces are spaces
		for {
			i := bytes.Index(b, []byte("\u00a0"))
			if i < 0 {
				break
			}
			h.text = append(append(h.text, b[:i]...), ' ')
			b = b[i+2:]
		}
		h.text = append(h.text, b...)
	}
}

// script takes what a script writes as text. One that should have written but
// is not understood leaves its cell torn, because a part of it is missing.
func (h *htmlReader) script(src []byte) {
	js := &h.facts.js
	// Short scripts without a block are calls of functions that the page defines;
	// the script knows which of them write.
	writes := bytes.Contains(src, []byte("document.write")) || len(src) < 300 && bytes.IndexByte(src, '(') > 0 && bytes.IndexByte(src, '{') < 0 && !bytes.Contains(src, []byte("JSON.parse"))
	if !writes {
		if bytes.ContainsAny(src, "{[") || bytes.Contains(src, []byte("atob(")) {
			h.data(src)
		}
		return
	}
	if len(src) > maxScriptRun || !js.run(string(src)) {
		h.cur.torn = true
		return
	}
	if out := js.wrote.String(); out != "" {
		h.text = append(h.text, stripTags([]byte(out))...)
	}
}

// data reads the JSON and the literals that a script holds.
func (h *htmlReader) data(src []byte) {
	if h.e.depth >= maxDepth {
		return
	}
	h.e.depth++
	line := h.e.line
	h.e.jsonBytes(src, true)
	h.e.line = line
	h.e.depth--
}

// endCell ends a cell.
func (h *htmlReader) endCell() {
	if !h.inCell {
		return
	}
	h.inCell = false
	h.cur.text.to = len(h.text)
	if len(h.cells) < maxCells {
		h.cells = append(h.cells, h.cur)
	}
	h.cur = piece{}
}

// endRow ends a row and reads it.
func (h *htmlReader) endRow() {
	h.endCell()
	// A row without cells is that of another table around this one.
	if h.inRow && len(h.cells) > 0 {
		h.readRow()
		h.text = h.text[:0]
	}
	h.inRow, h.cells, h.hint, h.given = false, h.cells[:0], 0, attrPair{}
}

// readRow gives the row to tableRow. What is no row of a list may be a cell of a
// table that lays out the page, so its text is read as text.
func (h *htmlReader) readRow() {
	t := &h.e.row
	t.n = 0
	for _, p := range h.cells {
		h.fill(t.add(trimSpace(h.text[p.text.from:p.text.to])), p)
	}
	h.spread(t)
	h.e.countRow()
	if head := headOf(t); head != nil {
		h.head = head
		return
	}
	h.rows.section = h.hint
	if h.rows.section == 0 {
		h.rows.section = h.flow.lines.section
	}
	refused := h.e.stats.Refused
	if t.resolve(h.rows, h.head) || h.e.stats.Refused > refused {
		return
	}
	if h.given.port != 0 {
		h.e.emit(&entry{host: wholeHost([]byte(h.given.host)), port: h.given.port, protos: h.given.protos})
		return
	}
	section := h.flow.lines.section
	// a table on its side: a label and what it is
	if r, _, ok := cutLabel(t.cells[0].text); ok && t.n == 2 && labelled(r, t.cells[1].text) {
		h.upright = true
		h.flow.label = r
		h.flow.read(t.cells[1].text, roleNone)
		return
	}
	for i := range t.n { // a table that lays out the page
		if !t.cells[i].torn {
			h.flow.read(t.cells[i].text, roleNone)
		}
	}
	h.flow.flush()
	if t.n > 1 { // a cell among others is no heading of what follows
		h.flow.lines.section = section
	}
}

// fill sets what a cell says besides its text.
func (h *htmlReader) fill(c *cell, p piece) {
	c.role, c.torn = p.role, p.torn
	for i := range p.nalt {
		c.alts[i] = h.text[p.alts[i].from:p.alts[i].to]
	}
	if p.nalt > 0 && len(c.text) > 0 && p.alts[0].to <= p.text.to && p.alts[0].from >= p.text.from {
		c.text = h.visible(p)
	}
}

// visible is the text of a piece without the alternatives that stand in the
// same memory.
func (h *htmlReader) visible(p piece) []byte {
	var out []byte
	from := p.text.from
	for i := range p.nalt {
		out = append(out, h.text[from:p.alts[i].from]...)
		from = p.alts[i].to
	}
	return trimSpace(append(out, h.text[from:p.text.to]...))
}

// endSegment ends a stretch of text outside of tables.
func (h *htmlReader) endSegment() {
	if h.inRow && !h.inCell { // text between cells
		return
	}
	if h.inCell {
		return
	}
	if len(h.text) > 0 && !h.cur.torn {
		h.cur.text.to = len(h.text)
		h.flow.read(h.visible(h.cur), h.cur.role)
		for i := range h.cur.nalt {
			h.flow.read(h.text[h.cur.alts[i].from:h.cur.alts[i].to], h.cur.role)
		}
	}
	h.text, h.cur = h.text[:0], piece{}
}
