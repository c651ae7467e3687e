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

// readHello takes the first record from a client that began with the byte of a
// handshake record. ok is false when it is not a ClientHello that may be sent
// twice; then it holds what was read, possibly less than a record.
func (c *client) readHello() (h flight, ok bool) {
	h.buf = flights.Get().(*[]byte)
	_ = c.raw.SetReadDeadline(time.Now().Add(headTime))
	defer func() { _ = c.raw.SetReadDeadline(time.Time{}) }()
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
	return h, err == nil && c.r.Buffered() == 0 && replayable(b[recordHead:h.n])
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

// plausibleTLS reports whether what came back can be a server's answer to a
// ClientHello: a handshake record or an alert.
func plausibleTLS(b []byte) bool {
	switch {
	case len(b) == 0 || b[0] != recordHandshake && b[0] != recordAlert:
		return false
	case len(b) > 1 && b[1] != 3, len(b) > 2 && b[2] > 4:
		return false
	}
	return len(b) < recordHead || int(binary.BigEndian.Uint16(b[3:])) <= recordSealed
}
