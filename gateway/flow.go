package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

const (
	smallSize = 2 << 10                // buffer of a direction that is idle
	largeSize = 32 << 10               // of one that filled its small buffer
	halfGrace = 60 * time.Second       // how long one direction may be silent once the other has ended
	hangupLag = 500 * time.Millisecond // how long a client may take to speak into a tunnel that ended without a word
)

var (
	small = sync.Pool{New: func() any { b := make([]byte, smallSize); return &b }}
	large = sync.Pool{New: func() any { b := make([]byte, largeSize); return &b }}
)

// flow is a tunnel that is up: the client on one side and, one after the other
// while the first flight is replayed, upstreams on the other.
type flow struct {
	x    *exchange
	idle time.Duration // silence in both directions that ends it
	left time.Duration // for the first flight: what the set-up left of the request's time

	up, down  atomic.Int64 // bytes from and to the client
	lastMoved atomic.Int64 // Unix nanoseconds when a byte last moved either way
	spoke     atomic.Int64 // Unix nanoseconds when the client first sent something; 0: not yet
	half      atomic.Bool  // one direction has ended

	mu      sync.Mutex // protects the fields below
	leg     *leg       // the upstream in use
	aborted bool
}

// leg is the way through one upstream. Its goroutine reads what comes back.
type leg struct {
	t       *try
	up      *dial.Conn
	state   atomic.Int32
	claimed chan struct{} // closed by the client's side when the client has spoken
	opening chan opening  // what came back first, in state held
	verdict chan bool     // answer to it: go on, or end
	done    chan struct{} // closed when the goroutine has ended
}

// States of a leg. The client's side moves it from waiting to held or open;
// the upstream's side to open when the upstream speaks first.
const (
	waiting int32 = iota // nobody has sent anything
	open                 // what comes back goes to the client
	held                 // what comes back is judged by the client's side first
)

// opening is the first thing that came back from an upstream.
type opening struct {
	data []byte
	err  error
}

// start makes up the upstream in use, in the given state, and begins to read from it.
func (f *flow) start(t *try, up *dial.Conn, state int32) *leg {
	l := &leg{t: t, up: up, claimed: make(chan struct{}), opening: make(chan opening, 1), verdict: make(chan bool, 1), done: make(chan struct{})}
	l.state.Store(state)
	if state != waiting {
		close(l.claimed)
	}
	f.mu.Lock()
	f.leg = l
	if f.aborted {
		_ = up.Close()
	}
	f.mu.Unlock()
	go func() {
		defer close(l.done)
		defer f.x.c.g.recover()
		f.download(l)
	}()
	return l
}

// abort cuts the tunnel.
func (f *flow) abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aborted = true
	_ = f.leg.up.Close()
	_ = f.x.c.raw.Close()
}

// run is the client's side: it carries what the client sends, and waits for
// the other side.
func (f *flow) run(ctx context.Context) {
	l := f.leg
	defer func() {
		<-f.leg.done
		f.finish(f.leg)
	}()
	c := f.x.c
	_ = c.raw.SetReadDeadline(time.Now().Add(f.idle))
	first, err := c.r.Peek(1)
	if err == nil {
		f.spoke.Store(time.Now().UnixNano())
		if first[0] == recordHandshake && f.mayHold() && l.state.CompareAndSwap(waiting, held) {
			close(l.claimed)
			if l = f.firstFlight(ctx, l); l == nil {
				f.abort()
				return
			}
		} else if l.state.CompareAndSwap(waiting, open) {
			close(l.claimed)
		}
	}
	f.upload(l)
}

// finish closes a leg whose goroutine has ended and settles what is still open.
func (f *flow) finish(l *leg) {
	_ = l.up.Close()
	spoke := f.spoke.Load()
	if spoke != 0 && time.Since(time.Unix(0, spoke)) >= f.x.s.cfg.Timeouts.FirstByte {
		l.t.report(proxy.StageTunnel, proxy.Timeout, 0, 0) // silence is what the client left for
	}
	l.t.close()
}

// upload carries what the client sends until its end, then says so upstream.
func (f *flow) upload(l *leg) {
	c := f.x.c
	for n := c.r.Buffered(); n > 0; n = c.r.Buffered() {
		b, _ := c.r.Peek(n)
		if !f.send(l.up, b, &f.up) {
			f.abort()
			return
		}
		_, _ = c.r.Discard(n)
	}
	c.release() // the buffer is not needed any more
	if err := f.copy(l.up, c.conn, &f.up); err != nil {
		f.abort()
		return
	}
	f.endHalf(l.up.CloseWrite, l.up)
}

// download is the upstream's side of a leg.
func (f *flow) download(l *leg) {
	buf := small.Get().(*[]byte)
	defer small.Put(buf)
	_ = l.up.SetReadDeadline(time.Now().Add(f.idle))
	n, err := f.readFirst(l, *buf)
	first := opening{(*buf)[:n], err}
	if n == 0 && l.state.Load() == waiting {
		select { // a client that speaks now is served by another upstream
		case <-l.claimed:
		case <-time.After(hangupLag):
		}
	}
	if !l.state.CompareAndSwap(waiting, open) && l.state.Load() == held {
		l.opening <- first
		if !<-l.verdict {
			return
		}
	}
	f.judge(l, first)
	f.deliver(l, first)
}

// readFirst waits for the first bytes, for as long as the tunnel is not idle.
func (f *flow) readFirst(l *leg, buf []byte) (int, error) {
	for {
		n, err := l.up.Read(buf)
		if n > 0 || err == nil || !f.restIdle(l.up, err) {
			return n, err
		}
	}
}

// judge reports what came back first, unless the client's side has done so.
func (f *flow) judge(l *leg, first opening) {
	spoke := f.spoke.Load()
	switch {
	case l.t.settled:
	case len(first.data) > 0:
		if spoke != 0 {
			l.t.phases.FirstByte = time.Since(time.Unix(0, spoke))
		}
		l.t.report(proxy.StageTunnel, proxy.OK, 0, 0)
	case spoke != 0 && !f.half.Load() && !errors.Is(first.err, net.ErrClosed):
		l.t.report(proxy.StageTunnel, dial.Classify(first.err), 0, 0)
	}
}

// deliver gives the client what came first and everything behind it.
func (f *flow) deliver(l *leg, first opening) {
	c, err := f.x.c, first.err
	if len(first.data) > 0 {
		if !f.send(c.conn, first.data, &f.down) {
			f.abort()
			return
		}
	}
	if err == nil {
		err = f.copy(c.conn, l.up, &f.down)
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		c.reset()
		f.abort()
		return
	}
	f.endHalf(func() error { return closeWrite(c.conn) }, c.raw)
}

// closeWrite half-closes a connection of a client, TCP or TLS.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// endHalf passes the end of one direction on. The other one, which reads from
// other, has its grace from now on.
func (f *flow) endHalf(closeWrite func() error, other net.Conn) {
	if closeWrite() != nil {
		f.abort()
		return
	}
	f.half.Store(true)
	_ = other.SetReadDeadline(time.Now().Add(f.patience()))
}

// patience is how long both directions may be silent.
func (f *flow) patience() time.Duration {
	if f.half.Load() {
		return min(f.idle, halfGrace)
	}
	return f.idle
}

// copy moves bytes until the source ends (nil) or something fails.
func (f *flow) copy(dst, src net.Conn, count *atomic.Int64) error {
	pool := &small
	buf := pool.Get().(*[]byte)
	defer func() { pool.Put(buf) }()
	for {
		n, err := src.Read(*buf)
		if n > 0 && !f.send(dst, (*buf)[:n], count) {
			return errPeerGone
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case !f.restIdle(src, err):
			return err
		}
		if n == smallSize && pool == &small {
			pool.Put(buf)
			pool = &large
			buf = pool.Get().(*[]byte)
		}
	}
}

var errPeerGone = errors.New("the other side takes no more")

// send writes b and counts it.
func (f *flow) send(dst net.Conn, b []byte, count *atomic.Int64) bool {
	now := time.Now()
	f.lastMoved.Store(now.UnixNano())
	_ = dst.SetWriteDeadline(now.Add(f.idle))
	n, err := dst.Write(b)
	count.Add(int64(n))
	f.lastMoved.Store(time.Now().UnixNano())
	return err == nil
}

// restIdle reports whether a read that timed out may go on, because bytes
// moved in the meantime, and sets its next deadline.
func (f *flow) restIdle(src net.Conn, err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	now := time.Now()
	rest := f.patience() - now.Sub(time.Unix(0, f.lastMoved.Load()))
	if rest <= 0 {
		return false
	}
	return src.SetReadDeadline(now.Add(rest)) == nil
}

// firstFlight sends the client's ClientHello through the leg and, while no
// plausible TLS answer comes back, through other upstreams. It returns the leg
// that answered, already open; nil when none did. The client notices nothing.
func (f *flow) firstFlight(ctx context.Context, l *leg) *leg {
	hello, ok := f.x.c.readHello()
	defer hello.free()
	if !ok { // not one that can be sent twice: pass it through untouched
		l.state.Store(open)
		l.verdict <- true
		if !f.send(l.up, hello.bytes(), &f.up) {
			return nil
		}
		return l
	}
	f.up.Add(int64(len(hello.bytes())))
	f.x.until = time.Now().Add(f.left)
	ctx, cancel := context.WithDeadline(ctx, f.x.until)
	defer cancel()
	defer f.x.c.watch(cancel, true)()
	for {
		class := f.offer(ctx, l, hello.bytes())
		if class == proxy.OK {
			l.verdict <- true
			return l
		}
		if l.t.innocent(ctx, class) {
			class = proxy.Canceled
		}
		l.t.failAs(proxy.StageTunnel, class, 0)
		l.drop()
		t, up, r := f.x.dialTunnel(ctx)
		if r != nil {
			f.x.trace.Code = r.code
			return nil
		}
		f.x.c.g.m.replays.Inc()
		l = f.start(t, up, held)
	}
}

// drop ends a leg that is held.
func (l *leg) drop() {
	l.verdict <- false
	_ = l.up.Close()
	<-l.done
	l.t.close()
}

// offer sends the hello and judges what comes back.
func (f *flow) offer(ctx context.Context, l *leg, hello []byte) proxy.Class {
	sent := time.Now()
	_ = l.up.SetWriteDeadline(sent.Add(f.x.s.cfg.Timeouts.FirstByte))
	if _, err := l.up.Write(hello); err != nil {
		return dial.Classify(err)
	}
	limit := time.NewTimer(f.x.s.cfg.Timeouts.FirstByte)
	defer limit.Stop()
	select {
	case first := <-l.opening:
		l.t.phases.FirstByte = time.Since(sent)
		switch {
		case len(first.data) == 0:
			return dial.Classify(first.err)
		case !plausibleTLS(first.data):
			return proxy.BadTLS
		}
		f.lastMoved.Store(time.Now().UnixNano())
		l.t.report(proxy.StageTunnel, proxy.OK, 0, 0)
		return proxy.OK
	case <-limit.C:
	case <-ctx.Done():
	}
	return proxy.Timeout
}

// mayHold reports whether the first flight may be sent again: never in a
// strict session, nor when the client forbids it.
func (f *flow) mayHold() bool {
	opt := f.x.who.opt
	return opt.Replay != proxy.No && !(opt.Strict && opt.Session != "")
}
