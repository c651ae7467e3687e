package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// The limits are those that OpenTelemetry's batch processor has by default.
const (
	maxWaiting = 2048            // spans that may wait to be sent
	maxBatch   = 512             // spans sent at a time
	every      = 5 * time.Second // how often they are sent, fewer than maxBatch as well
	flushTime  = 5 * time.Second // for what waits at the end
)

// Options is where spans are sent.
type Options struct {
	Endpoint string      // http or https; without a path /v1/traces is added
	Headers  [][2]string // sent along; never printed
	Share    float64     // of traces, 0 to 1
	Version  string      // of the program
	Log      *slog.Logger
	Control  func(network, address string, c syscall.RawConn) error // asked before each connection; nil: nothing is asked
	Timeout  time.Duration                                          // of one request; 0: 10s
	Backoff  time.Duration                                          // before the first repetition; 0: 1s
}

// Tracer keeps spans until they are sent. Its methods may be called from any goroutine.
type Tracer struct {
	opt    Options
	url    string
	client *http.Client
	attrs  []Attr // of the resource

	queue   chan recorded
	full    chan struct{} // holds a token when a batch is complete
	waiting atomic.Int64  // spans in queue

	sent, dropped, rejected, failures atomic.Uint64
}

// recorded is a trace in the queue.
type recorded struct {
	id   ID
	span Span
}

// Stats counts spans.
type Stats struct {
	Sent     uint64 // taken by the collector
	Dropped  uint64 // the queue was full, or sending was given up
	Rejected uint64 // the collector did not want them
	Failures uint64 // requests that were given up
}

// Open checks the endpoint. Run sends.
func Open(opt Options) (*Tracer, error) {
	u, err := url.Parse(opt.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("endpoint: not an http or https address")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 10 * time.Second
	}
	if opt.Backoff <= 0 {
		opt.Backoff = time.Second
	}
	t := &Tracer{opt: opt, url: u.String(), queue: make(chan recorded, maxWaiting), full: make(chan struct{}, 1)}
	t.attrs = []Attr{{"service.name", "freeway"}, {"service.version", opt.Version}, {"service.instance.id", strconv.FormatUint(rand.Uint64(), 16)}}
	t.client = &http.Client{
		Transport: &http.Transport{DialContext: (&net.Dialer{Control: opt.Control}).DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: maxAnswer},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // headers are for the endpoint only
	}
	return t, nil
}

// Sampled returns the trace of a request, "" when it is not in the share. The
// same request always gets the same answer.
func (t *Tracer) Sampled(request string) string {
	if t == nil {
		return ""
	}
	if id := IDOf(request); id.sampled(t.opt.Share) {
		return id.String()
	}
	return ""
}

// Record keeps the trace of a request, if it is in the share and there is room.
// It never waits. make builds the span, and is only called when it is wanted.
func (t *Tracer) Record(request string, build func() Span) {
	if t == nil {
		return
	}
	id := IDOf(request)
	if !id.sampled(t.opt.Share) {
		return
	}
	r := recorded{id, build()}
	n := int64(r.span.count())
	now := t.waiting.Add(n)
	if now > maxWaiting {
		t.lose(n)
		return
	}
	select {
	case t.queue <- r:
	default:
		t.lose(n)
		return
	}
	if now >= maxBatch {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

// lose counts spans that find no room.
func (t *Tracer) lose(n int64) {
	t.waiting.Add(-n)
	t.dropped.Add(uint64(n))
}

// Stats returns what became of spans so far.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return Stats{t.sent.Load(), t.dropped.Load(), t.rejected.Load(), t.failures.Load()}
}

// Run sends until ctx ends, then what waits, for 5 s at most. It returns nil;
// without a Tracer when ctx ends.
func (t *Tracer) Run(ctx context.Context) error {
	if t == nil {
		<-ctx.Done()
		return nil
	}
	defer t.client.CloseIdleConnections()
	send, cancel := context.WithCancel(context.WithoutCancel(ctx)) // lasts a little longer
	defer cancel()
	last := make(chan *time.Timer, 1)
	ending := context.AfterFunc(ctx, func() { last <- time.AfterFunc(flushTime, cancel) })
	defer func() {
		if !ending() {
			(<-last).Stop()
		}
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-t.full:
		}
		t.flush(send)
	}
	t.flush(send) // what came meanwhile
	return nil
}

// flush sends what waits, a batch at a time. What cannot be sent is dropped.
func (t *Tracer) flush(ctx context.Context) {
	for {
		batch, spans := t.take()
		if spans == 0 {
			return
		}
		rejected, err := t.send(ctx, batch)
		t.waiting.Add(-int64(spans))
		switch {
		case err != nil:
			t.dropped.Add(uint64(spans))
			t.failures.Add(1)
			t.opt.Log.Warn("traces not sent", "err", err, "spans", spans)
			if ctx.Err() != nil {
				return
			}
		default:
			rejected = min(rejected, spans)
			t.rejected.Add(uint64(rejected))
			t.sent.Add(uint64(spans - rejected))
		}
	}
}

// take empties the queue up to a batch and says how many spans that is.
func (t *Tracer) take() (batch []recorded, spans int) {
	for spans < maxBatch {
		select {
		case r := <-t.queue:
			batch = append(batch, r)
			spans += r.span.count()
		default:
			return batch, spans
		}
	}
	return batch, spans
}

// send encodes a batch and posts it, again and again while that makes sense.
func (t *Tracer) send(ctx context.Context, batch []recorded) (rejected int, err error) {
	body, err := encode(t.attrs, t.opt.Version, batch)
	if err != nil {
		return 0, fmt.Errorf("encode: %w", err)
	}
	if body, err = pack(body); err != nil {
		return 0, fmt.Errorf("compress: %w", err)
	}
	return t.post(ctx, body)
}
