package dial

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	maxHead    = 32 << 10 // bytes of the head of an answer to CONNECT
	maxInterim = 4        // 1xx answers before the real one
)

// statusError is an answer to CONNECT that is not 2xx. It keeps no text of the
// proxy, which could repeat the credentials that were sent to it.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("CONNECT answered %d", e.status) }

// class follows the table of docs/architecture.md, "Attribution".
func (e *statusError) class() proxy.Class {
	switch e.status {
	case 401, 407:
		return proxy.AuthRequired
	case 405, 501:
		return proxy.NoConnect
	case 403, 451:
		return proxy.PortDenied
	case 500, 502, 503, 504: // tinyproxy answers 500 when it cannot reach the target
		return proxy.BadGateway
	}
	return proxy.Rejected
}

// granted reads the answer to CONNECT. What came behind a 2xx head belongs to the tunnel, whatever framing the head names (RFC 9110
// section 9.3.6); it is kept for Conn.Read.
func (v *Via) granted(c *Conn) error {
	if v.d.cfg.Short {
		// The first byte is waited for without a buffer: most of the thousands that a
		// checker waits for at a time never say anything.
		first := make([]byte, 1)
		if _, err := io.ReadFull(c.Conn, first); err != nil {
			return err
		}
		c.ahead = first
	}
	r := v.d.readers.Get().(*bufio.Reader)
	r.Reset(c)
	defer func() {
		r.Reset(nil)
		v.d.readers.Put(r)
	}()
	status, err := readStatus(r)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return &statusError{status}
	}
	behind, _ := r.Peek(r.Buffered())
	c.ahead = bytes.Clone(behind)
	return nil
}

// appendConnect appends the request for a tunnel.
func (v *Via) appendConnect(b []byte, target string) []byte {
	b = append(append(append(b, "CONNECT "...), target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, target...), "\r\n"...)
	if auth := v.ProxyAuthorization(); auth != "" {
		b = append(append(append(b, "Proxy-Authorization: "...), auth...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// readStatus returns the first status that is not an interim one.
func readStatus(r *bufio.Reader) (int, error) {
	for range maxInterim + 1 {
		if err := expectHTTP(r); err != nil {
			return 0, err
		}
		p, err := http1.ReadResponse(r, maxHead)
		if err != nil {
			return 0, err
		}
		if p.Status/100 != 1 || p.Status == 101 { // nobody asked for another protocol
			return p.Status, nil
		}
	}
	return 0, fmt.Errorf("%w: interim answers without end", errGarbage)
}

// expectHTTP looks at the first bytes one by one, so that a banner of another
// protocol is known at once instead of when the deadline is over.
func expectHTTP(r *bufio.Reader) error {
	const prefix = "HTTP/1."
	for i := range len(prefix) {
		b, err := r.Peek(i + 1)
		switch {
		case err == io.EOF && i > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case i == 0 && (b[0] == '\r' || b[0] == '\n'): // an empty line in front is let pass
			return nil
		case b[i] != prefix[i]:
			return fmt.Errorf("%w: the answer to CONNECT is not HTTP/1", errGarbage)
		}
	}
	return nil
}
