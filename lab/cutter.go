package lab

import (
	"io"
	"sync"
)

// tunnelCut is how many bytes of an answer come through a tunnel that cuts:
// more than the session tickets behind a TLS handshake, less than any answer
// with a body.
const tunnelCut = 300

// TLS record types, RFC 8446 section 5.1.
const (
	recordChangeCipher = 20
	recordHandshake    = 22
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
func (c *cutter) seeing(r io.Reader) io.Reader { return &cutterSource{c, r} }

type cutterSource struct {
	c *cutter
	r io.Reader
}

func (s *cutterSource) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 && p[0] != recordHandshake && p[0] != recordChangeCipher {
		s.c.mu.Lock()
		s.c.asked, s.c.left = true, tunnelCut
		s.c.mu.Unlock()
	}
	return n, err
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
	return left, io.ErrShortWrite
}
