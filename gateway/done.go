package gateway

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/internal/http1"
	"freeway/internal/socks"
	"freeway/proxy"
)

// done tells whoever wants to know that a request is over.
func (g *Gateway) done(t proxy.Trace) {
	if g.env.Done != nil {
		g.env.Done(t)
	}
}

// turnAway counts and records a request that was refused before it got as far
// as an exchange. What is not known of it yet is left empty.
func (c *client) turnAway(id, method string, to proxy.Target, code string, status int) {
	c.g.m.refused.WithLabelValues(code).Inc()
	c.g.done(proxy.Trace{ID: id, At: c.g.env.Now(), Client: c.ip, Method: method, Target: to, Status: status, Code: code})
}

// turnAwaySOCKS is turnAway for SOCKS. The id is told to nobody.
func (c *client) turnAwaySOCKS(version byte, to socks.Addr, code string, reply socks.Reply) {
	t, _ := proxy.ParseTarget(to.String(), 0)
	c.turnAway(newID(), "SOCKS"+strconv.Itoa(int(version)), t, code, int(reply))
}

// askedFor is what a request that is refused asked for, as far as it can be read.
func askedFor(q *http1.Request) proxy.Target {
	if q.Method == "CONNECT" {
		t, _ := proxy.ParseTarget(q.Target, 0)
		return t
	}
	if len(q.Target) <= len(httpPrefix) || !http1.EqualFold(q.Target[:len(httpPrefix)], httpPrefix) {
		return proxy.Target{}
	}
	t, _ := proxy.ParseTarget(authorityOf(q.Target[len(httpPrefix):]), 80)
	return t
}

// The phases of a request that are measured.
const (
	phasePick = iota
	phaseConnect
	phaseTLS
	phaseHandshake
	phaseFirstByte
	phaseTotal
	phaseCount
)

// newPhases makes the histogram of the phases.
func newPhases(f promauto.Factory) (out [phaseCount]prometheus.Observer) {
	v := f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "freeway", Subsystem: "gateway", Name: "phase_seconds",
		Help: "Time of the phases of requests: pick (choosing an upstream), then of uses that worked connect, tls, handshake and first_byte, " +
			"and total (until the answer began or the tunnel was up).",
		Buckets: []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"phase"})
	for i, name := range [phaseCount]string{"pick", "connect", "tls", "handshake", "first_byte", "total"} {
		out[i] = v.WithLabelValues(name)
	}
	return out
}

// took notes the time of a phase, with the trace where there is one.
func (m *metrics) took(phase int, d time.Duration, traceID string) {
	if traceID != "" {
		if o, ok := m.seconds[phase].(prometheus.ExemplarObserver); ok {
			o.ObserveWithExemplar(d.Seconds(), prometheus.Labels{"trace_id": traceID})
			return
		}
	}
	m.seconds[phase].Observe(d.Seconds())
}

// phases notes the phases of one use. Those that did not happen are 0.
func (m *metrics) phases(p proxy.Phases, traceID string) {
	for i, d := range [...]time.Duration{phaseConnect: p.Connect, phaseTLS: p.TLS, phaseHandshake: p.Handshake, phaseFirstByte: p.FirstByte} {
		if d > 0 {
			m.took(i, d, traceID)
		}
	}
}

// answering notes that the answer begins.
func (x *exchange) answering() {
	x.trace.Answer = x.s.cfg.Timeouts.Total - time.Until(x.until)
	x.c.g.m.took(phaseTotal, x.trace.Answer, x.traceID)
}
