package scraper

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/net/html"
)

// xmlReader reads XML as a tree of keys and values: elements that hold others
// are objects, the rest are values. It uses the tokens of the HTML reader,
// which never fail and need no more memory than one token; encoding/xml keeps
// whole texts and stops at the first mistake.
//
//	<proxy>1.2.3.4:80</proxy>                        a value under the key "proxy"
//	<proxy><ip>1.2.3.4</ip><port>80</port></proxy>   an object
//	<proxy ip="1.2.3.4" port="80"/>                  the same
//
// Prefixes of namespaces are dropped. Texts with tags in them, as feeds have,
// are read as HTML.
type xmlReader struct {
	e    *emitter
	z    *html.Tokenizer
	rec  *records
	open []xmlElement
	over int
	text []byte
}

type xmlElement struct {
	name    string
	entered bool // holds others or has attributes, so it is an object
}

// maxXMLToken is the longest text or tag.
const maxXMLToken = 4 << 20

// readXML reads XML from a stream.
func (e *emitter) readXML(r io.Reader) error {
	x := &xmlReader{e: e, z: html.NewTokenizer(r), rec: e.nestedRecords()}
	x.rec.loose = true
	defer func() { x.rec.loose = false; e.spare = append(e.spare, x.rec) }()
	if e.depth == 0 {
		e.line = 1
	}
	x.z.SetMaxBuf(maxXMLToken)
	x.z.AllowCDATA(true)
	for !e.done {
		switch tt := x.z.Next(); tt {
		case html.ErrorToken:
			x.endAll()
			if err := x.z.Err(); !errors.Is(err, io.EOF) && !errors.Is(err, html.ErrBufferExceeded) {
				return err
			}
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
			x.start(tt == html.SelfClosingTagToken)
		case html.EndTagToken:
			x.end()
		case html.TextToken:
			x.words()
		}
	}
	return nil
}

// localName drops the prefix of a namespace.
func localName(b []byte) []byte {
	if i := bytes.LastIndexByte(b, ':'); i >= 0 && i+1 < len(b) {
		return b[i+1:]
	}
	return b
}

// start begins an element. Its attributes are values of it.
func (x *xmlReader) start(closed bool) {
	name, more := x.z.TagName()
	// The element around it holds another one, so it is an object.
	x.enter()
	x.text = x.text[:0]
	if len(x.open) == maxNesting-2 {
		if !closed {
			x.over++
		}
		return
	}
	x.open = append(x.open, xmlElement{name: string(localName(name))})
	for range maxAttrs {
		if !more {
			break
		}
		var key, val []byte
		key, val, more = x.z.TagAttr()
		if len(key) > 0 && !bytes.HasPrefix(key, []byte("xmlns")) && !bytes.HasPrefix(key, []byte("xsi:")) {
			x.enter()
			x.rec.key(localName(key))
			x.rec.value(val, true)
		}
	}
	// <title> and <script> are elements like any other in XML.
	x.z.NextIsNotRawText()
	if closed {
		x.close()
	}
}

// enter makes the innermost element an object.
func (x *xmlReader) enter() {
	if n := len(x.open); n > 0 && !x.open[n-1].entered {
		x.open[n-1].entered = true
		x.rec.key([]byte(x.open[n-1].name))
		x.rec.enter(false)
	}
}

// words collects the text of the innermost element.
func (x *xmlReader) words() {
	if x.over == 0 {
		x.e.line += bytes.Count(x.z.Raw(), []byte("\n"))
		x.text = append(x.text, x.z.Text()...)
	}
}

// end closes the innermost element of a name, and what is open inside it.
func (x *xmlReader) end() {
	name, _ := x.z.TagName()
	if x.over > 0 {
		x.over--
		return
	}
	local := string(localName(name))
	for i := len(x.open) - 1; i >= 0; i-- {
		if x.open[i].name == local {
			for len(x.open) > i {
				x.close()
			}
			return
		}
	}
}

// close closes the innermost element.
func (x *xmlReader) close() {
	el := x.open[len(x.open)-1]
	x.open = x.open[:len(x.open)-1]
	text := trimSpace(x.text)
	// The text of an element with attributes is a value of it, under its own name
	// when that means something.
	if len(text) > 0 {
		name := el.name
		if el.entered && keyRole([]byte(name)) == roleNone {
			name = "value"
		}
		x.rec.key([]byte(name))
		x.rec.value(text, true)
	}
	if el.entered {
		x.rec.leave()
	}
	x.text = x.text[:0]
}

// endAll closes what the end of the input leaves open.
func (x *xmlReader) endAll() {
	for len(x.open) > 0 {
		x.close()
	}
	x.rec.close()
}
