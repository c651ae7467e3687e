package pool

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

// lived is what is kept of the few endpoints that ever worked, and of those
// that were caught at something.
type lived struct {
	traits  proxy.Traits
	latency time.Duration // moving average of successes until the first byte
	uses    proxy.Tally   // by traffic and feedback
	history [historyLen]event
	events  uint32   // ever written to history
	notes   []string // what the latest check saw
	denied  []string // domains that it would not tunnel to, port 443, since it last did
	reached []string // names, in lower case, of the per-target checks that passed
	alive   uint32   // position in Pool.alive + 1; 0: not in there
	item    *item    // as the latest snapshot shows it; nil: changed since
	slot    *slot
	told    proxy.State // that watchers know
	rest    int64       // Unix seconds until which the operator keeps it from use; 0: not at all
}

// slot is the part of an endpoint that takes effect at once: everybody who
// holds an older snapshot sees it, too.
type slot struct {
	status   atomic.Int32
	inflight atomic.Int32
	uses     atomic.Uint32 // leases given
	lately   atomic.Uint64 // adaptive choices of the exit, each counting half after shareTime: the number of the shareTime above the count
	slower   atomic.Int32  // times in a row that another endpoint was faster within one request
	good     atomic.Int64  // nanoseconds, moving average of what a success costs
	bad      atomic.Int64  // of what a failure costs
}

// The values of slot.status.
const (
	slotUp      int32 = iota
	slotEjected       // traffic failed too often; ignored in panic
	slotGone          // failed its check, unsafe, or deleted
)

const (
	historyLen = 20
	// smoothing is the weight of the newest observation in moving averages: the
	// mean age is four observations, about as long as a path stays the same.
	smoothing = 0.2
	// failCost is what a failure is assumed to cost until one was seen: the
	// default connect timeout of the gateway.
	failCost = 3 * time.Second
	// lostCost is what a use costs that broke off when the answer had begun:
	// nothing can take its place, so the client waits and starts over. It is the
	// default of the gateway's overall deadline.
	lostCost = 30 * time.Second
	// maxStrikes ejects: three failures in a row that are the proxy's own, in
	// quarters.
	maxStrikes = 12
)

// newLived returns one that nobody may use yet; settle opens it.
func newLived() *lived {
	l := &lived{slot: &slot{}}
	l.slot.status.Store(slotGone)
	return l
}

// mostDenied is how many domains an endpoint refuses in a row until it is taken
// for one that does not tunnel.
const mostDenied = 3

// denies notes that the endpoint would not tunnel to a domain. It reports
// whether that is so for all.
func (l *lived) denies(domain string) bool {
	if !slices.Contains(l.denied, domain) && len(l.denied) < mostDenied {
		l.denied = append(l.denied, domain)
	}
	return l.traits.Tunnel != proxy.Yes || len(l.denied) >= mostDenied
}

// event is an outcome in 48 bytes.
type event struct {
	at     uint32
	took   [4]uint32 // microseconds of the phases, in their order
	status uint16
	origin proxy.Origin
	stage  proxy.Stage
	class  proxy.Class
	port   uint16
	score  float32 // right after it
	host   string
}

// turnsAway reports whether an answer is a refusal or an error of a server, which says
// nothing about the proxy that it came through when it is the target's.
func turnsAway(c proxy.Class, status uint16) bool {
	return c == proxy.Banned || c == proxy.OK && (status == 401 || status == 403 || status == 429 || status >= 500)
}

// turnsAllAway reports whether the latest answers of this many domains were refusals or
// errors, with nothing in between that worked: perhaps they are the proxy's own. Host
// names stand for domains.
func (l *lived) turnsAllAway() bool {
	var hosts []string
	for i := range min(l.events, historyLen) {
		e := &l.history[(l.events-1-i)%historyLen]
		switch {
		case e.origin == proxy.FromTraffic && turnsAway(e.class, e.status):
			if !slices.Contains(hosts, e.host) {
				hosts = append(hosts, e.host)
			}
			if len(hosts) == agree {
				return true
			}
		case e.class == proxy.OK:
			return false
		}
	}
	return false
}

// remember puts an outcome, and the score that it led to, in the place of the oldest.
func (l *lived) remember(o proxy.Outcome, score float64) {
	l.history[l.events%historyLen] = event{seconds(o.At), [4]uint32{micros(o.Phases.Connect), micros(o.Phases.TLS), micros(o.Phases.Handshake), micros(o.Phases.FirstByte)},
		uint16(o.Status), o.Origin, o.Stage, o.Class, o.Target.Port, float32(score), o.Target.Host}
	l.events++
}

// micros keeps a phase of up to 71 minutes.
func micros(d time.Duration) uint32 { return uint32(min(max(d.Microseconds(), 0), math.MaxUint32)) }

// ofMicros is the phase that was kept.
func ofMicros(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }

// outcomes returns the history, newest first.
func (l *lived) outcomes(ep proxy.Endpoint) []proxy.Outcome {
	n := min(l.events, historyLen)
	out := make([]proxy.Outcome, 0, n)
	for i := range n {
		e := l.history[(l.events-1-i)%historyLen]
		out = append(out, proxy.Outcome{Endpoint: ep, Target: proxy.Target{Host: e.host, Port: e.port}, At: instant(e.at), Stage: e.stage,
			Class: e.class, Status: int(e.status), Origin: e.origin, Phases: proxy.Phases{Connect: ofMicros(e.took[0]), TLS: ofMicros(e.took[1]), Handshake: ofMicros(e.took[2]), FirstByte: ofMicros(e.took[3])}})
	}
	return out
}

// scores returns the score after each outcome of the history, newest first.
func (l *lived) scores() []float64 {
	n := min(l.events, historyLen)
	out := make([]float64, n)
	for i := range n {
		out[i] = float64(l.history[(l.events-1-i)%historyLen].score)
	}
	return out
}

// cost folds what a use took into the moving averages.
func (s *slot) cost(o proxy.Outcome) {
	if o.Class != proxy.OK {
		average(&s.bad, lossOf(o))
		return
	}
	s.slower.Store(0)
	if took := o.Phases.Total(); took > 0 {
		average(&s.good, took)
	}
}

// uncost takes a failure out of the moving average again, as if it had been the
// latest.
func (s *slot) uncost(o proxy.Outcome) {
	old, loss := s.bad.Load(), int64(lossOf(o))
	before := int64(0) // it was the first
	if d := old - loss; d > 1 || d < -1 {
		before = max(loss+int64(float64(d)/(1-smoothing)), int64(minLoss))
	}
	s.bad.CompareAndSwap(old, before)
}

// minLoss is what a failure costs at least: another choice and another try.
const minLoss = 50 * time.Millisecond

// lossOf is what a failed use cost the client.
func lossOf(o proxy.Outcome) time.Duration {
	took := o.Phases.Total()
	switch {
	case brokeOff(o):
		took = max(took, lostCost)
	case o.Class == proxy.Timeout:
		took = max(took, failCost)
	}
	return max(took, minLoss)
}

// brokeOff reports whether the failure came when it was too late for another
// upstream: failing fast is cheap only before the answer begins.
func brokeOff(o proxy.Outcome) bool {
	switch o.Class {
	case proxy.Reset, proxy.EOF, proxy.Truncated, proxy.Timeout:
		return o.Stage >= proxy.StageTunnel
	}
	return false
}

// average moves a towards d; the first observation is taken as it is.
func average(a *atomic.Int64, d time.Duration) {
	for {
		old := a.Load()
		v := int64(d)
		if old != 0 {
			v = old + int64(smoothing*float64(int64(d)-old))
		}
		if a.CompareAndSwap(old, v) {
			return
		}
	}
}

// livedOf returns what is kept of row n, and makes it when it is not there.
func (p *Pool) livedOf(n uint32) *lived {
	r := p.rows.at(n)
	if r.lived == 0 {
		i := p.lives.alloc()
		*p.lives.at(i) = newLived()
		p.rows.at(n).lived = i + 1
	}
	return *p.lives.at(r.lived - 1)
}

// peek returns what is kept of a row, nil when nothing is.
func (p *Pool) peek(r *row) *lived {
	if r.lived == 0 {
		return nil
	}
	return *p.lives.at(r.lived - 1)
}

// reachedBy names the per-target checks that a row passed.
func (p *Pool) reachedBy(r *row) []string {
	if l := p.peek(r); l != nil {
		return l.reached
	}
	return nil
}

// learn merges what a use showed into the traits. Places come from the geo
// function, not from judges.
func (p *Pool) learn(n uint32, t proxy.Traits) {
	l := p.livedOf(n)
	moved := t.ExitIP.IsValid() && t.ExitIP != l.traits.ExitIP
	l.traits = l.traits.Merge(t)
	if !t.ExitIP.IsValid() || p.env.Geo == nil || t.Country != "" || t.ASN != 0 {
		return
	}
	country, asn, org := p.env.Geo(t.ExitIP)
	if moved || country != "" || asn != 0 { // a table that knows less now takes nothing away
		l.traits.Country, l.traits.ASN, l.traits.Org = country, asn, org
	}
}
