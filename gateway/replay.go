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
// An alert is given to the client only when no other upstream is left to try.
func (f *flow) firstFlight(ctx context.Context, l *leg) *leg {
	hello, ok := f.x.c.readHello()
	defer hello.free()
	if !ok { // not one that can be sent twice: pass it through untouched
		l.state.Store(open)
		l.verdict <- true
		if err := f.send(l.up, hello.bytes(), &f.up); err != nil {
			f.note(dial.Classify(err))
			return nil
		}
		return l
	}
	f.up.Add(int64(len(hello.bytes())))
	f.x.until = time.Now().Add(f.left)
	ctx, cancel := context.WithDeadline(ctx, f.x.until)
	defer cancel()
	defer f.x.c.watch(cancel, true)()
	var s spare
	defer s.drop()
	for {
		class, answer := f.offer(ctx, l, hello.bytes())
		switch {
		case class != proxy.OK:
			f.dismiss(ctx, l, class)
		case answer != tlsAlert:
			s.blame(proxy.BadTLS) // another upstream got further
			l.verdict <- true
			return l
		case f.x.want.Session != (proxy.SessionKey{}): // there is no other exit to ask
			l.t.report(proxy.StageTunnel, proxy.TargetFailed, 0, 0)
			l.verdict <- true
			return l
		default:
			s.keep(l)
		}
		t, up, r := f.x.dialTunnel(ctx)
		if r != nil && s.l != nil && r.code != codeGone {
			return f.settleFor(&s)
		}
		if r != nil {
			f.x.trace.Code = r.code
			return nil
		}
		f.x.c.g.m.replays.Inc()
		l = f.start(t, up, held)
	}
}

// dismiss reports and ends a leg that did not deliver.
func (f *flow) dismiss(ctx context.Context, l *leg, class proxy.Class) {
	if l.t.innocent(ctx, class) {
		class = proxy.Canceled
	}
	l.t.failAs(proxy.StageTunnel, class, 0)
	l.drop()
}

// settleFor gives the client the alert that was kept: it seems to be the target's word.
func (f *flow) settleFor(s *spare) *leg {
	l := s.l
	s.report(proxy.TargetFailed)
	s.l = nil
	f.mu.Lock()
	f.leg = l
	f.mu.Unlock()
	l.verdict <- true
	return l
}

// spare is a held leg that was answered with an alert. Whose fault that is
// shows in what other upstreams get, so it is reported only then.
type spare struct{ l *leg }

// keep takes a leg in place of the one before.
func (s *spare) keep(l *leg) {
	s.blame(proxy.TargetFailed) // both got an alert
	s.l = l
	l.t.avoid(proxy.StageTunnel, proxy.BadTLS)
	l.t.x.pending++
}

// report settles the leg that is kept.
func (s *spare) report(class proxy.Class) {
	s.l.t.x.pending--
	s.l.t.report(proxy.StageTunnel, class, 0, 0)
	s.l.t.blamed(proxy.StageTunnel, class, 0)
}

// blame reports and ends the leg that is kept, if there is one.
func (s *spare) blame(class proxy.Class) {
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
	l.verdict <- false
	_ = l.up.Close()
	<-l.done
	l.t.close()
}

// offer sends the hello and judges what comes back.
func (f *flow) offer(ctx context.Context, l *leg, hello []byte) (proxy.Class, tlsAnswer) {
	sent := time.Now()
	_ = l.up.SetWriteDeadline(sent.Add(f.x.s.cfg.Timeouts.FirstByte))
	if _, err := l.up.Write(hello); err != nil {
		return dial.Classify(err), notTLS
	}
	limit := time.NewTimer(f.x.s.cfg.Timeouts.FirstByte)
	defer limit.Stop()
	select {
	case first := <-l.opening:
		l.t.phases.FirstByte = time.Since(sent)
		answer := plausibleTLS(first.data)
		switch {
		case first.err != nil && (len(first.data) == 0 || missingTLS(first.data) > 0):
			return dial.Classify(first.err), notTLS
		case answer == notTLS && first.early:
			return proxy.Garbage, notTLS
		case answer == notTLS:
			return proxy.BadTLS, notTLS
		}
		f.lastMoved.Store(time.Now().UnixNano())
		return proxy.OK, answer
	case <-limit.C:
	case <-ctx.Done():
	}
	return proxy.Timeout, notTLS
}

// mayHold reports whether the first flight may be sent again: never in a
// strict session, nor when the client forbids it.
func (f *flow) mayHold() bool {
	opt := f.x.who.opt
	return opt.Replay != proxy.No && !(opt.Strict && opt.Session != "")
}
