package lab

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The deadlines of connections. Clients under test have shorter ones.
const (
	handshakeTime = 30 * time.Second // for a whole TLS handshake, and between the bytes of a head
	idleTime      = 5 * time.Minute  // silence that ends a tunnel or a kept connection
	graceTime     = 30 * time.Second // silence that ends a tunnel when one direction has ended
	writeTime     = time.Minute      // for a write that the peer does not take
)

// link is one end of a connection: buffered reading, deadlines renewed at each
// step, half-close and abort. One goroutine may read and another write.
type link struct {
	net.Conn // the TLS connection, or the TCP connection itself
	tcp      *net.TCPConn
	br       *bufio.Reader
	idle     atomic.Int64 // deadline of each read, a time.Duration
}

// newLink begins with the patience for handshakes.
func newLink(c *net.TCPConn) *link {
	l := &link{Conn: c, tcp: c}
	l.patience(handshakeTime)
	l.br = bufio.NewReaderSize(rawLink{l}, 4096)
	return l
}

// secure puts TLS on top; what is buffered of the plain bytes goes into it.
func (l *link) secure(over func(net.Conn) *tls.Conn) *tls.Conn {
	t := over(&replayed{l.Conn, l.br})
	l.Conn = t
	l.br = bufio.NewReaderSize(rawLink{l}, 4096)
	return t
}

// patience sets the deadline of each further read.
func (l *link) patience(d time.Duration) { l.idle.Store(int64(d)) }

// hurry is patience that applies to a read that waits already.
func (l *link) hurry(d time.Duration) {
	l.patience(d)
	l.Conn.SetReadDeadline(time.Now().Add(d))
}

// Read reads through the buffer.
func (l *link) Read(p []byte) (int, error) { return l.br.Read(p) }

// Write writes with a deadline.
func (l *link) Write(p []byte) (int, error) {
	l.Conn.SetWriteDeadline(time.Now().Add(writeTime))
	return l.Conn.Write(p)
}

// CloseWrite half-closes; with TLS it sends close_notify.
func (l *link) CloseWrite() error {
	if c, ok := l.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return l.tcp.CloseWrite()
}

// Close closes the TCP connection; TLS peers get no farewell unless CloseWrite was called.
func (l *link) Close() error { return l.tcp.Close() }

// abort closes with a reset.
func (l *link) abort() {
	l.tcp.SetLinger(0)
	l.tcp.Close()
}

// rawLink reads past the buffer.
type rawLink struct{ l *link }

// Read reads with a fresh deadline.
func (r rawLink) Read(p []byte) (int, error) {
	r.l.Conn.SetReadDeadline(time.Now().Add(time.Duration(r.l.idle.Load())))
	return r.l.Conn.Read(p)
}

// replayed is a connection some of whose bytes are in a buffer already.
type replayed struct {
	net.Conn
	br *bufio.Reader
}

// Read gives the buffered bytes first.
func (r *replayed) Read(p []byte) (int, error) {
	if r.br.Buffered() > 0 {
		return r.br.Read(p)
	}
	return r.Conn.Read(p)
}

// buffers holds copy buffers, 16 KiB each.
type buffers struct{ pool sync.Pool }

// copy is io.Copy with one of the buffers. It returns nil at the end of src.
func (b *buffers) copy(dst io.Writer, src io.Reader) (int64, error) {
	buf, _ := b.pool.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
		*buf = make([]byte, 16<<10)
	}
	defer b.pool.Put(buf)
	// The wrappers hide ReadFrom and WriteTo, which would bring buffers of their own.
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, *buf)
}
