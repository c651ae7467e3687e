package gateway

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

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

const (
	windowTime = time.Minute // half of what is remembered
	windowMost = 4096        // successes after which the older half is forgotten early
)

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
