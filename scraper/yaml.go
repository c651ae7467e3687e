package scraper

import (
	"bytes"
	"io"

	"go.yaml.in/yaml/v4"
)

const (
	maxYAMLItem  = 2 << 20   // of one top-level entry, or item of its list, that is read as YAML
	maxYAMLBytes = 4 << 20   // of all that needs a parser
	maxYAMLCalls = 20_000    // of the parser
	maxYAMLNodes = 1_000_000 // of one document, aliases followed
)

// yamlReader reads YAML an item at a time: a file is cut at its top-level keys
// and at the items of lists under them, each of which is a small document. So a
// mistake costs one item, and memory does not grow with the file.
//
// The lists written in YAML are configurations of Clash and its relatives, with
// thousands of one-line mappings under "proxies", and plain lists of strings.
// Names in them are decorated with anything, so files that are not quite YAML
// are common, and one wrong quote must not cost the other entries. Both kinds
// of items are read without a parser; see plain and flat.
type yamlReader struct {
	e     *emitter
	rec   *records
	lines *liner // for items that are plain strings, and what is no YAML
	key   []byte // the top-level key that we are under
	list  int    // indentation of the items of its list; -1: not known
	item  []byte
	first int // line of the item
	inKey bool
	inDoc bool                  // top-level pairs have opened the object that the document is
	saved map[string]*yaml.Node // anchors of items before this one
	nodes int
	bytes int    // given to the parser
	calls int    // of the parser
	pairs []pair // of an item that is read without a parser
}

// readYAML reads YAML from a stream.
func (e *emitter) readYAML(r io.Reader) error {
	y := &yamlReader{e: e, rec: newRecords(e), lines: newLiner(e), list: -1}
	lr := newLineReader(r)
	for !e.done {
		line, cont, ok := lr.next()
		if !ok {
			break
		}
		if !cont {
			e.line++
		}
		y.line(bytes.TrimRight(line, " \t\r\n"), cont)
	}
	y.flush()
	y.endDoc()
	y.rec.close()
	return lr.failure()
}

// line adds a line to the item that it belongs to, or begins another.
func (y *yamlReader) line(line []byte, cont bool) {
	// Tabs are not allowed in YAML, but people do indent with them.
	body := trimSpace(line)
	indent := len(line) - len(bytes.TrimLeft(line, " \t"))
	dash := len(body) > 0 && body[0] == '-' && (len(body) == 1 || body[1] == ' ')
	switch {
	case cont:
		y.add(line, false)
	case len(body) == 0 || body[0] == '#':
		y.add(nil, true)
	case indent == 0 && (string(body) == "---" || string(body) == "..."):
		y.flush()
		y.endDoc()
	// the first item of a list settles how far its items are indented
	case dash && len(y.item) == 0 && y.list < 0, dash && indent == y.list:
		y.flush()
		y.list = indent
		y.begin(line)
	// the next key ends everything before it
	case indent == 0 && !(y.list < 0 && isClosing(body)):
		y.flush()
		y.endKey()
		y.top(line)
	case y.list >= 0 && indent < y.list:
		y.flush()
		y.begin(line)
	default:
		if len(y.item) == 0 {
			y.first = y.e.line
		}
		y.add(line, true)
	}
}

// isClosing reports whether a line at the margin still belongs to what is
// above it: the end of a flow collection.
func isClosing(body []byte) bool { return body[0] == ']' || body[0] == '}' || body[0] == '{' }

// top begins a top-level entry: a key with nothing behind it may have a list.
func (y *yamlReader) top(line []byte) {
	body := line
	if i := bytes.Index(body, []byte(" #")); i > 0 {
		body = bytes.TrimRight(body[:i], " ")
	}
	if _, _, pairs := plainKey(body); pairs && !y.inDoc {
		y.inDoc = true
		y.rec.enter(false)
	}
	// The key opens an array, whatever is under it: a list, or a mapping.
	if n := len(body); n > 1 && body[n-1] == ':' {
		y.key = append(y.key[:0], bytes.Trim(body[:n-1], "\"' ")...)
		y.inKey, y.list = true, -1
		y.rec.key(y.key)
		y.rec.enter(true)
		return
	}
	y.begin(line)
}

func (y *yamlReader) begin(line []byte) {
	y.first = y.e.line
	y.add(line, true)
}

// add adds a line to the item. One that grows too large is read as text.
func (y *yamlReader) add(line []byte, end bool) {
	if len(y.item) == 0 && len(line) == 0 {
		return
	}
	if len(y.item)+len(line) > maxYAMLItem {
		y.text(y.item)
		y.item = y.item[:0]
	}
	y.item = append(y.item, line...)
	if end {
		y.item = append(y.item, '\n')
	}
}

// endKey ends the top-level key.
func (y *yamlReader) endKey() {
	if y.inKey {
		y.rec.leave()
	}
	y.inKey, y.list = false, -1
}

// endDoc ends the document, which is an object if it has pairs.
func (y *yamlReader) endDoc() {
	y.endKey()
	if y.inDoc {
		y.rec.leave()
	}
	y.inDoc = false
}

// flush reads the item that is complete.
func (y *yamlReader) flush() {
	item := y.item
	y.item = y.item[:0]
	if len(item) == 0 || y.rec.top().skip {
		return
	}
	line := y.e.line
	y.e.line = y.first
	if !y.plain(item) && !y.single(item) && !y.flat(item) && !y.parse(item) {
		y.text(item)
	}
	y.e.line = line
}

// text reads as lines what is no YAML, or too much of it.
func (y *yamlReader) text(item []byte) {
	y.lines.section = y.rec.top().under
	y.lines.text(item)
}

// parse reads an item with a YAML parser and reports whether it is YAML.
func (y *yamlReader) parse(item []byte) bool {
	// Parsing costs time for each call and each byte, so both have a limit.
	y.bytes += len(item)
	if y.calls++; y.bytes > maxYAMLBytes || y.calls > maxYAMLCalls {
		return false
	}
	root := y.load(item)
	if root == nil {
		return false
	}
	y.nodes = 0
	switch {
	// an item with its dash is a list of one
	case y.inKey && root.Kind == yaml.SequenceNode && y.list >= 0:
		for _, n := range root.Content {
			y.walk(n, 0)
		}
	case y.inKey && root.Kind == yaml.MappingNode: // the object that the key stands for
		y.rec.key(y.key)
		y.walk(root, 0)
	case y.inDoc && !y.inKey && root.Kind == yaml.MappingNode: // a pair of the document
		y.mapping(root, 0)
	default:
		y.walk(root, 0)
	}
	return true
}

// single reads a top-level "key: value" of one line without a YAML parser.
func (y *yamlReader) single(item []byte) bool {
	if y.inKey || !y.inDoc {
		return false
	}
	key, rest, ok := plainKey(bytes.TrimRight(item, "\n"))
	if !ok {
		return false
	}
	var quoted bool
	val, rest, ok := scalarOf(trimSpace(rest), "", &quoted)
	if !ok || len(rest) > 0 {
		return false
	}
	y.rec.key(key)
	y.rec.value(val, quoted)
	return true
}

// load parses an item; nil when it is no YAML. Anchors of items before it are
// known in it: a line before the item stands for them.
func (y *yamlReader) load(item []byte) *yaml.Node {
	text, stubs := item, 0
	if len(y.saved) > 0 && bytes.IndexByte(item, '*') >= 0 {
		indent := item[:len(item)-len(bytes.TrimLeft(item, " "))]
		list := bytes.HasPrefix(item[len(indent):], []byte("-"))
		text = nil
		for name := range y.saved {
			text = append(text, indent...)
			if list {
				text = append(text, "- &"+name+" 0\n"...)
			} else {
				text = append(text, "."+name+": &"+name+" 0\n"...)
			}
			stubs++
		}
		text = append(text, item...)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil || len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode {
		stubs *= 2
	}
	if stubs > 0 && len(root.Content) >= stubs {
		root.Content = root.Content[stubs:]
	}
	if bytes.IndexByte(item, '&') >= 0 {
		y.keep(root, 0)
	}
	return root
}

// keep remembers the anchors in a node for the items behind it.
func (y *yamlReader) keep(n *yaml.Node, deep int) {
	const most, deepest = 16, 8
	if n.Anchor != "" && n.Kind != yaml.AliasNode && len(y.saved) < most {
		if y.saved == nil {
			y.saved = map[string]*yaml.Node{}
		}
		y.saved[n.Anchor] = n
	}
	if deep < deepest {
		for _, c := range n.Content {
			y.keep(c, deep+1)
		}
	}
}

// target is what an alias stands for; nil when that is not known.
func (y *yamlReader) target(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.AliasNode || n.Alias == nil {
		return nil
	}
	if a := y.saved[n.Value]; a != nil && n.Alias.Kind == yaml.ScalarNode {
		return a
	}
	return n.Alias
}

// plain reads "- 1.2.3.4:80" and other scalars without a YAML parser.
func (y *yamlReader) plain(item []byte) bool {
	body := trimSpace(item)
	if len(body) < 3 || body[0] != '-' || body[1] != ' ' || bytes.IndexByte(body, '\n') >= 0 {
		return false
	}
	var quoted bool
	// What looks like a mapping or a list inside the item is left to the parser.
	val, rest, ok := scalarOf(trimSpace(body[1:]), "", &quoted)
	if !ok || len(rest) > 0 || !quoted && bytes.Contains(val, []byte(": ")) || bytes.HasSuffix(val, []byte(":")) || bytes.HasPrefix(val, []byte("- ")) {
		return false
	}
	y.rec.value(val, quoted)
	return true
}

// walk gives a node to the records. Aliases are followed where they stand for
// a scalar or are merged into a mapping; others would only repeat what the
// anchor has given already.
func (y *yamlReader) walk(n *yaml.Node, deep int) {
	if y.nodes++; y.nodes > maxYAMLNodes || deep > maxNesting || y.e.done {
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		y.rec.value([]byte(n.Value), n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0)
	case yaml.AliasNode:
		if a := y.target(n); a != nil && a.Kind == yaml.ScalarNode {
			y.walk(a, deep+1)
		} else {
			y.rec.noKey()
		}
	case yaml.SequenceNode:
		y.rec.enter(true)
		for _, c := range n.Content {
			y.walk(c, deep+1)
		}
		y.rec.leave()
	case yaml.MappingNode:
		y.rec.enter(false)
		y.mapping(n, deep)
		y.rec.leave()
	}
}

// mapping gives the pairs of a mapping, those that are merged into it first.
func (y *yamlReader) mapping(n *yaml.Node, deep int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		// Merging is followed two levels deep: more is a bomb.
		if a := y.target(v); k.Value == "<<" && a != nil && a.Kind == yaml.MappingNode && deep < 8 {
			y.mapping(a, deep+4)
			continue
		}
		y.rec.key([]byte(k.Value))
		y.walk(v, deep+1)
	}
}
