//lint:file-ignore SA1019 http.Server takes no connection whose first bytes were read, and does not tell :scheme apart

package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	h2Name    = "h2"     // of the protocol in ALPN
	h2Streams = 128      // tunnels at a time on one connection
	h2Upload  = 64 << 10 // bytes that a stream may send ahead of its upstream, whatever the others do
)

// h2 serves HTTP/2 on the TLS listener (RFC 9113, CONNECT in section 8.5): each
// stream is served by the same rules as a connection of its own.
type h2 struct {
	server *http2.Server
	base   *http.Server // tells connections of the end
}

// newH2 makes the server up. It starts nothing.
func newH2(idle time.Duration) (*h2, error) {
	h := &h2{
		server: &http2.Server{MaxConcurrentStreams: h2Streams, MaxUploadBufferPerStream: h2Upload, MaxUploadBufferPerConnection: h2Streams * h2Upload, IdleTimeout: idle,
			WriteByteTimeout: stallTime},
		base: &http.Server{MaxHeaderBytes: headLimit, ErrorLog: log.New(io.Discard, "", 0)},
	}
	return h, http2.ConfigureServer(h.base, h.server)
}

// drain lets no new streams begin; connections end with their last stream.
func (h *h2) drain() {
	if h != nil {
		_ = h.base.Shutdown(context.Background()) // it has neither listeners nor connections of its own to wait for
	}
}

// beginsH2 reports whether the client begins with the preface of HTTP/2, which it
// may do only when both sides agreed to in the TLS handshake.
func (c *client) beginsH2() bool {
	t, ok := c.conn.(*tls.Conn)
	if !ok || t.ConnectionState().NegotiatedProtocol != h2Name {
		return false
	}
	b, err := c.r.Peek(len("PRI"))
	return err == nil && string(b) == "PRI"
}

// serveH2 serves the streams of a connection until its end.
func (c *client) serveH2(ctx context.Context) {
	_ = c.raw.SetDeadline(time.Time{})
	b := busy{c: c}
	b.add(0)
	defer c.idle.Store(false)
	c.g.h2.server.ServeConn(&unread{c.conn.(*tls.Conn), c.r}, &http2.ServeConnOpts{Context: ctx, BaseConfig: c.g.h2.base,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.add(1)
			defer b.add(-1)
			c.serveStream(ctx, w, r)
		})})
}

// busy counts the streams of a connection. While there are none it waits for a
// request as others do, and may be shed.
type busy struct {
	c  *client
	mu sync.Mutex // protects n
	n  int
}

// add counts a stream that begins or ends.
func (b *busy) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.n += n; {
	case b.n == 0:
		b.c.idle.Store(true)
	case b.n == n && !b.c.idle.CompareAndSwap(true, false): // it comes just in time
		_ = b.c.raw.SetReadDeadline(time.Time{})
	}
}

// unread is a TLS connection of which something was read ahead.
type unread struct {
	*tls.Conn
	r *bufio.Reader
}

// Read implements net.Conn.
func (u *unread) Read(p []byte) (int, error) { return u.r.Read(p) }

// serveStream serves one stream as if it were a connection of its own, on which
// the same request comes in HTTP/1.1.
func (c *client) serveStream(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil && r.Method != "CONNECT" { // its :scheme is https
		refused := refusef(codeBadRequest, "only http:// here; https needs CONNECT")
		id := newID()
		c.turnAway(id, r.Method, proxy.Target{}, refused.code, refused.httpStatus())
		c.refuseStream(w, refused, id)
		return
	}
	s, upload, download := newStream(c.raw)
	c.g.admit(ctx, c.l.inner(), s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.g.recover()
		s.take(upload, r)
	}()
	most := stallTime
	if r.Method == "CONNECT" {
		most = c.g.set.Load().cfg.Timeouts.Idle
	}
	given, whole := giveStream(w, download, r.Method, most)
	if !given && r.Context().Err() == nil {
		c.g.m.refused.WithLabelValues(codeInternal).Inc()
		c.refuseStream(w, refusef(codeInternal, "the request ended without an answer"), newID())
		whole = true
	}
	if given && !whole {
		s.reset()
	}
	s.over.Store(true)
	_ = s.Close()
	_ = r.Body.Close()
	<-done
	if !whole || s.broken.Load() {
		panic(http.ErrAbortHandler) // resets the stream
	}
}

// refuseStream answers a stream that nothing else answers.
func (c *client) refuseStream(w http.ResponseWriter, r *refusal, id string) {
	w.Header().Set("Freeway-Error", r.code)
	w.Header().Set("Proxy-Status", "freeway; error="+answers[r.code].error+"; details="+strconv.Quote(r.code))
	w.Header().Set("Freeway-Request-Id", id)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(r.httpStatus())
	_, _ = io.WriteString(w, r.msg+"\n")
}

// headOf is the request in HTTP/1.1. The reader of heads checks it like any
// other; what could end a line does not get there.
func headOf(r *http.Request) *http1.Request {
	q := &http1.Request{Method: oneLine(r.Method), Target: oneLine(r.Host), Minor: 1}
	q.Header.Add("Host", oneLine(r.Host))
	if r.Method != "CONNECT" {
		q.Target = "http://" + q.Target + oneLine(r.RequestURI)
		q.Header.Add("Connection", "close")
	}
	for name, values := range r.Header {
		for _, v := range values {
			switch {
			case name == "Host" || name == "Connection" || name == "Content-Length" || name == "Transfer-Encoding":
			case r.Method != "CONNECT" || name == "Proxy-Authorization" || name == "Freeway-Options":
				q.Header.Add(oneLine(name), oneLine(v))
			}
		}
	}
	switch {
	case r.Method == "CONNECT":
	case r.ContentLength < 0:
		q.Header.Add("Transfer-Encoding", "chunked")
	case r.ContentLength > 0 || len(r.Header["Content-Length"]) > 0:
		q.Header.Add("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	return q
}

// oneLine puts a mark that no field may have in place of what ends lines.
func oneLine(s string) string {
	return strings.NewReplacer("\r", "\x00", "\n", "\x00").Replace(s)
}

// giveStream passes the answer on and what the tunnel brings; a client that takes
// nothing for so long is reset. given is false when no answer came; whole says
// that it came to an end that the client may take for one.
func giveStream(w http.ResponseWriter, from net.Conn, method string, most time.Duration) (given, whole bool) {
	br := bufio.NewReader(from)
	head, err := http1.ReadResponse(br, answerLimit)
	for err == nil && head.Status < 200 {
		head, err = http1.ReadResponse(br, answerLimit)
	}
	if err != nil {
		return false, false
	}
	var body io.Reader = br
	if method != "CONNECT" || head.Status > 299 {
		framing, err := head.BodyKind(method)
		if err != nil {
			return false, false
		}
		body = http1.NewBody(br, framing)
	}
	clean(&head.Header, func(name string) bool {
		return http1.EqualFold(name, "Transfer-Encoding") || http1.EqualFold(name, "Connection")
	})
	for _, f := range head.Header {
		w.Header().Add(f.Name, f.Value)
	}
	w.WriteHeader(head.Status)
	return true, giveBody(&streamWriter{w: w, c: http.NewResponseController(w), most: most}, body)
}

// streamWriter writes to the client of a stream at once. The windows of HTTP/2
// know no deadlines, so it has its own: one of http.ResponseController would hold
// while nothing is written, too.
type streamWriter struct {
	w    http.ResponseWriter
	c    *http.ResponseController
	most time.Duration // that one write may take
}

// Write implements io.Writer. After a write that takes too long the stream is reset.
func (s *streamWriter) Write(p []byte) (n int, err error) {
	late := make(chan struct{})
	t := time.AfterFunc(s.most, func() {
		defer close(late)
		_ = s.c.SetWriteDeadline(longAgo)
	})
	if n, err = s.w.Write(p); err == nil {
		err = s.c.Flush()
	}
	if !t.Stop() {
		<-late // it must not meet the end of the handler
	}
	return n, err
}

// giveBody copies to the client, without waiting for more.
func giveBody(w *streamWriter, body io.Reader) bool {
	if w.c.Flush() != nil {
		return false
	}
	buf := large.Get().(*[]byte)
	defer large.Put(buf)
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			if _, werr := w.Write((*buf)[:n]); werr != nil {
				return false
			}
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// stream is a connection of a client inside HTTP/2.
type stream struct {
	net.Conn             // what the client sends
	out      net.Conn    // what it gets
	outer    net.Conn    // the connection that the stream is in
	broken   atomic.Bool // it ended with a reset
	over     atomic.Bool // all that the client gets has been given
}

// newStream makes the two sides of a stream.
func newStream(outer net.Conn) (s *stream, upload, download net.Conn) {
	in, upload := net.Pipe()
	out, download := net.Pipe()
	return &stream{Conn: in, out: out, outer: outer}, upload, download
}

// take hands the request over and everything the client sends behind it.
func (s *stream) take(to net.Conn, r *http.Request) {
	defer to.Close()
	q := headOf(r)
	if _, err := to.Write(q.AppendTo(nil)); err != nil {
		return
	}
	var body io.Writer = to
	chunks := http1.NewChunkedWriter(to)
	if q.Header.Has("Transfer-Encoding") {
		body = chunks
	}
	_, err := io.Copy(body, r.Body)
	if err == nil && body == chunks {
		_ = chunks.Close()
	}
	if err != nil && !errors.Is(err, io.ErrClosedPipe) && !s.over.Load() {
		s.reset() // as the client did
		_ = s.Close()
		return
	}
}

// reset makes the end of the stream visible as an error.
func (s *stream) reset() { s.broken.Store(true) }

// Read implements net.Conn. A reset is one here as well.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err != nil && s.broken.Load() {
		err = syscall.ECONNRESET
	}
	return n, err
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) { return s.out.Write(p) }

// CloseWrite ends what the client gets.
func (s *stream) CloseWrite() error { return s.out.Close() }

// Close ends both directions.
func (s *stream) Close() error { return errors.Join(s.Conn.Close(), s.out.Close()) }

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.Conn.SetDeadline(t), s.out.SetDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.out.SetWriteDeadline(t) }

// LocalAddr returns where the connection came in.
func (s *stream) LocalAddr() net.Addr { return s.outer.LocalAddr() }

// RemoteAddr returns the client's address.
func (s *stream) RemoteAddr() net.Addr { return s.outer.RemoteAddr() }
