package main

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/checker"
	tracing "freeway/internal/trace"
	"freeway/proxy"
	"freeway/scraper"
)

// openTracer makes what sends spans, where the configuration names a collector.
func (s *server) openTracer() error {
	countersOf(s.registry, "freeway_trace_spans_total", "Spans for the collector: sent, dropped because it was too slow or away, rejected by it.", "result", map[string]func() uint64{
		"sent":     func() uint64 { return s.tracer.Stats().Sent },
		"dropped":  func() uint64 { return s.tracer.Stats().Dropped },
		"rejected": func() uint64 { return s.tracer.Stats().Rejected },
	})
	promauto.With(s.registry).NewCounterFunc(prometheus.CounterOpts{Name: "freeway_trace_failures_total", Help: "Batches of spans that the collector did not take in several tries."},
		func() float64 { return float64(s.tracer.Stats().Failures) })
	c := s.cfg.Tracing
	if c.Endpoint == "" {
		return nil
	}
	headers, err := c.Headers()
	if err != nil {
		return fmt.Errorf("tracing.headers_file: %w", err)
	}
	s.tracer, err = tracing.Open(tracing.Options{Endpoint: c.Endpoint, Headers: headers, Share: c.SampleRatio, Version: versionText(), Log: s.log, Control: s.opt.control})
	if err != nil {
		return fmt.Errorf("tracing.%w", err)
	}
	return nil
}

// traced is a queue whose verdicts become spans.
type traced struct {
	checker.Queue
	tracer *tracing.Tracer
}

// Report implements checker.Queue.
func (q traced) Report(v proxy.Verdict) {
	q.Queue.Report(v)
	if n := len(v.Outcomes); n > 0 {
		addr := net.JoinHostPort(v.Job.Host, strconv.Itoa(int(v.Job.Port)))
		q.tracer.Record(fmt.Sprint("check ", addr, " ", v.Outcomes[n-1].At.UnixNano()), func() tracing.Span { return checkSpan(addr, v) })
	}
}

// checks is the queue of the checker.
func (s *server) checks() checker.Queue {
	if s.tracer == nil {
		return s.pool
	}
	return traced{s.pool, s.tracer}
}

// requestSpan shows a request of a client with the choices and attempts in it.
// It has no path, no query and no name of a user.
func requestSpan(t proxy.Trace) tracing.Span {
	out := tracing.Span{Name: t.Method, Kind: tracing.Server, Start: t.At, End: t.At.Add(t.Took), Failed: t.Code, Attrs: []tracing.Attr{
		{Key: "freeway.request_id", Value: t.ID}, {Key: "server.address", Value: t.Target.Host}, {Key: "server.port", Value: int(t.Target.Port)},
		{Key: "freeway.status", Value: t.Status}, {Key: "freeway.outcome", Value: endOf(t)}, {Key: "freeway.attempts", Value: len(t.Attempts)},
		{Key: "freeway.bytes_up", Value: t.Up}, {Key: "freeway.bytes_down", Value: t.Down}}}
	for i := range t.Attempts {
		a := &t.Attempts[i]
		out.Below = append(out.Below, tracing.Span{Name: "pick", Start: a.At.Add(-a.Pick), End: a.At, Attrs: []tracing.Attr{{Key: "freeway.why", Value: a.Why}}}, attemptSpan(a))
	}
	if t.Missed > 0 {
		out.Below = append(out.Below, tracing.Span{Name: "pick", Start: out.End.Add(-t.Missed), End: out.End, Failed: "no upstream"})
	}
	return out
}

// attemptSpan shows one attempt through one upstream.
func attemptSpan(a *proxy.Attempt) tracing.Span {
	out := tracing.Span{Name: "attempt", Kind: tracing.Client, Start: a.At, End: a.At.Add(a.Took), Failed: faultName(a.Class), Below: phaseSpans(a.At, a.Phases),
		Attrs: []tracing.Attr{{Key: "freeway.upstream", Value: a.Endpoint.String()}, {Key: "freeway.stage", Value: a.Stage.String()},
			{Key: "freeway.class", Value: a.Class.String()}, {Key: "freeway.status", Value: a.Status}}}
	if a.Exit.IsValid() {
		out.Attrs = append(out.Attrs, tracing.Attr{Key: "freeway.exit", Value: a.Exit.String()}, tracing.Attr{Key: "freeway.country", Value: a.Country})
	}
	return out
}

// phaseSpans shows the steps of a use, which follow one another.
func phaseSpans(at time.Time, p proxy.Phases) []tracing.Span {
	var out []tracing.Span
	for _, step := range []struct {
		name string
		took time.Duration
	}{{"dial", p.Connect}, {"tls", p.TLS}, {"handshake", p.Handshake}, {"first byte", p.FirstByte}} {
		if step.took > 0 {
			out = append(out, tracing.Span{Name: step.name, Start: at, End: at.Add(step.took)})
			at = at.Add(step.took)
		}
	}
	return out
}

// faultName is the class of what went wrong, "" when nothing did.
func faultName(c proxy.Class) string {
	if c == proxy.OK || c == proxy.Canceled {
		return ""
	}
	return c.String()
}

// checkSpan shows the check of an address: a use for each protocol. An outcome
// is dated when it is known.
func checkSpan(addr string, v proxy.Verdict) tracing.Span {
	out := tracing.Span{Name: "check", Attrs: []tracing.Attr{{Key: "freeway.upstream", Value: addr}}}
	for i := range v.Outcomes {
		o := &v.Outcomes[i]
		start := o.At.Add(-o.Phases.Total())
		if out.Start.IsZero() || start.Before(out.Start) {
			out.Start = start
		}
		if o.At.After(out.End) {
			out.End = o.At
		}
		out.Below = append(out.Below, tracing.Span{Name: "probe", Kind: tracing.Client, Start: start, End: o.At, Failed: faultName(o.Class), Below: phaseSpans(start, o.Phases),
			Attrs: []tracing.Attr{{Key: "freeway.upstream", Value: o.Endpoint.String()}, {Key: "freeway.stage", Value: o.Stage.String()}, {Key: "freeway.class", Value: o.Class.String()}}})
	}
	return out
}

// traceRun records the run of a source. Its address may hold a key and is left out.
func (s *server) traceRun(r scraper.Result, now time.Time, err error) {
	s.tracer.Record(fmt.Sprint("run ", r.Name, " ", now.UnixNano()), func() tracing.Span {
		out := tracing.Span{Name: "scrape", Kind: tracing.Client, Start: now.Add(-r.Took), End: now, Attrs: []tracing.Attr{{Key: "freeway.source", Value: r.Name},
			{Key: "freeway.status", Value: r.Status}, {Key: "freeway.candidates", Value: r.Candidates}, {Key: "freeway.bytes", Value: r.Received}}}
		if err != nil {
			out.Failed = "the run failed"
		}
		return out
	})
}
