package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	headTime  = 8 * time.Second        // for a request head, a SOCKS handshake, a TLS handshake, and the first byte at all
	stallTime = 60 * time.Second       // without a byte moving in a body, either way
	leastBody = 4 << 10                // bytes of a request body that must come in each stallTime
	lastCall  = 250 * time.Millisecond // how long idle connections may still begin a request when the gateway ends
	firstCall = 2 * time.Second        // the same for one that has not sent anything yet
	headLimit = 64 << 10               // bytes of a request head
	readSize  = 4 << 10                // of the buffer in front of a client
)

// client is one connection of a client. Its goroutine owns it; other
// goroutines touch only raw, idle and shown.
type client struct {
	g       *Gateway
	l       *listener
	raw     net.Conn // below TLS; safe for all goroutines
	conn    net.Conn
	r       *bufio.Reader
	ip      netip.Addr
	proof   proof // who has logged in here
	came    time.Time
	x       *exchange   // the request being served, nil for none
	keep    bool        // the client wants the connection kept after the current request
	http    bool        // it speaks HTTP
	excess  bool        // over the connection limit: told so and closed
	idle    atomic.Bool // waits for a request
	served  atomic.Bool // a request has begun
	watcher watcher
	until   time.Time             // deadline for writing that is set
	scope   atomic.Pointer[scope] // of the request being served, or of the latest
	aim     aim
	then    func() // the next part of the tunnel that the connection has become; nil: there is none
	where   spot   // that it runs at

	showing sync.Mutex // protects the field below, and of that exchange what it says
	shown   *exchange  // the request whose answer has begun; nil: none
}

// spot is which goroutine runs a part of a tunnel.
type spot uint8

const (
	here  spot = iota
	apart      // one of its own, whose stack is small: it waits for long
	grown      // one that rests, if there is: its stack has what the part needs
)

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}

// newClient takes a connection over; forget gives back what it holds.
func newClient(g *Gateway, l *listener, conn net.Conn) *client {
	c := &client{g: g, l: l, raw: conn, conn: conn, came: time.Now(), r: readers.Get().(*bufio.Reader)}
	c.r.Reset(conn)
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.ip = a.AddrPort().Addr().Unmap()
	}
	return c
}

// release gives the reader back; it must be empty. The client can still be
// read from conn.
func (c *client) release() {
	if c.r != nil {
		c.r.Reset(nil)
		readers.Put(c.r)
		c.r = nil
	}
}

// serve tells the protocol by the first byte and speaks it until the end.
func (c *client) serve(ctx context.Context) {
	if err := c.handshake(ctx); err != nil {
		return
	}
	first, err := c.await(headTime)
	if err != nil {
		return
	}
	switch {
	case first == 4 || first == 5:
		c.serveSOCKS(ctx, first)
	case first == 'P' && !c.excess && c.beginsH2():
		c.serveH2(ctx)
	default:
		c.serveHTTP(ctx, first)
	}
}

// await waits for the next request and returns its first byte. While it waits
// the connection may be shed.
func (c *client) await(patience time.Duration) (byte, error) {
	if c.r.Buffered() == 0 {
		_ = c.raw.SetReadDeadline(time.Now().Add(patience))
		c.idle.Store(true)
		if c.g.ending.Load() && c.idle.CompareAndSwap(true, false) {
			_ = c.raw.SetReadDeadline(time.Now().Add(c.lastCall()))
		}
	}
	first, err := c.r.Peek(1)
	c.idle.Store(false)
	c.served.Store(true)
	if err != nil {
		return 0, err
	}
	if b, _ := c.r.Peek(c.r.Buffered()); bytes.Contains(b, []byte("\r\n\r\n")) {
		return first[0], nil // the head is here, and what reads on sets its own deadline
	}
	return first[0], c.raw.SetReadDeadline(time.Now().Add(headTime))
}

// serveHTTP serves one request after the other.
func (c *client) serveHTTP(ctx context.Context, first byte) {
	if first <= ' ' && first != '\r' || first >= 0x7f {
		c.refuseHead(&http1.Error{Status: 400, Msg: "this port speaks HTTP, SOCKS4 and SOCKS5"})
		return
	}
	c.http = true
	for {
		if c.excess {
			c.refuseExcess()
			return
		}
		if !c.nextRequest(ctx) {
			return
		}
		if _, err := c.await(c.g.set.Load().cfg.Timeouts.Idle); err != nil {
			return
		}
	}
}

// refuseHead answers a head that cannot be served and ends the connection.
func (c *client) refuseHead(err error) {
	broken, ok := errors.AsType[*http1.Error](err)
	switch {
	case ok:
		c.answerBare(&refusal{code: codeBadRequest, status: broken.Status, msg: broken.Msg})
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.answerBare(&refusal{code: codeSlow, msg: "the request head did not come in time"})
	case errors.Is(err, io.ErrUnexpectedEOF):
		c.answerBare(&refusal{code: codeBadRequest, msg: "the request head is cut short"})
	}
}

// answerBare sends a refusal for which there is no request, then closes.
func (c *client) answerBare(r *refusal) {
	id := newID()
	c.turnAway(id, "", proxy.Target{}, r.code, r.httpStatus())
	_ = c.write(r.appendTo(nil, id, false, false))
	c.linger()
}

// refuseExcess answers the first request of a connection over the limit.
func (c *client) refuseExcess() {
	c.answerBare(tooManyConnections())
}

// dropExcess tells a client that there is no place for, even to be told so in turn,
// without waiting for what it asks: most read the answer all the same.
func (c *client) dropExcess() {
	const moment = 100 * time.Millisecond
	if c.l.tls.Load() != nil {
		return
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(moment)) // the first bytes of a connection never wait
	_, _ = c.raw.Write(tooManyConnections().appendTo(nil, newID(), false, false))
}

// tooManyConnections is the refusal of a connection over the limit.
func tooManyConnections() *refusal {
	return &refusal{code: codeOverload, msg: "too many connections", retryAfter: time.Second}
}

// write sends b whole, or reports that the client does not take it.
func (c *client) write(b []byte) error {
	c.mayStall()
	_, err := c.conn.Write(b)
	return err
}

// mayStall gives the next write to the client its deadline. One that was set
// less than a second ago does as well.
func (c *client) mayStall() {
	if until := time.Now().Add(stallTime); until.Sub(c.until) > time.Second {
		c.until = until
		_ = c.raw.SetWriteDeadline(until)
	}
}

// linger ends a connection on which the client may still be sending: closing
// at once would reset it and could take the answer away before it is read.
func (c *client) linger() {
	const most, patience = 256 << 10, time.Second
	if w, ok := c.conn.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.CopyN(io.Discard, c.r, most)
}

// reset makes the close that follows visible as an error.
func (c *client) reset() {
	switch t := c.raw.(type) {
	case *net.TCPConn:
		_ = t.SetLinger(0)
	case *stream:
		t.reset()
	}
}

// watcher finds out that a client went away while nothing else reads from it.
type watcher struct {
	timer *time.Timer    // made once for a connection
	fired sync.WaitGroup // of peek, while armed
	armed bool
	gone  func()
	ended bool

	mu   sync.Mutex // protects over, and the deadline for reading while the timer may fire
	over bool       // nobody wants to know any more
}

// watch calls gone when the client resets the connection while nothing else
// reads from it. The mere end of its sending counts only with ended, and never in
// HTTP/2, which tells the two apart: a client may half-close and still want its
// answer. The function that watch returns
// must be called before anything reads from the client again; it may be called
// more than once.
func (c *client) watch(gone func(), ended bool) (stop func()) {
	const soon = 200 * time.Millisecond // most requests are done by then and need no watching
	w := &c.watcher
	_, tells := c.raw.(*stream)
	w.gone, w.ended, w.armed, w.over = gone, ended && !tells, true, false
	w.fired.Add(1)
	if w.timer == nil {
		w.timer = time.AfterFunc(soon, c.peek)
	} else {
		w.timer.Reset(soon)
	}
	return c.unwatch
}

// peek waits for what the client does.
func (c *client) peek() {
	w := &c.watcher
	defer w.fired.Done()
	w.mu.Lock()
	if !w.over {
		_ = c.raw.SetReadDeadline(time.Time{})
	}
	w.mu.Unlock()
	_, err := c.r.Peek(1)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && (w.ended || !errors.Is(err, io.EOF)) {
		w.gone()
	}
}

// unwatch ends the watch, if there is one, and waits for its goroutine.
func (c *client) unwatch() {
	w := &c.watcher
	if !w.armed {
		return
	}
	w.armed = false
	if w.timer.Stop() {
		w.fired.Done()
	} else {
		w.mu.Lock()
		w.over = true
		_ = c.raw.SetReadDeadline(longAgo)
		w.mu.Unlock()
		w.fired.Wait()
		_ = c.raw.SetReadDeadline(time.Time{})
	}
	w.gone = nil
}
