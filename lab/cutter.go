package lab

import (
	"errors"
	"io"
	"sync"
)

// tunnelCut is how many bytes of an answer come through a tunnel that cuts:
// more than the session tickets behind a TLS handshake, less than any answer
// with a body.
const tunnelCut = 300

// errCut ends a tunnel that was cut on purpose.
var errCut = errors.New("cut")

// TLS record types, RFC 8446 section 5.1.
const (
	recordHandshake = 22
	recordData      = 23
	recordHeader    = 5 // bytes: type, version, length
)

// cutter lets a tunnel's set-up pass and cuts the answer to the first thing that
// is asked through it.
type cutter struct {
	dst   *link
	reset bool

	mu    sync.Mutex // protects the fields below
	asked bool       // the client has sent something that is not a handshake record
	left  int
}

// seeing watches what the client sends.
func (c *cutter) seeing(r io.Reader) io.Reader { return &cutterSource{c: c, r: r} }

// cutterSource looks for the first bytes of the client's that are not part of a
// TLS handshake. It is used by one goroutine.
type cutterSource struct {
	c      *cutter
	r      io.Reader
	begun  bool
	plain  bool   // it is not TLS at all
	header []byte // the part seen of the present record's header
	rest   int    // bytes of the present record that are still to come
}

// Read reads and, when there is data of a client's in it, starts the count anew.
func (s *cutterSource) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 && s.asks(p[:n]) {
		s.c.mu.Lock()
		s.c.asked, s.c.left = true, tunnelCut
		s.c.mu.Unlock()
	}
	return n, err
}

// asks reports whether p has something of a record with data (in TLS 1.3 the
// end of the handshake is one, too), or of plain text.
func (s *cutterSource) asks(p []byte) (data bool) {
	if !s.begun {
		s.begun, s.plain = true, p[0] != recordHandshake
	}
	if s.plain {
		return true
	}
	for len(p) > 0 {
		k := min(s.rest, len(p))
		s.rest, p = s.rest-k, p[k:]
		if len(p) == 0 {
			break
		}
		s.header, p = append(s.header, p[0]), p[1:]
		if len(s.header) == recordHeader {
			data = data || s.header[0] == recordData
			s.rest = int(s.header[3])<<8 | int(s.header[4])
			s.header = s.header[:0]
		}
	}
	return data
}

// Write passes p on, or its beginning and then ends the connection.
func (c *cutter) Write(p []byte) (int, error) {
	c.mu.Lock()
	asked, left := c.asked, c.left
	c.left = max(0, c.left-len(p))
	c.mu.Unlock()
	if !asked || len(p) <= left {
		return c.dst.Write(p)
	}
	c.dst.Write(p[:left])
	if c.reset {
		c.dst.abort()
	} else {
		c.dst.CloseWrite()
	}
	return left, errCut
}
