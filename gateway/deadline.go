package gateway

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// step is a part of a use whose time is measured.
type step uint8

// The steps. A set-up is everything until the tunnel is up.
const (
	stepConnect   step = iota // TCP to the upstream
	stepHandshake             // TLS to it, and again CONNECT or SOCKS
	stepSetUp                 // all of a tunnel's steps together
	stepHello                 // from the ClientHello to the first byte of the answer
	stepAnswer                // from a plain request to the head of its answer
	steps
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
	windowTime  = time.Minute            // half of what is remembered
	windowMost  = 4096                   // successes after which the older half is forgotten early
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

// pace remembers how long the steps of uses that worked took lately. The
// deadlines follow it, never above those that are configured.
type pace struct {
	now atomic.Pointer[limits]

	mu    sync.Mutex // protects the fields below
	steps [steps]window
}

// worked takes down how long a step took.
func (p *pace) worked(s step, took time.Duration) {
	if took <= 0 {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps[s].add(took, now)
}

// stalled takes down that a step's time was up. When nothing else happens any
// more, everything has become slower and the limits are let out again.
func (p *pace) stalled(s step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &p.steps[s]
	if w.stalls++; w.stalls >= needStalls {
		*w = window{}
		p.now.Store(nil)
	}
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

// window holds the successes of one to two windowTimes.
type window struct {
	young, old histogram
	turned     time.Time
	stalls     int // since the latest success
}

// add takes a success.
func (w *window) add(took time.Duration, now time.Time) {
	w.stalls = 0
	if now.Sub(w.turned) > windowTime || w.young.n >= windowMost {
		w.old, w.young, w.turned = w.young, histogram{}, now
	}
	w.young.add(took)
}

// need is the deadline that suits what was measured.
func (w *window) need(floor, most time.Duration) time.Duration {
	q, ok := w.quantile(needQuantile)
	if !ok {
		return most
	}
	return min(max(needFactor*q, floor), most)
}

// quantile returns within which time the part q was done; ok is false when too
// little is known.
func (w *window) quantile(q float64) (d time.Duration, ok bool) {
	n := w.young.n + w.old.n
	if n < needSamples {
		return 0, false
	}
	left := int(math.Ceil(q * float64(n)))
	for i := range w.young.counts {
		if left -= int(w.young.counts[i] + w.old.counts[i]); left <= 0 {
			return upperBound(i), true
		}
	}
	return upperBound(buckets - 1), true
}

const (
	buckets   = 68 // four to a doubling, from 1 ms to over two minutes
	perDouble = 4
)

// histogram counts times in buckets that grow by a fifth.
type histogram struct {
	n      int
	counts [buckets]uint32
}

// add counts one.
func (h *histogram) add(d time.Duration) {
	i := int(math.Ceil(perDouble * math.Log2(float64(d)/float64(time.Millisecond))))
	h.counts[min(max(i, 0), buckets-1)]++
	h.n++
}

// upperBound is the longest time in a bucket.
func upperBound(i int) time.Duration {
	return time.Duration(math.Exp2(float64(i)/perDouble) * float64(time.Millisecond))
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

// stepOf names the step at which the time of a try was up.
func stepOf(s proxy.Stage) (step, bool) {
	switch s {
	case proxy.StageConnect:
		return stepConnect, true
	case proxy.StageTLS, proxy.StageHandshake:
		return stepHandshake, true
	case proxy.StageTunnel:
		return stepHello, true
	case proxy.StageRequest:
		return stepAnswer, true
	}
	return 0, false
}

// paced takes down what a finished try says about the pace.
func (t *try) paced(stage proxy.Stage, class proxy.Class) {
	p := &t.x.c.g.pace
	if class == proxy.OK && t.x.http {
		p.worked(stepConnect, t.phases.Connect)
		p.worked(stepAnswer, t.phases.FirstByte)
		t.x.settleLate(stepAnswer, t.phases.FirstByte)
	}
	if s, ok := stepOf(stage); ok && class == proxy.Timeout {
		p.stalled(s)
	}
}

// pacedTunnel takes down how long the set-up of a tunnel took.
func (t *try) pacedTunnel() {
	p := &t.x.c.g.pace
	p.worked(stepConnect, t.phases.Connect)
	p.worked(stepHandshake, t.phases.TLS)
	p.worked(stepHandshake, t.phases.Handshake)
	p.worked(stepSetUp, t.phases.Connect+t.phases.TLS+t.phases.Handshake)
	t.x.settleLate(stepHandshake, t.phases.Handshake)
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
