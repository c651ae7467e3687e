package gateway

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"freeway/dial"
	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	answerLimit = 64 << 10 // bytes of the head of an answer
	maxInterim  = 8        // 1xx answers before the final one
)

// reply is the head of an answer on its connection.
type reply struct {
	head    *http1.Response // nil: none came
	room    http1.Response  // what head points to
	framing http1.Framing
	up      *dial.Conn
	r       *bufio.Reader
	upload  *upload // of a body that is not held; nil when there is none
	scope   *scope  // whose end closes the connection
	g       *Gateway
	lane    lane // where the connection is kept, with keeps
	keeps   bool // the head allows that
	whole   bool // so does the body
	proven  bool // it was kept before
	banned  bool // the body says that the exit is (Config.Ban.Body)
}

// close keeps the upstream connection or ends it, and waits for an upload that
// still runs.
func (p *reply) close() {
	p.rest(p.g)
	if p.upload != nil {
		p.upload.stop()
	}
	p.r.Reset(nil)
	replyReaders.Put(p.r)
}

var replyReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}

// plain gets the answer through one upstream after the other and passes it on.
// The refusal is nil when an answer was passed on, whole or not; keep says
// whether the connection may serve another request.
func (x *exchange) plain(ctx context.Context, o *outgoing) (keep bool, r *refusal) {
	s := &struct{ all, timed scope }{}
	all, timed := &s.all, &s.timed
	all.parent, timed.parent, timed.until = ctx, all, x.until
	defer all.end()
	x.c.follow(all)
	defer timed.end()
	unwatch := func() {}
	if o.whole {
		unwatch = x.c.watch(all.end, false)
		defer unwatch()
	}
	t, p, r := x.fetch(all, timed, o)
	if r == nil {
		x.answering()
	}
	if p != nil && p.head.Status == 101 {
		unwatch()
		return false, x.switchOver(ctx, t, p, o)
	}
	if r == nil {
		keep, o.passed = x.give(t, p, o)
		p.close()
		t.close()
	}
	return keep, r
}

// fetch tries upstreams until one delivers the head of an answer.
func (x *exchange) fetch(ctx, timed *scope, o *outgoing) (*try, *reply, *refusal) {
	t, r := x.next(timed)
	if r != nil {
		return nil, nil, r
	}
	return x.fetchFrom(ctx, timed, t, o)
}

// fetchFrom is fetch with the first try made.
func (x *exchange) fetchFrom(ctx, timed *scope, t *try, o *outgoing) (*try, *reply, *refusal) {
	for {
		if p := t.send(ctx, timed, o); p != nil {
			return x.pass(ctx, timed, t, p, o)
		}
		t.close()
		var r *refusal
		if o.safe() {
			t, r = x.next(timed)
		} else {
			r = x.unsafe(timed, o)
		}
		if r != nil {
			return nil, nil, r
		}
	}
}

// pass returns the target's answer, or that of one more exit where
// Retry.OnStatus asks for it.
func (x *exchange) pass(ctx, timed *scope, t *try, p *reply, o *outgoing) (*try, *reply, *refusal) {
	next := x.oneMore(timed, t, p, o)
	if next == nil {
		return t, p, nil
	}
	p.close()
	t.close()
	return x.fetchFrom(ctx, timed, next, o)
}

// unsafe is the refusal when the request may have reached the target and must
// not be sent again.
func (x *exchange) unsafe(timed context.Context, o *outgoing) *refusal {
	if r := o.broken; r != nil {
		return r
	}
	if r := x.overdue(timed); r != nil {
		return r
	}
	return refusef(codeFailed, "the upstream failed when the request may have reached the target, and it is not sent twice"+x.history())
}

// oneMore returns a try at another exit when the answer's status is one of
// Retry.OnStatus, once, or when its content seems to be packed by the upstream. nil: the
// answer is passed on.
func (x *exchange) oneMore(timed context.Context, t *try, p *reply, o *outgoing) *try {
	packed := x.packed(t, p, o)
	if !packed && (o.another || !x.retry.again[p.head.Status]) || !o.safe() {
		return nil
	}
	o.another = o.another || !packed
	t.reportAnswer(p)
	t.avoid(proxy.StageBody, proxy.Banned)
	next, r := x.next(timed)
	if r != nil {
		return nil
	}
	return next
}

// send sends the request through the upstream and reads the head of the final
// answer. A failure is reported, and nil returned.
func (t *try) send(ctx, timed *scope, o *outgoing) *reply {
	forward := !t.lease.Entry.Endpoint.Protocol.IsSOCKS() && !o.upgrade
	p, doubt, err := t.again(ctx, o, forward)
	if p != nil {
		return t.judge(timed, p, o, forward, err)
	}
	up, err := t.open(timed, o, forward)
	if err != nil {
		t.fail(timed, proxy.StageConnect, err)
		return nil
	}
	p, err = t.ask(ctx, up, o, forward)
	if doubt > 0 && err == nil && p.head.Status != doubt {
		t.x.c.g.reuse.shun(t.lease.Entry.Endpoint)
	}
	return t.judge(timed, p, o, forward, err)
}

// ask sends the request over the connection and reads the head of the answer.
func (t *try) ask(ctx *scope, up *dial.Conn, o *outgoing, forward bool) (*reply, error) {
	t.phases = up.Phases()
	p := o.newReply()
	*p = reply{room: p.room, up: up, g: t.x.c.g, r: replyReaders.Get().(*bufio.Reader), scope: ctx}
	ctx.hook(up)
	p.r.Reset(up)
	if err := t.write(p, o, forward); err != nil {
		return p, err
	}
	sent := time.Now()
	err := t.readHead(p, o)
	t.phases.FirstByte = time.Since(sent)
	return p, err
}

// judge returns an answer that may be passed on. Else it reports what failed.
func (t *try) judge(timed context.Context, p *reply, o *outgoing, forward bool, err error) *reply {
	if err == nil {
		switch ownPageOf(p.head, forward, o.repeats) {
		case notOwn:
			p.keepFor(t, o)
			if err = t.begun(p, o); err == nil {
				return p
			}
			p.close()
			t.failAs(proxy.StageBody, t.bodyClass(timed, err), p.head.Status)
			return nil
		case ownError:
			t.failAs(proxy.StageRequest, proxy.BadGateway, p.head.Status)
		case ownDenial: // which says nothing of the target
			t.failAs(proxy.StageRequest, proxy.Garbage, p.head.Status)
		case asksLogin:
			t.failAs(proxy.StageRequest, loginClass(forward), p.head.Status)
		case intercepted:
			t.failAs(proxy.StageRequest, proxy.Rejected, p.head.Status)
		}
	}
	p.close()
	switch {
	case o.broken != nil || errors.Is(err, errClientGone):
		t.report(proxy.StageRequest, proxy.Canceled, 0, 0)
	case err != nil:
		t.fail(timed, proxy.StageRequest, err)
	}
	return nil
}

// open connects to the upstream: for the absolute form where it is an HTTP
// proxy, else, and for WebSocket, through a tunnel.
func (t *try) open(ctx context.Context, o *outgoing, forward bool) (*dial.Conn, error) {
	if forward {
		return t.via().Forward(ctx)
	}
	return t.via().Tunnel(ctx, t.x.want.Target)
}

// write sends the head and a body that is held; a body that is not held begins
// to flow.
func (t *try) write(p *reply, o *outgoing, forward bool) error {
	buf := large.Get().(*[]byte)
	defer large.Put(buf)
	credentials := ""
	if e := &t.lease.Entry; forward && (e.Endpoint.User != "" || !e.Password.IsZero()) {
		credentials = t.via().ProxyAuthorization()
	}
	b := o.appendHead((*buf)[:0], forward, credentials)
	if o.whole && len(b)+len(o.held) <= cap(*buf) {
		b = append(b, o.held...)
	}
	if err := o.proceed(t.x.c); err != nil {
		return errClientGone
	}
	if o.whole {
		t.x.pace.owe(len(o.held))
	}
	_ = p.up.SetWriteDeadline(time.Now().Add(t.x.s.cfg.Timeouts.FirstByte))
	n, err := p.up.Write(b)
	// Inside TLS a failed write may have sent a part that is not counted.
	o.written = o.written || n > 0 || err == nil || t.lease.Entry.Endpoint.Protocol == proxy.HTTPS
	if err != nil {
		return err
	}
	if !o.whole {
		p.upload = t.x.startUpload(p.up, o)
		return nil
	}
	if len(o.held) > 0 && len(b)+len(o.held) > cap(*buf) {
		_, err = p.up.Write(o.held)
	}
	return err
}

var errClientGone = errors.New("the client went away")

// readHead reads answers until the final one, passing interim ones on.
func (t *try) readHead(p *reply, o *outgoing) (err error) {
	x := t.x
	if o.whole {
		until := time.Now().Add(t.answerTime(o.repeats && !o.hinted))
		if x.until.Before(until) {
			until = x.until
		}
		_ = p.up.SetReadDeadline(until)
	}
	for n := 0; ; n++ {
		p.head = nil
		if err = p.room.Read(p.r, answerLimit); err != nil {
			return err
		}
		switch p.head = &p.room; {
		case p.head.Status == 101 && !o.upgrade, n == maxInterim:
			return &http1.Error{Status: 502, Msg: "an interim answer too many"}
		case p.head.Status == 101 && !p.head.Header.HasToken("Upgrade", "websocket"): // RFC 9110 section 7.8
			return &http1.Error{Status: 502, Msg: "an answer switches to a protocol that was not asked for"}
		case p.head.Status >= 200 || p.head.Status == 101:
			p.framing, err = p.head.BodyKind(o.q.Method)
			return err
		case p.head.Status == 100 || o.old:
			continue
		}
		clean(&p.head.Header, hopByHop)
		p.head.Header.Del("Content-Length")
		o.hinted, x.answered = true, true
		if x.c.write(p.head.AppendTo(nil)) != nil {
			return errClientGone
		}
	}
}

// reportAnswer reports a target's answer that came through: a ban where the
// configuration calls its status one, else a success.
func (t *try) reportAnswer(p *reply) {
	class, wait := proxy.OK, time.Duration(0)
	if t.x.s.banned[p.head.Status] || p.banned {
		class, wait = proxy.Banned, retryAfter(p.head.Header.Get("Retry-After"), t.x.c.g.env.Now())
	}
	t.report(proxy.StageBody, class, p.head.Status, wait)
}

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3); 0 for none.
func retryAfter(s string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, most)
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
