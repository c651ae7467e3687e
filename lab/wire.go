package lab

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"sync"
)

// wireListener hands out connections that remember what was read.
type wireListener struct{ net.Listener }

// Accept waits for a connection and wraps it.
func (w wireListener) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: c}, nil
}

// wireConn remembers the latest bytes that were read, since net/http forgets
// the order and the spelling of fields.
type wireConn struct {
	net.Conn
	mu   sync.Mutex // protects read
	read []byte
}

// Read reads and remembers.
func (w *wireConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = append(w.read, p[:n]...)
	if over := len(w.read) - 2*maxHead; over > 0 {
		w.read = append([]byte(nil), w.read[over+maxHead/2:]...)
	}
	return n, err
}

// wireFields returns the fields of the request r in order and as spelled, nil when they are not known.
func wireFields(r *http.Request) []field {
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	if v == nil || v.wire == nil {
		return nil
	}
	v.wire.mu.Lock()
	defer v.wire.mu.Unlock()
	at := bytes.LastIndex(v.wire.read, []byte(r.Method+" "+r.RequestURI+" HTTP/"))
	if at < 0 {
		return nil
	}
	h, err := readHead(bufio.NewReader(bytes.NewReader(v.wire.read[at:])))
	if err != nil {
		return nil
	}
	return h.fields
}
