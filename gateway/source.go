package gateway

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	smallSize = 2 << 10   // of a read at first
	largeSize = 32 << 10  // once that was filled
	hugeSize  = 128 << 10 // once that was filled, too, for a few at a time
	hugeMost  = 64        // how many, so that tunnels whose client does not read hold little
)

var (
	small = sync.Pool{New: func() any { b := make([]byte, smallSize); return &b }}
	large = sync.Pool{New: func() any { b := make([]byte, largeSize); return &b }}
	huge  = sync.Pool{New: func() any { b := make([]byte, hugeSize); return &b }}
)

// source reads from one side of a tunnel. Where the system allows it, it holds
// a buffer only while there is something to read, so an idle tunnel has none.
type source struct {
	conn  net.Conn
	busy  *atomic.Int64 // huge buffers in use
	size  int           // of the next buffer
	buf   *[]byte       // in use, nil for none
	raw   syscall.RawConn
	ready func(fd uintptr) bool // reads when there is something
	n     int
	err   error
}

// newSource makes the reader of one side.
func newSource(g *Gateway, conn net.Conn) *source {
	return &source{conn: conn, busy: &g.hugeBuffers, size: smallSize}
}

// read returns what comes next. The bytes are valid until done, which must follow.
func (s *source) read() ([]byte, error) {
	if s.raw == nil {
		s.raw = rawOf(s.conn)
	}
	if s.raw == nil {
		s.take()
		n, err := s.conn.Read(*s.buf)
		return (*s.buf)[:n], err
	}
	if s.ready == nil {
		s.ready = s.try
	}
	s.n, s.err = 0, nil
	if err := s.raw.Read(s.ready); err != nil {
		return nil, err
	}
	if s.buf == nil {
		return nil, s.err
	}
	return (*s.buf)[:s.n], s.err
}

// take gets a buffer of the size that suits.
func (s *source) take() {
	switch {
	case s.size == hugeSize && s.busy.Add(1) <= hugeMost:
		s.buf = huge.Get().(*[]byte)
	case s.size == hugeSize:
		s.busy.Add(-1)
		s.buf = large.Get().(*[]byte)
	case s.size == largeSize:
		s.buf = large.Get().(*[]byte)
	default:
		s.buf = small.Get().(*[]byte)
	}
}

// done gives the buffer back. One that was filled is followed by a larger one.
func (s *source) done(n int) {
	if s.buf == nil {
		return
	}
	size := len(*s.buf)
	switch size {
	case hugeSize:
		s.busy.Add(-1)
		huge.Put(s.buf)
	case largeSize:
		large.Put(s.buf)
	default:
		small.Put(s.buf)
	}
	s.buf = nil
	switch {
	case n == smallSize && s.size == smallSize:
		s.size = largeSize
	case n == largeSize && s.size == largeSize:
		s.size = hugeSize
	}
}

// drowse gives the buffer of a silent client back, and returns what to wait with for its
// first words. nil: it has spoken.
func (c *client) drowse() *source {
	if c.r.Buffered() > 0 {
		return nil
	}
	c.release()
	s := newSource(c.g, c.conn)
	s.raw = rawOf(c.conn)
	s.ready = s.try
	return s
}

// wake gives a client a buffer again, with what it said.
func (c *client) wake(s *source, said []byte) {
	c.r = readers.Get().(*bufio.Reader)
	if len(said) == 0 {
		c.r.Reset(c.conn)
		return
	}
	c.r.Reset(&ahead{c.conn, said})
	_, _ = c.r.Peek(1)
	s.done(len(said))
}

// ahead is a connection of which something was read already.
type ahead struct {
	net.Conn
	said []byte
}

// Read implements io.Reader.
func (a *ahead) Read(b []byte) (int, error) {
	if len(a.said) == 0 {
		return a.Conn.Read(b)
	}
	n := copy(b, a.said)
	a.said = a.said[n:]
	return n, nil
}

// rawOf returns the way to read from the socket itself, nil where there is more
// to it than the socket.
func rawOf(c net.Conn) syscall.RawConn {
	if !rawReads {
		return nil
	}
	t := tcpOf(c)
	if t == nil {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
