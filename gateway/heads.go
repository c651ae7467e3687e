package gateway

import (
	"bytes"
	"strconv"

	"freeway/internal/http1"
)

// heads follows what a client sends into a tunnel, as long as that is HTTP/1
// without encryption, to find an Authorization field before its value has gone
// through a public upstream (Config.PlaintextCredentials). Only heads are looked
// at: bodies are skipped by their framing (RFC 9112 section 6), and what cannot be
// followed, such as another protocol, ends the watch; so does what an Upgrade or CONNECT
// leads to, by its first bytes, but not one that is not granted. The zero value watches.
type heads struct {
	state watching
	line  [48]byte // the first bytes of the line
	n     int64    // bytes of the line so far
	last  [9]byte  // its latest bytes, for the end of a request line
	skip  int64    // bytes of the body that are still to come
	total int64    // Content-Length of the head
	chunk bool     // the head says chunked
	other bool     // its body cannot be followed
}

// watching is where in the stream a heads is.
type watching uint8

const (
	atStart   watching = iota // in a request line, or before it
	atField                   // in a field line
	atBody                    // in a body of known length, or the data of a chunk
	atChunk                   // in the line that says how long a chunk is
	atTrailer                 // in a trailer line
	atNothing                 // what comes is not followed any more
)

const credentials = "authorization" // the name of the field, in lower case

// feed looks at the next bytes. It reports whether the name of an Authorization
// field is complete within them; then they must not be sent.
func (h *heads) feed(b []byte) (found bool) {
	for len(b) > 0 && h.state != atNothing {
		if h.state == atBody {
			n := min(h.skip, int64(len(b)))
			h.skip -= n
			b = b[n:]
			if h.skip == 0 {
				h.bodyRead()
			}
			continue
		}
		if h.next(b[0]) {
			return true
		}
		b = b[1:]
	}
	return false
}

// speaksHTTP reports whether b begins with the request line of HTTP/1.
func speaksHTTP(b []byte) bool {
	var h heads
	return h.feed(b) || h.state != atNothing && (h.state != atStart || h.n == 0 && len(b) > 0)
}

// next takes one byte of a line.
func (h *heads) next(c byte) (found bool) {
	if c == '\n' {
		line := bytes.TrimSuffix(h.line[:min(h.n, int64(len(h.line)))], []byte{'\r'})
		if h.end(line); h.state != atBody {
			h.n = 0
		}
		return false
	}
	if h.n < int64(len(h.line)) {
		h.line[h.n] = c
	}
	if h.state == atStart {
		copy(h.last[:], h.last[1:])
		h.last[len(h.last)-1] = c
		if h.n == 0 && c != '\r' && (c < 'A' || c > 'z') {
			h.state = atNothing // no method begins like that
		}
	}
	h.n++ // without a limit: what only a lenient target takes for a head is one all the same
	return h.state == atField && h.n == int64(len(credentials))+1 && (c == ':' || c == ' ' || c == '\t') &&
		http1.EqualFold(string(h.line[:len(credentials)]), credentials)
}

// end takes the end of a line, of which the first bytes are given.
func (h *heads) end(line []byte) {
	switch h.state {
	case atStart:
		h.startEnds(line)
	case atField:
		if len(line) == 0 {
			h.headEnds()
		} else {
			h.field(line)
		}
	case atChunk:
		h.chunkBegins(line)
	case atTrailer:
		if len(line) == 0 {
			*h = heads{}
		}
	}
}

// startEnds takes the end of a request line. Empty ones before it are nothing
// (RFC 9112 section 2.2).
func (h *heads) startEnds(line []byte) {
	last := bytes.TrimSuffix(h.last[:], []byte{'\r'})
	switch {
	case len(line) == 0 && h.n <= 1:
	case !bytes.Contains(last, []byte("HTTP/1.")):
		h.state = atNothing
	default:
		h.state = atField
	}
}

// field takes a field that says where the body ends.
func (h *heads) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimSpace(value)
	switch {
	case http1.EqualFold(string(name), "Content-Length"):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if h.total = n; err != nil || n < 0 {
			h.other = true
		}
	case http1.EqualFold(string(name), "Transfer-Encoding"):
		codings := bytes.Split(value, []byte{','})
		h.chunk = http1.EqualFold(string(bytes.TrimSpace(codings[len(codings)-1])), "chunked")
	}
}

// headEnds finds what follows a head.
func (h *heads) headEnds() {
	switch {
	case h.other:
		h.state = atNothing
	case h.chunk:
		h.state = atChunk
	case h.total > 0:
		h.state, h.skip = atBody, h.total
	default:
		*h = heads{}
	}
}

// chunkBegins takes the line that says how long a chunk is.
func (h *heads) chunkBegins(line []byte) {
	size, _, _ := bytes.Cut(line, []byte{';'})
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 62)
	switch {
	case err != nil:
		h.state = atNothing
	case n == 0:
		h.state = atTrailer
	default:
		h.state, h.skip = atBody, int64(n)+2 // the line end behind the data as well
	}
}

// bodyRead goes on behind a body, or behind the data of a chunk.
func (h *heads) bodyRead() {
	if !h.chunk {
		*h = heads{}
		return
	}
	h.state, h.n = atChunk, 0
}
