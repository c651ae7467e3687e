package gateway

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/proxy"
)

// metrics never has an address, a host or a user as a label.
type metrics struct {
	connections  prometheus.Counter
	acceptErrors prometheus.Counter
	panics       prometheus.Counter
	refused      *prometheus.CounterVec                               // by code
	requests     *prometheus.CounterVec                               // by protocol of the client
	http         prometheus.Counter                                   // of requests
	attempts     *prometheus.CounterVec                               // by protocol of the upstream and class
	worked       [proxy.SOCKS5 + 1]atomic.Pointer[prometheus.Counter] // of attempts, those that were seen
	failovers    prometheus.Counter
	replays      prometheus.Counter
	bans         prometheus.Counter
	hedges       prometheus.Counter
	hedgesWon    prometheus.Counter
	up, down     prometheus.Counter // bytes, as the client sees it
	seconds      [phaseCount]prometheus.Observer
}

// newMetrics registers with r; nil registers nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: "freeway", Subsystem: "gateway", Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Namespace: "freeway", Subsystem: "gateway", Name: name, Help: help}, labels)
	}
	bytes := vector("bytes_total", "Payload bytes.", "direction")
	requests := vector("requests_total", "Requests of clients.", "protocol")
	m := &metrics{
		connections:  counter("connections_total", "Connections of clients."),
		acceptErrors: counter("accept_errors_total", "Failed accepts; the listener goes on."),
		panics:       counter("panics_total", "Connections that ended in a panic."),
		refused:      vector("refused_total", "Answers of the gateway's own.", "code"),
		requests:     requests,
		http:         requests.WithLabelValues("http"),
		attempts:     vector("attempts_total", "Uses of upstreams.", "protocol", "class"),
		failovers:    counter("failovers_total", "Requests that went on to another upstream."),
		replays:      counter("replays_total", "TLS first flights sent to another upstream."),
		bans:         counter("bans_total", "Answers that mean that a target refuses the exit."),
		hedges:       counter("hedges_total", "Second set-ups of tunnels beside slow ones."),
		hedgesWon:    counter("hedges_won_total", "Hedges that were faster than the first."),
		up:           bytes.WithLabelValues("up"),
		down:         bytes.WithLabelValues("down"),
	}
	m.seconds = newPhases(f)
	return m
}

// attempt is the counter of uses of upstreams of a protocol that ended so. The
// most common ones are not looked up.
func (m *metrics) attempt(protocol proxy.Protocol, class proxy.Class) prometheus.Counter {
	if class != proxy.OK || int(protocol) >= len(m.worked) {
		return m.attempts.WithLabelValues(protocol.String(), class.String())
	}
	known := &m.worked[protocol]
	if c := known.Load(); c != nil {
		return *c
	}
	c := m.attempts.WithLabelValues(protocol.String(), class.String())
	known.Store(&c)
	return c
}

// observe registers gauges that are read from the gateway when asked for.
func (g *Gateway) observe(r prometheus.Registerer) {
	f := promauto.With(r)
	gauge := func(name, help string, value func() int) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "freeway", Subsystem: "gateway", Name: name, Help: help},
			func() float64 { return float64(value()) })
	}
	gauge("open_connections", "Connections of clients now.", func() int { n, _, _ := g.Counts(); return n })
	gauge("max_connections", "How many there may be.", func() int { return g.set.Load().maxConns })
	gauge("open_tunnels", "Tunnels now.", func() int { _, n, _ := g.Counts(); return n })
	gauge("running_requests", "Requests now, tunnels included.", func() int { _, _, n := g.Counts(); return n })
}
