package checker

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"freeway/dial"
	"freeway/internal/judge"
	"freeway/proxy"
)

// try is one protocol at one address. It is used by one goroutine.
type try struct {
	c      *Checker
	s      *settings
	own    *ownAddrs
	ep     proxy.Endpoint
	known  proxy.Traits // what earlier checks found
	live   bool         // it is in use: this check only confirms it
	fresh  bool         // it is time to look at its treatment of pages
	spoke  bool         // it has answered something already
	unsure bool         // nobody knows yet whether the protocol is the right one
	via    *dial.Via
	limits *limits     // as they were when it began
	judges []*examiner // for the tunnel; nil: not chosen yet
	ahead  *ahead      // what a scout has done for it, to be taken once; nil: nothing
	budget budget
}

// maxSteps is how many times the time of a step all the steps of one protocol may
// take together: slow and honest is fine, slower in every step is not.
const maxSteps = 3

// budget is the time that is left for the steps of one protocol. Waiting for our own limits costs nothing of it.
type budget struct {
	left time.Duration
	step time.Duration // for a single one
}

// start returns a context that ends when the budget is spent, or does not end
// before limit when that is less; the function it returns stops the clock.
func (b *budget) start(ctx context.Context, limit time.Duration) (context.Context, func()) {
	return b.startAt(ctx, time.Now(), limit)
}

// startAt is start for what has begun before.
func (b *budget) startAt(ctx context.Context, began time.Time, limit time.Duration) (context.Context, func()) {
	if b.left >= limit { // whoever is called keeps to the limit
		return ctx, func() { b.left -= time.Since(began) }
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(b.left))
	return ctx, func() {
		cancel()
		b.left -= time.Since(began)
	}
}

// more grants at least the time of another step.
func (b *budget) more() { b.left = max(b.left, b.step) }

// step is one use of the proxy: opening a way to a judge and asking it.
type step struct {
	ran     bool
	judge   *examiner
	fault   *fault // nil: it worked
	granted bool   // the tunnel was granted, or for forwarding, something answered
	literal bool   // the name was refused and the judge's address taken instead
	phases  proxy.Phases
	seen    *judge.Seen // what the judge saw, when it worked
	header  http.Header // of the answer
	reveal  reveal      // what the peer's bytes look like, when it does not speak the protocol
}

// ok reports whether the step was taken and worked.
func (s *step) ok() bool { return s.ran && s.fault == nil }

// class returns how the step went, OK when it did not run.
func (s *step) class() proxy.Class {
	if s.fault == nil {
		return proxy.OK
	}
	return s.fault.class
}

// ask asks one of the judges, the next one when the proxy says that it cannot
// reach the first or that one does not want its exit.
func (t *try) ask(ctx context.Context, judges []*examiner) *step {
	s := new(step)
	for _, e := range judges {
		if s.ran && t.budget.left <= 0 {
			break
		}
		s = &step{ran: true, judge: e}
		t.askOne(ctx, e, s)
		if c := s.class(); c != proxy.BadGateway && c != proxy.Banned && c != proxy.TargetFailed {
			break
		}
	}
	return s
}

// patience is how long an open connection may wait for a turn at a public judge.
const patience = time.Second

// askOne asks one judge: connect, open a way, wait for a turn, ask, weigh.
func (t *try) askOne(ctx context.Context, e *examiner, s *step) {
	conn := t.open(ctx, e, s)
	if conn == nil {
		return
	}
	// Only what opened a way is worth a turn. A long queue is waited out without
	// the connection, which would not live that long.
	if wait := e.reserve(); wait > 0 {
		if wait > patience {
			conn.Close()
			conn = nil
		}
		if !sleep(ctx, wait) {
			s.fault = &fault{stage: proxy.StageRequest, class: proxy.Canceled}
		} else if conn == nil {
			conn = t.open(ctx, e, s)
		}
	}
	if conn == nil {
		return
	}
	defer conn.Close()
	if s.fault == nil {
		apart(func() { t.exchange(ctx, conn, s) })
	}
}

// forwards reports whether requests to a page go in absolute form.
func (t *try) forwards(p *page) bool { return !t.ep.Protocol.IsSOCKS() && !p.to.TLS }

// open connects and opens a way to the judge; nil with s.fault set when that does not work.
func (t *try) open(ctx context.Context, e *examiner, s *step) *dial.Conn {
	conn := t.openTo(ctx, &e.page, s)
	// A server that cannot resolve names refuses them like any unreachable target.
	if c := s.class(); conn == nil && t.ep.Protocol.IsSOCKS() && (c == proxy.BadGateway || c == proxy.Rejected) && !e.to.Addr().IsValid() {
		return t.openLiteral(ctx, e, s)
	}
	return conn
}

// nudgeAfter is when to end a line that a SOCKS greeting has not ended.
func (t *try) nudgeAfter() time.Duration { return min(t.budget.left, t.sureAnswer()) * 2 / 3 }

// tunnelJudges returns the judges to reach by a tunnel, always the same once there are any.
func (t *try) tunnelJudges() []*examiner {
	if t.judges == nil {
		t.judges = t.s.pick(true, "")
	}
	return t.judges
}

// openLiteral is open by the judge's address where its name was refused.
func (t *try) openLiteral(ctx context.Context, e *examiner, s *step) *dial.Conn {
	addr := e.known().addr
	if !addr.IsValid() || t.budget.left <= 0 {
		return nil
	}
	p := e.page
	p.to.Host, p.to.Domain = addr.String(), addr.String()
	var again step
	conn := t.openTo(ctx, &p, &again)
	if conn != nil {
		s.fault, s.granted, s.literal = nil, true, true
	}
	return conn
}

// openTo is open for one form of the judge's address.
func (t *try) openTo(ctx context.Context, p *page, s *step) *dial.Conn {
	raw, spy := t.connect(ctx, s)
	if raw == nil {
		return nil
	}
	if t.unsure && t.ep.Protocol.IsSOCKS() {
		defer spy.nudgeAfter(t.nudgeAfter())()
	}
	steps := time.Duration(1)
	if t.ep.Protocol == proxy.HTTPS {
		steps = 2 // TLS, then the handshake
	}
	open, stop := t.step(ctx, raw.HandshakeBegan(), steps, answerLimit)
	defer stop()
	var conn *dial.Conn
	var err error
	if t.forwards(p) {
		conn, err = t.via.ForwardOver(open, raw)
	} else {
		conn, err = t.via.TunnelOver(open, raw, p.to)
	}
	if err != nil {
		s.shut(open, err, spy)
		if spy.wasNudged() && s.reveal.protocol() == t.ep.Protocol { // it was about to speak it, and the line's end spoilt it
			t.unsure, s.fault, s.reveal = false, nil, revealNothing
			return t.openTo(ctx, p, s)
		}
		return nil
	}
	if spy.wasNudged() { // it speaks SOCKS after all, and the line's end is in the tunnel
		conn.Close()
		t.unsure = false
		return t.openTo(ctx, p, s)
	}
	if _, watched := conn.Conn.(*spyConn); !watched { // TLS was put around it
		conn.Conn = &spyConn{Conn: conn.Conn}
	}
	s.phases = conn.Phases()
	s.granted = !t.forwards(p)
	t.spoke = t.spoke || s.granted
	return conn
}

// shut notes why a way could not be opened.
func (s *step) shut(ctx context.Context, err error, spy *spyConn) {
	s.fault = faultOf(ctx, proxy.StageHandshake, err)
	s.phases = phasesOf(err)
	s.reveal = spy.reveal(s.fault.class)
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok { // TLS reads past the spy
		s.reveal = revealed(record.RecordHeader[:], s.fault.class)
	} else if s.fault.stage == proxy.StageTLS {
		s.reveal = revealNothing
	}
}

// connect dials the proxy, in turn; nil with s.fault set when that does not work.
func (t *try) connect(ctx context.Context, s *step) (*dial.Conn, *spyConn) {
	if a := t.ahead; a != nil {
		t.ahead = nil
		return a.take(ctx, s)
	}
	leave, ok := t.turn(ctx, true)
	if !ok {
		s.fault = &fault{stage: proxy.StageConnect, class: proxy.Canceled}
		return nil, nil
	}
	defer leave()
	ctx, stop := t.step(ctx, time.Now(), 1, connectLimit)
	defer stop()
	conn, err := t.via.Connect(ctx)
	if err != nil {
		s.fault, s.phases = faultOf(ctx, proxy.StageConnect, err), phasesOf(err)
		return nil, nil
	}
	spy := &spyConn{Conn: conn.Conn}
	conn.Conn = spy
	return conn, spy
}

// turn waits for a turn to connect, and for that of its network only with patience;
// not ok when there is none or ctx ended. Else leave must be called when connecting has ended.
func (t *try) turn(ctx context.Context, patient bool) (leave func(), ok bool) {
	leave = func() {}
	if n, paced := t.c.paced(t.ep.Host); paced {
		enter := t.c.pacer.tryEnter
		if patient {
			enter = func(n netip.Prefix, limit int) bool { return t.c.pacer.enter(ctx, n, limit) }
		}
		if !enter(n, t.s.cfg.PerNetwork) {
			return nil, false
		}
		leave = func() { t.c.pacer.leave(n) }
	}
	if t.s.connects != nil && t.s.connects.Wait(ctx) != nil {
		leave()
		return nil, false
	}
	t.c.metrics.dials.Inc()
	return leave, true
}

// phasesOf returns how long the steps took until one failed.
func phasesOf(err error) proxy.Phases {
	if e, ok := errors.AsType[*dial.Error](err); ok {
		return e.Phases
	}
	return proxy.Phases{}
}

// exchange asks the judge over an open way and weighs the answer.
func (t *try) exchange(ctx context.Context, conn *dial.Conn, s *step) {
	limit := t.budget.step
	if t.forwards(&s.judge.page) && !t.spoke { // it has not said a word yet
		limit = t.limits.answer
	}
	ctx, stop := t.budget.start(ctx, 2*limit)
	defer stop()
	e := s.judge
	nonce := newNonce()
	q := question{page: e.page, path: e.with(nonce), canary: newNonce(), maxBody: judge.MaxAnswer}
	if t.forwards(&e.page) {
		q.whole, q.auth = true, t.via.ProxyAuthorization()
	}
	end := t.c.loops.begin(nonce)
	a, f := askOver(ctx, limit, conn, q, t.s.roots)
	s.phases.FirstByte, s.header = a.wait, a.header
	if end() {
		s.fault = loopFault()
		return
	}
	if f == nil {
		var seen judge.Seen
		seen, _, f = weigh(a, q, nonce, e.known().kind, e.key)
		s.seen = &seen
	}
	if f == nil && !e.to.TLS && e.known().mac && !s.seen.Signed {
		f = &fault{stage: proxy.StageVerify, class: proxy.Tampered, status: a.status, tampers: "content: the signature was taken off", why: "the signature was taken off"}
	}
	s.fault = f
	if f == nil {
		s.granted = true
		t.learnTempo(s)
		return
	}
	if spy, ok := conn.Conn.(*spyConn); ok && t.forwards(&e.page) {
		s.reveal = spy.reveal(f.class)
		s.granted = s.reveal == revealHTTP
	}
}

// learnTempo counts how long a step took that worked.
func (t *try) learnTempo(s *step) {
	var proxied time.Duration
	if t.forwards(&s.judge.page) && !t.spoke {
		proxied = s.phases.FirstByte
	}
	t.spoke = true
	t.c.tempo.learn(s.phases, proxied)
}

// apart does something in a goroutine of its own and waits for it. Verifying
// certificates takes a large stack, which the many that only wait must not keep.
// A panic there is one of the caller.
func apart(do func()) {
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		do()
	}()
	passOn(<-done)
}

// passOn goes on in the caller with a panic of another goroutine; nil: there was none.
func passOn(p any) {
	if p != nil {
		panic(p) // goes on in the caller
	}
}

// sleep waits for d; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
