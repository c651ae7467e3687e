package scraper

import (
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

// Parse reads a list and yields its entries in order, each once. It streams:
// memory stays bounded whatever r gives, except for YAML and HTML, of which at
// most 8 MiB are read as such. An error of r ends the sequence and is its last
// element; text that is not understood is no error.
func Parse(r io.Reader, o ParseOptions) iter.Seq2[proxy.Candidate, error] {
	return func(yield func(proxy.Candidate, error) bool) {
		e := newEmitter(o, yield)
		if err := e.open(r); err != nil {
			e.fail(err)
		}
		if o.Stats != nil {
			o.Stats(e.stats)
		}
	}
}

// open finds out what r holds and has it read.
func (e *emitter) open(r io.Reader) error {
	e.stats.Format = "text"
	return newLiner(e).read(r)
}
