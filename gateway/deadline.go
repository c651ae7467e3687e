package gateway

import (
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// What the upstreams that work need is a multiple of the time in which nearly
// all of them were done lately. The floors leave room for one lost packet: the
// first retransmission of a SYN comes after a second (RFC 6298 section 2).
const (
	needQuantile = 0.99
	needFactor   = 2
	hedgeAt      = 0.95
	needSamples  = 40 // fewer say too little
	needStalls   = 6  // time-outs without a success in between, after which what was measured is forgotten

	connectFloor   = 1250 * time.Millisecond
	handshakeFloor = 1500 * time.Millisecond
	answerFloor    = 2500 * time.Millisecond

	ownFactor   = 3                      // an upstream may take so many times what it usually takes
	limitsEvery = 250 * time.Millisecond // how often the limits are worked out anew
)

// limits are the deadlines that hold now. They are immutable.
type limits struct {
	s      *settings // for which they were made
	until  time.Time
	dialer *dial.Dialer

	connect, handshake, hello, answer time.Duration
	setUpLate, helloLate              time.Duration // when a hedge is due; 0: nothing is known
}

// limits returns what holds now for the settings.
func (p *pace) limits(s *settings) *limits {
	now := time.Now()
	if l := p.now.Load(); l != nil && l.s == s && now.Before(l.until) {
		return l
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &s.cfg.Timeouts
	l := &limits{s: s, until: now.Add(limitsEvery)}
	l.connect = p.steps[stepConnect].need(connectFloor, t.Connect)
	l.handshake = p.steps[stepHandshake].need(handshakeFloor, t.Handshake)
	l.hello = p.steps[stepHello].need(answerFloor, t.FirstByte)
	l.answer = p.steps[stepAnswer].need(answerFloor, t.FirstByte)
	l.setUpLate, _ = p.steps[stepSetUp].quantile(hedgeAt)
	l.helloLate, _ = p.steps[stepHello].quantile(hedgeAt)
	l.dialer = s.dialer.WithTimeouts(dial.Config{Connect: l.connect, Handshake: l.handshake})
	p.now.Store(l)
	return l
}

// own widens a limit for an upstream that is known to be slow, and works.
func (t *try) own(limit, most time.Duration) time.Duration {
	return min(max(limit, ownFactor*t.lease.Entry.Latency), max(most, limit))
}

// via is the way through this try's upstream, with the deadlines that hold now.
func (t *try) via() *dial.Via {
	l, e := t.x.c.g.pace.limits(t.x.s), &t.lease.Entry
	d := l.dialer
	if limit := t.limit(stepHandshake, l.handshake, t.x.s.cfg.Timeouts.Handshake); limit > l.handshake {
		d = d.WithTimeouts(dial.Config{Connect: l.connect, Handshake: limit})
	}
	return d.Via(e.Endpoint, e.Password)
}

// limit is how long a step may take in which the target has a part: less than the
// configured time only when another upstream can be tried. A target may be slow, too.
func (t *try) limit(s step, limit, most time.Duration) time.Duration {
	limit = t.own(limit, most)
	if t.full || limit >= most {
		return most
	}
	t.hurried |= 1 << s
	return limit
}

// helloTime is how long the answer to a ClientHello may take.
func (t *try) helloTime() time.Duration {
	return t.limit(stepHello, t.x.c.g.pace.limits(t.x.s).hello, t.x.s.cfg.Timeouts.FirstByte)
}

// answerTime is how long the head of a plain answer may take. It is cut short
// once for a request, and where the request can be sent again.
func (t *try) answerTime(again bool) time.Duration {
	most := t.x.s.cfg.Timeouts.FirstByte
	if !again || len(t.x.late) > 0 {
		return most
	}
	return t.limit(stepAnswer, t.x.c.g.pace.limits(t.x.s).answer, most)
}

// mustDo reports whether a try that begins now, or one after it, is the last:
// it has all the time that is configured. In a session there is no other exit.
func (x *exchange) mustDo(after int) bool {
	return x.want.Session != (proxy.SessionKey{}) || len(x.trace.Attempts)+x.pending+after+1 >= x.most
}

// lateTry is a try whose time was up earlier than configured. Whose fault that
// is shows in what the next upstream needs.
type lateTry struct {
	step   step
	limit  time.Duration
	report func(proxy.Class)
}

// waits reports whether the blame for a try that was cut short has to wait until
// more is known.
func (t *try) waits(stage proxy.Stage, class proxy.Class) bool {
	s, ok := stepOf(stage)
	return ok && class == proxy.Timeout && stage != proxy.StageTLS && t.hurried&(1<<s) != 0
}

// wait keeps an outcome back.
func (t *try) wait(o proxy.Outcome) {
	s, _ := stepOf(o.Stage)
	limit := o.Phases.FirstByte
	if s == stepHandshake {
		limit = o.Phases.Handshake
	}
	t.x.late = append(t.x.late, lateTry{s, limit, func(c proxy.Class) {
		o.Class = c
		t.lease.Report(o)
	}})
}

// settleLate reports the tries that were cut short at a step, now that one took
// so long and worked: a target that takes as long through another upstream is
// slow itself, and nobody is blamed.
func (x *exchange) settleLate(s step, took time.Duration) {
	for i := range x.late {
		late := &x.late[i]
		switch {
		case late.step != s || late.report == nil:
			continue
		case took >= late.limit:
			late.report(proxy.Canceled)
		default:
			late.report(proxy.Timeout)
		}
		late.report = nil
	}
}

// endLate reports the tries that were cut short and of which nothing more was heard.
func (x *exchange) endLate() {
	for _, late := range x.late {
		if late.report != nil {
			late.report(proxy.Timeout)
		}
	}
	x.late = nil
}
