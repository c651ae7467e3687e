package gateway

import (
	"bufio"
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"freeway/dial"
	"freeway/internal/http1"
)

// upload is a request body on its way from the client to an upstream while the
// answer is awaited. Its goroutine ends when the body does, when either side
// fails, or by stop.
type upload struct {
	c     *client
	n     atomic.Int64 // bytes sent
	read  atomic.Bool  // the whole body was read from the client
	ok    atomic.Bool  // it was sent
	ended atomic.Bool  // nobody wants the rest
	done  chan struct{}
	pace  *pacing // nil: no limit

	mu   sync.Mutex // protects head
	head bool       // the head of the answer is here
}

// awaitHead begins the time that the answer may take, unless its head is here.
func (u *upload) awaitHead(up *dial.Conn, d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.head {
		_ = up.SetReadDeadline(time.Now().Add(d))
	}
}

// headCame leaves the deadline to the reader of the body from now on.
func (u *upload) headCame() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.head = true
}

// startUpload sends what is held of the body and then the rest. What the client
// takes for that is not counted against timeouts.total: the answer has what is
// left of it now.
func (x *exchange) startUpload(up *dial.Conn, o *outgoing) *upload {
	most := min(x.s.cfg.Timeouts.FirstByte, time.Until(x.until))
	u := &upload{c: x.c, done: make(chan struct{}), pace: x.pace.part()}
	go func() {
		defer close(u.done)
		defer u.pace.stop()
		defer x.c.g.recover()
		if r := u.run(up, o); r != nil {
			o.broken = r
			_ = up.Close() // a body that is not whole must not look so
			return
		}
		u.awaitHead(up, most)
	}()
	return u
}

// run returns the refusal when the client is to blame. An upstream that takes
// no more may still have answered: the reader of the answer will see.
func (u *upload) run(up *dial.Conn, o *outgoing) *refusal {
	bw := bufio.NewWriterSize(&upstreamWriter{up, u}, 16<<10)
	var out io.Writer = bw
	chunks := http1.NewChunkedWriter(bw)
	if o.framing.Kind == http1.Chunked {
		out = chunks
	}
	buf := large.Get().(*[]byte)
	defer large.Put(buf)
	in := io.MultiReader(bytes.NewReader(o.held), &stallReader{c: u.c, r: o.body, stop: &u.ended})
	for {
		n, err := in.Read(*buf)
		if _, werr := out.Write((*buf)[:n]); werr != nil {
			return usedUp(werr)
		}
		if err == io.EOF {
			break
		}
		if err != nil && u.ended.Load() {
			return nil // it was woken
		}
		if err != nil {
			return bodyRefusal(err)
		}
		if !o.body.Waits() {
			continue
		}
		if werr := bw.Flush(); werr != nil {
			return usedUp(werr)
		}
	}
	if o.framing.Kind == http1.Chunked {
		_ = chunks.Close() // an error stays in bw
	}
	u.read.Store(true)
	if bw.Flush() == nil {
		u.ok.Store(true)
	}
	return nil
}

// finished reports whether the whole body was sent. When only the last write
// is still running it waits a moment, because the answer to it may be here
// before the write is known to be done.
func (u *upload) finished() bool {
	const moment = 50 * time.Millisecond
	if !u.read.Load() {
		return false
	}
	select {
	case <-u.done:
	case <-time.After(moment):
	}
	return u.ok.Load()
}

// stop ends the upload and waits for its goroutine. The upstream is closed
// before; a client that is being read from is woken.
func (u *upload) stop() {
	select {
	case <-u.done:
		return
	default:
	}
	u.ended.Store(true)
	u.pace.stop()
	_ = u.c.raw.SetReadDeadline(longAgo)
	<-u.done
}

// upstreamWriter puts a deadline in front of each write.
type upstreamWriter struct {
	up *dial.Conn
	u  *upload
}

// Write implements io.Writer.
func (w *upstreamWriter) Write(p []byte) (int, error) {
	if w.u.pace == nil {
		return w.put(p)
	}
	return w.u.pace.write(p, w.put)
}

// put writes p at once.
func (w *upstreamWriter) put(p []byte) (int, error) {
	_ = w.up.SetWriteDeadline(time.Now().Add(stallTime))
	n, err := w.u.c.x.spend(p, w.up)
	w.u.n.Add(int64(n))
	return n, err
}
