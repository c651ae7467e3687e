package gateway

import (
	"encoding/binary"
	"io"
	"sync"
	"time"
)

// The bytes of a TLS record (RFC 8446 section 5.1) and of a ClientHello (4.1.2).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordHead      = 5
	recordMost      = 16 << 10 // payload of one plaintext record
	recordSealed    = recordMost + 2048
	clientHello     = 1
	serverHello     = 2 // HelloRetryRequest as well (RFC 8446 section 4.1.4)
	extEarlyData    = 42
)

// flight is a pooled copy of the client's first record.
type flight struct {
	buf *[]byte
	n   int
}

var flights = sync.Pool{New: func() any { b := make([]byte, recordHead+recordMost); return &b }}

// bytes is what was read from the client, a whole record or less.
func (h flight) bytes() []byte { return (*h.buf)[:h.n] }

// free gives the buffer back; bytes must not be used afterwards.
func (h flight) free() { flights.Put(h.buf) }

// readHello takes the first record, or those of the first message, from a client that
// began with the byte of a handshake record. ok is false when it is not a ClientHello that may be sent
// twice; then it holds what was read, possibly less than a record.
func (c *client) readHello() (h flight, ok bool) {
	if !c.holdsRecord() {
		_ = c.raw.SetReadDeadline(time.Now().Add(headTime))
		defer func() { _ = c.raw.SetReadDeadline(time.Time{}) }()
		_, _ = c.r.Peek(recordHead) // before there is a large buffer
	}
	h.buf = flights.Get().(*[]byte)
	b := *h.buf
	n, err := io.ReadFull(c.r, b[:recordHead])
	h.n = n
	if err != nil || b[1] != 3 {
		return h, false
	}
	size := int(binary.BigEndian.Uint16(b[3:]))
	if size > recordMost {
		return h, false
	}
	n, err = io.ReadFull(c.r, b[recordHead:recordHead+size])
	h.n += n
	if missing := lacks(b[recordHead:h.n]); err == nil && missing > 0 && size+missing <= recordMost {
		return c.readRest(h)
	}
	return h, err == nil && c.r.Buffered() == 0 && replayable(b[recordHead:h.n])
}

// lacks returns how many bytes of the handshake message are still to come, of its head first.
func lacks(b []byte) int {
	switch {
	case len(b) == 0 || b[0] != clientHello:
		return 0
	case len(b) < 4:
		return 4 - len(b)
	}
	return 4 + (int(b[1])<<16 | int(b[2])<<8 | int(b[3])) - len(b)
}

// readRest reads on when a ClientHello is in several records (RFC 8446 section 5.1), as
// it is with clients that hide the name in it from filters.
func (c *client) readRest(h flight) (flight, bool) {
	_ = c.raw.SetReadDeadline(time.Now().Add(headTime))
	defer func() { _ = c.raw.SetReadDeadline(time.Time{}) }()
	b := *h.buf
	message := append([]byte(nil), b[recordHead:h.n]...)
	for lacks(message) > 0 {
		n := 0
		if h.n+recordHead <= len(b) {
			n, _ = io.ReadFull(c.r, b[h.n:h.n+recordHead])
		}
		head := b[h.n : h.n+n]
		h.n += n
		if n < recordHead || head[0] != recordHandshake || head[1] != 3 {
			return h, false
		}
		size := int(binary.BigEndian.Uint16(head[3:]))
		if size == 0 || size > len(b)-h.n {
			return h, false
		}
		n, err := io.ReadFull(c.r, b[h.n:h.n+size])
		message = append(message, b[h.n:h.n+n]...)
		if h.n += n; err != nil {
			return h, false
		}
	}
	return h, c.r.Buffered() == 0 && replayable(message)
}

// holdsRecord reports whether a whole record of TLS is here already.
func (c *client) holdsRecord() bool {
	n := c.r.Buffered()
	if n < recordHead {
		return false
	}
	b, _ := c.r.Peek(recordHead)
	return n >= recordHead+int(binary.BigEndian.Uint16(b[3:]))
}

// replayable reports whether b is one whole ClientHello without early data,
// which a server must not see twice (RFC 8446 section 8).
func replayable(b []byte) bool {
	if len(b) < 4 || b[0] != clientHello || int(b[1])<<16|int(b[2])<<8|int(b[3]) != len(b)-4 {
		return false
	}
	b = b[4:]
	ok := skip(&b, 2+32) && skipVector(&b, 1) && skipVector(&b, 2) && skipVector(&b, 1)
	if !ok {
		return false
	}
	if len(b) == 0 {
		return true // no extensions at all
	}
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return false
	}
	for b = b[2:]; len(b) > 0; {
		if len(b) < 4 || binary.BigEndian.Uint16(b) == extEarlyData {
			return false
		}
		if b = b[2:]; !skipVector(&b, 2) {
			return false
		}
	}
	return true
}

// skip drops n bytes from b, or reports that there are fewer.
func skip(b *[]byte, n int) bool {
	if len(*b) < n {
		return false
	}
	*b = (*b)[n:]
	return true
}

// skipVector skips a vector whose length takes width bytes.
func skipVector(b *[]byte, width int) bool {
	if len(*b) < width {
		return false
	}
	n := 0
	for _, c := range (*b)[:width] {
		n = n<<8 | int(c)
	}
	return skip(b, width+n)
}

// beginsTLS reports whether a client whose first byte is here begins with the
// record of a ClientHello. It waits for the bytes that tell.
func (c *client) beginsTLS() bool {
	if b, _ := c.r.Peek(1); len(b) == 0 || b[0] != recordHandshake {
		return false
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(headTime))
	b, _ := c.r.Peek(recordHead + 1)
	return isHello(b)
}

// isHello reports whether b begins with the record of a ClientHello.
func isHello(b []byte) bool {
	return len(b) > recordHead && b[0] == recordHandshake && b[1] == 3 && b[2] <= 4 && b[recordHead] == clientHello
}

// tlsAnswer is what the first bytes that come back for a ClientHello are.
type tlsAnswer uint8

// The answers to a ClientHello.
const (
	notTLS   tlsAnswer = iota // something else, or too little to tell
	tlsAlert                  // a refusal
	tlsHello                  // a ServerHello or HelloRetryRequest
)

// plausibleTLS says what came back. An alert is in the clear at this point, so
// its record holds two bytes.
func plausibleTLS(b []byte) tlsAnswer {
	if len(b) <= recordHead || b[1] != 3 || b[2] > 4 {
		return notTLS
	}
	size := int(binary.BigEndian.Uint16(b[3:]))
	switch {
	case b[0] == recordAlert && size == 2 && (b[recordHead] == 1 || b[recordHead] == 2):
		return tlsAlert
	case b[0] == recordHandshake && size >= 4 && size <= recordMost && b[recordHead] == serverHello:
		return tlsHello
	}
	return notTLS
}

// missingTLS returns how many bytes at least are missing until the first
// record is whole; 0 also when b is not TLS.
func missingTLS(b []byte) int {
	ok := len(b) > 0 && (b[0] == recordHandshake || b[0] == recordAlert) && (len(b) < 2 || b[1] == 3) && (len(b) < 3 || b[2] <= 4)
	switch {
	case !ok:
		return 0
	case len(b) <= recordHead:
		return recordHead + 1 - len(b)
	case plausibleTLS(b) == notTLS:
		return 0
	}
	return max(0, recordHead+int(binary.BigEndian.Uint16(b[3:]))-len(b))
}

// records follows the records of a TLS stream (RFC 8446 section 5.1), of which
// only the heads can be read, to tell an end from a cut.
type records struct {
	on   bool
	head [recordHead]byte
	have int // bytes of head
	left int // bytes of the record that are still to come
}

// feed takes the next bytes of the stream. What is not TLS turns it off.
func (r *records) feed(b []byte) {
	for r.on && len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
			continue
		}
		n := copy(r.head[r.have:], b)
		r.have += n
		b = b[n:]
		if r.have == recordHead {
			r.have, r.left = 0, int(binary.BigEndian.Uint16(r.head[3:]))
			r.on = r.head[0] >= 20 && r.head[0] <= 24 && r.head[1] == 3 && r.left <= recordSealed
		}
	}
}

// cut reports whether the stream is in the middle of a record.
func (r *records) cut() bool { return r.on && (r.have > 0 || r.left > 0) }
