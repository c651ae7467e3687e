package gateway

import (
	"context"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// firstFlight sends the client's ClientHello through the leg and, while no
// plausible TLS answer comes back, through other upstreams. It returns the leg
// that answered, already open; nil when none did. The client notices nothing.
// An alert is given to the client when a second upstream brings one, too, or none is left
// to try: then it is the target's word on the client's hello, and nobody failed.
func (f *flow) firstFlight(ctx *scope, l *leg) *leg {
	hello, ok := f.x.c.readHello()
	defer hello.free()
	if !ok {
		return f.passOn(l, hello)
	}
	f.up.Add(int64(len(hello.bytes())))
	f.x.until = time.Now().Add(f.left)
	ctx.renew(f.x.until)
	defer func() { ctx.renew(time.Time{}) }()
	defer f.x.c.watch(ctx.end, true)()
	var s spare
	defer s.drop()
	for {
		var class proxy.Class
		var answer tlsAnswer
		if l, class, answer = f.offer(ctx, l, hello.bytes()); l != nil {
			f.use(l)
		}
		switch {
		case class != proxy.OK:
			if l != nil {
				f.dismiss(ctx, l, class)
			}
		case answer != tlsAlert:
			s.settle(proxy.BadTLS) // another upstream got further
			l.goOn()
			return l
		case s.l != nil:
			s.settle(proxy.OK)
			l.t.report(proxy.StageTunnel, proxy.OK, 0, 0)
			l.goOn()
			return l
		case f.x.want.Session != (proxy.SessionKey{}): // there is no other exit to ask
			l.t.report(proxy.StageTunnel, proxy.Canceled, 0, 0)
			l.goOn()
			return l
		default:
			s.keep(l)
		}
		t, up, r := f.x.dialTunnel(ctx)
		switch {
		case r != nil && s.l != nil && r.code != codeGone:
			return f.settleFor(&s)
		case r != nil:
			f.x.trace.Code = r.code
			return nil
		}
		f.x.c.g.m.replays.Inc()
		l = f.start(t, up, held)
	}
}

// passOn sends what cannot be sent twice through the leg, untouched.
func (f *flow) passOn(l *leg, hello flight) *leg {
	l.state.Store(open)
	l.trial.verdict <- true
	if err := f.send(l.up, hello.bytes(), &f.up); err != nil {
		f.note(dial.Classify(err))
		return nil
	}
	return l
}

// dismiss reports and ends a leg that did not deliver.
func (f *flow) dismiss(ctx context.Context, l *leg, class proxy.Class) {
	if l.t.innocent(ctx, class) {
		class = proxy.Canceled
	}
	l.t.failAs(proxy.StageTunnel, class, 0)
	l.drop()
}

// settleFor gives the client the alert that was kept: there is nobody to ask whose word it is.
func (f *flow) settleFor(s *spare) *leg {
	l := s.l
	s.report(proxy.Canceled)
	s.l = nil
	f.use(l)
	l.goOn()
	return l
}

// use makes a leg the one that is in use.
func (f *flow) use(l *leg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leg = l
	if f.aborted {
		_ = l.up.Close()
	}
}

// spare is a held leg that was answered with an alert. Whose fault that is
// shows in what another upstream gets, so it is reported only then.
type spare struct{ l *leg }

// keep takes a leg.
func (s *spare) keep(l *leg) {
	s.l = l
	l.t.avoid(proxy.StageTunnel, proxy.BadTLS)
	l.t.x.pending++
}

// report says how the leg that is kept did.
func (s *spare) report(class proxy.Class) {
	s.l.t.x.pending--
	s.l.t.report(proxy.StageTunnel, class, 0, 0)
	if class.Failed() {
		s.l.t.blamed(proxy.StageTunnel, class, 0)
	}
}

// settle reports and ends the leg that is kept, if there is one.
func (s *spare) settle(class proxy.Class) {
	if s.l != nil {
		s.report(class)
		s.drop()
	}
}

// drop ends the leg that is kept, if there is one.
func (s *spare) drop() {
	if s.l != nil {
		s.l.drop()
		s.l = nil
	}
}

// drop ends a leg that is held.
func (l *leg) drop() {
	l.trial.verdict <- false
	_ = l.up.Close()
	<-l.done
	l.t.close()
}

// mayHold reports whether the first flight may be sent again: never in a
// strict session, nor when the client forbids it.
func (f *flow) mayHold() bool { return f.x.replay }
