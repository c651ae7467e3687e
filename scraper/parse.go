package scraper

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"freeway/proxy"
)

// ParseOptions says how a list is to be read. The zero value finds out the
// format, takes public addresses only and marks entries that name no protocol
// as guesses.
type ParseOptions struct {
	As          string            // one of Formats; "" and "auto": found out
	Protocols   []proxy.Protocol  // of entries that name none, one candidate each; none: HTTP with Guess set
	Pool        string            // copied to the candidates; "": proxy.PublicPool
	Policy      proxy.AddrPolicy  // which hosts are taken
	ContentType string            // what the server called it, a hint only
	HTML, JSON  map[string]string // see Source
	Rejected    func(Rejection)   // told of what looked like an entry but was not taken; nil: nobody
	MaxBytes    int64             // of text that unpacking may make of a packed list; more is an error; 0: 256 MiB
	Stop        func() error      // asked every thousand rows; an error ends the reading and is its last element; nil: nobody is asked
	Stats       func(ParseStats)  // told once, after the last element or when the consumer stops; nil: nobody
}

// ParseStats is what came of reading a list.
type ParseStats struct {
	Format  string `json:"format"`  // one of Formats: what the list, or its largest part, was read as
	Packed  string `json:"packed"`  // "gzip", "zip", ... when it was packed, else ""
	Charset string `json:"charset"` // what it was converted from; "": nothing
	Rows    int    `json:"rows"`    // lines, rows or objects seen
	Taken   int    `json:"taken"`   // entries taken, repeated ones too
	Refused int    `json:"refused"` // pieces that looked like entries but were not taken
}

// Rejection is one piece of a list that was not taken.
type Rejection struct {
	Line   int    `json:"line"` // from 1; 0 when the format has no lines
	Text   string `json:"text"` // at most 200 bytes, passwords masked; foreign text: print it with %q
	Reason string `json:"reason"`
}

// How a list is read, from the outside in:
//
//   - archive.go takes off what it is packed in: gzip, zstd, bzip2, tar, ZIP, base64.
//   - charset.go converts it to UTF-8.
//   - sniff.go finds out its format, from the content and nothing else.
//   - text.go, json.go, yaml.go, xml.go and html.go read one format each. Lines
//     may be rows of CSV and Markdown (rows.go) or documents of JSON.
//   - scan.go and login.go find the entries of a line, table.go those of a row,
//     records.go and resolve.go those of objects with keys. All readers end in
//     one of these three, so an entry is read alike wherever it stands.
//   - emit.go asks the policy, fills in the protocols and drops repeated ones.
//
// Readers call each other for documents inside of strings, up to maxDepth. What
// does not fit its format is read as lines of text; there is no error but
// those of the input itself. Each reader has limits of memory and time in
// constants at the top of its file: a list is written by strangers.

// Parse reads a list and yields its entries in order, each once. It streams:
// memory stays bounded whatever r gives. HTML is read up to 8 MiB, JSON with a
// jq program and ZIP files up to 32 and 64 MiB, because they are needed whole;
// of YAML, 4 MiB may be more than flat mappings and strings. An error of r ends the sequence and is its last
// element; text that is not understood is no error.
func Parse(r io.Reader, o ParseOptions) iter.Seq2[proxy.Candidate, error] {
	return func(yield func(proxy.Candidate, error) bool) {
		e := newEmitter(o, yield)
		err := errors.Join(checkSelectors(o.HTML), checkJSONKeys(o.JSON))
		if err == nil {
			err = e.open(r)
		}
		if err != nil {
			e.fail(err)
		}
		if o.Stats != nil {
			o.Stats(e.stats)
		}
	}
}

const (
	maxDepth = 4       // how deep formats within formats are read: JSON with HTML with JSON in it
	maxNests = 300_000 // documents within others that are read at all
)

// open finds out what r holds and has it read.
func (e *emitter) open(r io.Reader) error {
	b := bufio.NewReaderSize(r, sniffWindow)
	head, _ := b.Peek(sniffWindow)
	if name := packing(head); name != "" {
		return e.unpack(b, name)
	}
	r = b
	if name := charsetOf(head, e.o.ContentType); name != "" {
		e.stats.Charset = name
		b = bufio.NewReaderSize(fromCharset(b, name), sniffWindow)
		head, _ = b.Peek(sniffWindow)
		r = b
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		_, _ = b.Discard(len("\ufeff"))
		head = head[len("\ufeff"):]
	}
	format := e.o.As
	if format == "" || format == "auto" {
		format = sniff(head)
	}
	return e.read(r, format, head)
}

// read reads r, in UTF-8, as a format. head is its beginning.
func (e *emitter) read(r io.Reader, format string, head []byte) error {
	if e.stats.Format == "" {
		e.stats.Format = format
	}
	switch format {
	case "json", "ndjson":
		if program := e.o.JSON[jsonPath]; program != "" && e.depth == 0 {
			return e.queryJSON(r, program)
		}
		return e.readJSON(r, jsAssignment.Match(trimSpace(head[:min(len(head), 200)])))
	case "html":
		return e.readHTML(r)
	case "xml":
		return e.readXML(r)
	case "yaml":
		return e.readYAML(r)
	}
	l := newLiner(e)
	l.tables = e.o.As != "text"
	return l.read(r)
}

// nested reads a document inside a string of another one, if b is one.
func (e *emitter) nested(b []byte) bool {
	const shortest = 12
	b = trimSpace(b)
	if len(b) < shortest || e.depth >= maxDepth || e.nests > maxNests || b[0] != '{' && b[0] != '[' && b[0] != '<' {
		return false
	}
	line := e.line
	e.nests++
	e.depth++
	defer func() { e.depth--; e.line = line }()
	switch sniff(b) {
	case "json":
		e.jsonBytes(b, false)
	case "html":
		e.htmlBytes(b)
	case "xml":
		return e.readXML(bytes.NewReader(b)) == nil
	default:
		return false
	}
	return true
}
