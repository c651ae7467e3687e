package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

// writer puts a deadline in front of each write to the client and counts.
type writer struct {
	c *client
	n int64
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.c.x.pace == nil {
		return w.put(p)
	}
	return w.c.x.pace.write(p, w.put)
}

// put writes p at once.
func (w *writer) put(p []byte) (int, error) {
	w.c.mayStall()
	n, err := w.c.x.spend(p, w.c.conn)
	w.n += int64(n)
	return n, err
}

var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 16<<10) }}

// give passes an answer on in normal form and reports whether the connection
// may serve another request, and whether the answer is whole. A body that was
// cut ends without the end that its framing promised.
func (x *exchange) give(t *try, p *reply, o *outgoing) (keep, whole bool) {
	x.trace.Status = p.head.Status
	if x.s.banned[p.head.Status] {
		t.reportAnswer(p) // known already, whatever the body does
	}
	framing := o.answerFraming(p)
	keep = x.c.keeps() && framing != http1.UntilClose && (o.whole || p.upload != nil && p.upload.finished())
	x.finishHead(t, p, o, framing, keep)
	x.show(t)
	o.given, x.answered = true, true
	w := &o.parts.writer
	w.c = x.c
	bw := writers.Get().(*bufio.Writer)
	bw.Reset(w)
	defer func() {
		bw.Reset(nil)
		writers.Put(bw)
	}()
	buf := large.Get().(*[]byte)
	defer large.Put(buf)
	_, _ = bw.Write(p.head.AppendTo((*buf)[:0]))
	o.parts.body.Reset(p.r, p.framing)
	source, sink := x.copyBody(p, &o.parts.body, bw, framing, *buf)
	x.trace.Up, x.trace.Down = o.sent(p), w.n
	switch {
	case sink != nil:
		x.spent(sink)
		if framing == http1.UntilClose {
			x.c.reset() // it may be cut for want of bytes
		}
		t.report(proxy.StageBody, proxy.Canceled, p.head.Status, 0)
	case source != nil:
		class := proxy.Truncated
		if t.innocent(p.scope, class) { // the client went away, and that closed the upstream
			class = proxy.Canceled
		}
		t.report(proxy.StageBody, class, p.head.Status, 0)
		if framing == http1.UntilClose {
			x.c.reset() // nothing else tells the client
		}
	default:
		p.whole = true
		t.reportAnswer(p)
		return keep, true
	}
	return false, false
}

// answerFraming returns how the body reaches the client. Where only the end of
// the connection would tell the end of the body, HTTP/1.1 clients get chunks,
// so that they can tell an end from a cut.
func (o *outgoing) answerFraming(p *reply) http1.Kind {
	switch k := p.framing.Kind; {
	case k == http1.NoBody || k == http1.Length:
		return k
	case o.old:
		return http1.UntilClose
	}
	return http1.Chunked
}

// finishHead puts the head into normal form.
func (x *exchange) finishHead(t *try, p *reply, o *outgoing, framing http1.Kind, keep bool) {
	h := &p.head.Header
	clean(h, hopByHop)
	switch {
	case framing == http1.Chunked:
		h.Add("Transfer-Encoding", "chunked")
	case framing == http1.NoBody && p.head.Status == 204:
		h.Del("Content-Length")
	default:
		h.NormalLength()
	}
	p.head.Minor = 1
	switch {
	case !keep:
		h.Add("Connection", "close")
	case o.old:
		h.Add("Connection", "keep-alive")
	}
	x.expose(h, t)
}

// copyBody copies the body; what came goes to the client before more is waited
// for, the head too. source is the error of the upstream, sink that of the client.
func (x *exchange) copyBody(p *reply, body *http1.Body, bw *bufio.Writer, framing http1.Kind, buf []byte) (source, sink error) {
	scan := newBanScan(x.s.banText, p.head.Header)
	var out io.Writer = bw
	var chunks *http1.ChunkedWriter
	if framing == http1.Chunked {
		chunks = http1.NewChunkedWriter(bw)
		out = chunks
	}
	var pace bodyPace
	for {
		var asked time.Time
		if body.Waits() {
			if sink = bw.Flush(); sink != nil {
				return nil, sink
			}
			asked = time.Now()
			_ = p.up.SetReadDeadline(asked.Add(x.silence(p.framing.Kind)))
		}
		n, err := body.Read(buf)
		if err == nil && p.framing.Kind == http1.Length && pace.slow(asked, n, p.g.slowWindow) {
			err = errDrip
		}
		scan.feed(buf[:n])
		if _, sink = out.Write(buf[:n]); sink != nil {
			return nil, sink
		}
		if errors.Is(err, io.EOF) {
			if framing == http1.Chunked {
				_ = chunks.Close() // an error stays in bw
			}
			p.banned = scan.found()
			return nil, bw.Flush()
		}
		if err != nil {
			return err, bw.Flush()
		}
	}
}

// silence is how long nothing may come of an answer's body. One whose length is known is
// a file, and no stream of events, so it need not be waited for that long.
func (x *exchange) silence(k http1.Kind) time.Duration {
	if k == http1.Length {
		return min(x.s.cfg.Timeouts.Idle, stallTime)
	}
	return x.s.cfg.Timeouts.Idle
}

// sent returns how many bytes of the request body went out.
func (o *outgoing) sent(p *reply) int64 {
	if p.upload != nil {
		return p.upload.n.Load()
	}
	return int64(len(o.held))
}

// switchOver passes 101 on and turns the exchange into a tunnel.
func (x *exchange) switchOver(ctx context.Context, t *try, p *reply, o *outgoing) *refusal {
	x.trace.Status = 101
	o.given, x.answered = true, true
	t.report(proxy.StageRequest, proxy.OK, 101, 0)
	clean(&p.head.Header, hopByHop)
	p.head.Header.Del("Content-Length") // RFC 9110 section 8.6
	p.head.Minor = 1
	p.head.Header.Add("Connection", "Upgrade")
	p.head.Header.Add("Upgrade", "websocket")
	x.expose(&p.head.Header, t)
	x.show(t)
	b := p.head.AppendTo(nil)
	behind, _ := p.r.Peek(p.r.Buffered())
	err := x.c.write(append(b, behind...))
	p.scope.unhook(p.up)
	p.r.Reset(nil)
	replyReaders.Put(p.r)
	if err != nil {
		_ = p.up.Close()
		t.close()
		return errGone
	}
	_ = p.up.SetDeadline(time.Time{})
	x.carry(ctx, t, p.up, open)
	return nil
}
