package trace_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"freeway/internal/loopback"
	"freeway/internal/trace"
)

const patience = 10 * time.Second

// collector is a server that takes OTLP over HTTP, as strictly as its schema.
type collector struct {
	t      *testing.T
	srv    *httptest.Server
	answer func(n int, w http.ResponseWriter) // to the n-th request, from 1; nil: 200
	came   chan struct{}

	mu    sync.Mutex
	heads []http.Header
	paths []string
	spans []*tracepb.Span
	attrs map[string]string // of the resource
}

func newCollector(t *testing.T, answer func(n int, w http.ResponseWriter)) *collector {
	c := &collector{t: t, answer: answer, came: make(chan struct{}, 1000)}
	c.srv = httptest.NewServer(c)
	t.Cleanup(c.srv.Close)
	return c
}

var ids = regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([0-9a-f]*)"`)

// ServeHTTP reads a request with the schema of OpenTelemetry; names that it does
// not have are errors.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		c.t.Errorf("the body is not compressed: %v", err)
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		c.t.Error(err)
	}
	// The JSON of OTLP has ids in hexadecimal digits where that of protobuf has base64.
	body = ids.ReplaceAllFunc(body, func(b []byte) []byte {
		m := ids.FindSubmatch(b)
		raw, err := hex.DecodeString(string(m[2]))
		if err != nil {
			c.t.Errorf("%s: %v", b, err)
		}
		return fmt.Appendf(nil, "%q:%q", m[1], base64.StdEncoding.EncodeToString(raw))
	})
	var data tracepb.TracesData
	if err := protojson.Unmarshal(body, &data); err != nil {
		c.t.Errorf("the schema does not know this: %v\n%s", err, body)
	}
	c.mu.Lock()
	c.heads, c.paths = append(c.heads, r.Header), append(c.paths, r.Method+" "+r.URL.Path)
	n := len(c.heads)
	c.attrs = map[string]string{}
	for _, res := range data.GetResourceSpans() {
		for _, a := range res.GetResource().GetAttributes() {
			c.attrs[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, sc := range res.GetScopeSpans() {
			c.spans = append(c.spans, sc.GetSpans()...)
		}
	}
	c.mu.Unlock()
	if c.answer != nil {
		c.answer(n, w)
	}
	c.came <- struct{}{}
}

// run runs a tracer until the function returned is called.
func run(t *testing.T, opt trace.Options) (tr *trace.Tracer, stop func()) {
	t.Helper()
	opt.Control, opt.Backoff = loopback.Guard(t), time.Millisecond
	tr, err := trace.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(3 * patience):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return tr, stop
}

func one() trace.Span {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return trace.Span{Name: "request", Kind: trace.Server, Start: at, End: at.Add(3 * time.Second),
		Attrs: []trace.Attr{{"server.address", "example.com"}, {"server.port", 443}, {"bytes", int64(1) << 40}, {"retried", true}, {"odd", 1.5}},
		Below: []trace.Span{
			{Name: "pick", Start: at, End: at.Add(time.Second)},
			{Name: "attempt", Kind: trace.Client, Start: at.Add(time.Second), End: at.Add(2 * time.Second), Failed: "connect refused",
				Below: []trace.Span{{Name: "dial", Start: at.Add(time.Second), End: at.Add(2 * time.Second)}}}}}
}

func TestSends(t *testing.T) {
	t.Parallel()
	c := newCollector(t, nil)
	tr, stop := run(t, trace.Options{Endpoint: c.srv.URL, Share: 1, Version: "v1", Headers: [][2]string{{"Authorization", "Bearer x"}}})
	tr.Record("r1", one)
	stop()
	if diff := cmp.Diff([]string{"POST /v1/traces"}, c.paths); diff != "" {
		t.Fatal(diff)
	}
	if h := c.heads[0]; h.Get("Content-Type") != "application/json" || h.Get("Authorization") != "Bearer x" || h.Get("User-Agent") != "freeway/v1" {
		t.Errorf("the header is %v", h)
	}
	if c.attrs["service.name"] != "freeway" || c.attrs["service.version"] != "v1" || c.attrs["service.instance.id"] == "" {
		t.Errorf("the resource is %v", c.attrs)
	}
	var got []string
	names := map[string]string{"": "-"}
	for _, s := range c.spans {
		names[string(s.GetSpanId())] = s.GetName()
		var attrs []string
		for _, a := range s.GetAttributes() {
			attrs = append(attrs, strings.ReplaceAll(fmt.Sprint(a.GetKey(), "=", a.GetValue()), "  ", " "))
		}
		if hex.EncodeToString(s.GetTraceId()) != tr.Sampled("r1") || len(s.GetSpanId()) != 8 {
			t.Errorf("%s has trace %x and id %x", s.GetName(), s.GetTraceId(), s.GetSpanId())
		}
		got = append(got, fmt.Sprint(s.GetName(), " below ", names[string(s.GetParentSpanId())], " ", s.GetKind(), " ",
			time.Duration(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano()), " ", s.GetStatus().GetCode(), s.GetStatus().GetMessage(), " ", strings.Join(attrs, " ")))
	}
	want := []string{
		`request below - SPAN_KIND_SERVER 3s STATUS_CODE_UNSET server.address=string_value:"example.com" server.port=int_value:443 bytes=int_value:1099511627776 retried=bool_value:true`,
		`pick below request SPAN_KIND_INTERNAL 1s STATUS_CODE_UNSET `,
		`attempt below request SPAN_KIND_CLIENT 1s STATUS_CODE_ERRORconnect refused `,
		`dial below attempt SPAN_KIND_INTERNAL 1s STATUS_CODE_UNSET `}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if s := c.spans[0].GetStartTimeUnixNano(); s != 1767323045000000006 {
		t.Errorf("the first begins at %d", s)
	}
	if got := tr.Stats(); got != (trace.Stats{Sent: 4}) {
		t.Errorf("Stats = %+v", got)
	}
}

// TestAnswers: what is repeated, what is given up, and what counts.
func TestAnswers(t *testing.T) {
	t.Parallel()
	always := func(status int) func(int, http.ResponseWriter) {
		return func(_ int, w http.ResponseWriter) { w.WriteHeader(status) }
	}
	for _, tt := range []struct {
		name   string
		answer func(n int, w http.ResponseWriter)
		tries  int
		want   trace.Stats
		says   string
	}{
		{"busy twice", func(n int, w http.ResponseWriter) {
			if n < 3 {
				w.Header().Set("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")
				w.WriteHeader([]int{429, 503}[n-1])
			}
		}, 3, trace.Stats{Sent: 4}, ""},
		{"down", always(502), 5, trace.Stats{Dropped: 4, Failures: 1}, "the collector answers 502"},
		{"slow", always(504), 5, trace.Stats{Dropped: 4, Failures: 1}, "the collector answers 504"},
		{"does not understand", always(400), 1, trace.Stats{Dropped: 4, Failures: 1}, "the collector answers 400"},
		{"wants a login", always(401), 1, trace.Stats{Dropped: 4, Failures: 1}, "the collector answers 401"},
		{"is elsewhere", func(_ int, w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) }, 1,
			trace.Stats{Dropped: 4, Failures: 1}, "the collector answers 307"},
		{"takes a part", func(_ int, w http.ResponseWriter) {
			io.WriteString(w, `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}`)
		}, 1, trace.Stats{Sent: 1, Rejected: 3}, `rejected=3 says="too old"`},
		{"takes a part, as a number", func(_ int, w http.ResponseWriter) { io.WriteString(w, `{"partialSuccess":{"rejectedSpans":1}}`) }, 1,
			trace.Stats{Sent: 3, Rejected: 1}, "rejected=1"},
		{"wants fewer than none", func(_ int, w http.ResponseWriter) { io.WriteString(w, `{"partialSuccess":{"rejectedSpans":"-7"}}`) }, 1, trace.Stats{Sent: 4}, ""},
		{"wants more than all", func(_ int, w http.ResponseWriter) { io.WriteString(w, `{"partialSuccess":{"rejectedSpans":"99"}}`) }, 1, trace.Stats{Rejected: 4}, ""},
		{"warns", func(_ int, w http.ResponseWriter) {
			io.WriteString(w, `{"partialSuccess":{"errorMessage":"old names"}}`)
		}, 1, trace.Stats{Sent: 4}, "old names"},
		{"babbles", func(_ int, w http.ResponseWriter) { w.Write(bytes.Repeat([]byte("x"), 1<<20)) }, 1, trace.Stats{Sent: 4}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCollector(t, tt.answer)
			var log bytes.Buffer
			tr, stop := run(t, trace.Options{Endpoint: c.srv.URL, Share: 1, Log: slog.New(slog.NewTextHandler(&log, nil)), Headers: [][2]string{{"X-Key", "hush"}}})
			tr.Record("r1", one)
			stop()
			if got := tr.Stats(); got != tt.want || len(c.paths) != tt.tries {
				t.Errorf("%d tries, %+v, want %d, %+v", len(c.paths), got, tt.tries, tt.want)
			}
			if !strings.Contains(log.String(), tt.says) || tt.says == "" && tt.want.Rejected == 0 && log.Len() > 0 || strings.Contains(log.String(), "hush") {
				t.Errorf("the log says %q, want %q", log.String(), tt.says)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, " 1 ": time.Second, "-1": 0, "999999999": 30 * time.Second, "soon": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0} {
		if got := trace.RetryAfter(s, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", s, got, want)
		}
	}
}

// TestQueueIsBounded: a collector that hangs costs spans, not memory or time, and
// the end does not wait for it for long.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	c := newCollector(t, func(int, http.ResponseWriter) { <-free })
	tr, stop := run(t, trace.Options{Endpoint: c.srv.URL, Share: 1, Timeout: 100 * time.Millisecond})
	for i := range 10_000 {
		tr.Record(fmt.Sprint("r", i), one)
	}
	if got := tr.Stats().Dropped; got < 40_000-2048-3*512 {
		t.Errorf("%d of 40000 spans were dropped while nothing could be sent", got)
	}
	close(free)
	stop()
	if s := tr.Stats(); s.Sent+s.Dropped != 40_000 {
		t.Errorf("of 40000 spans are told %+v", s)
	}
}

// TestFullBatchGoesAtOnce, not with the next tick.
func TestFullBatchGoesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCollector(t, nil)
	tr, _ := run(t, trace.Options{Endpoint: c.srv.URL + "/custom/path", Share: 1})
	began := time.Now()
	for i := range 128 {
		tr.Record(fmt.Sprint("r", i), one)
	}
	select {
	case <-c.came:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v, as long as a tick", took)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paths[0] != "POST /custom/path" {
		t.Errorf("it went to %q", c.paths[0])
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for share, most := range map[float64][2]int{0: {0, 0}, 0.25: {2200, 2800}, 1: {10_000, 10_000}} {
		tr, err := trace.Open(trace.Options{Endpoint: "http://127.0.0.1:1", Share: share})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range 10_000 {
			id := tr.Sampled(fmt.Sprint("request", i))
			if id != "" {
				n++
			}
			if id != tr.Sampled(fmt.Sprint("request", i)) || id != "" && len(id) != 32 {
				t.Fatalf("Sampled = %q, and something else the next time", id)
			}
			built := false
			tr.Record(fmt.Sprint("request", i), func() trace.Span { built = true; return trace.Span{} })
			if built != (id != "") {
				t.Fatalf("Record and Sampled do not agree about %d", i)
			}
		}
		if n < most[0] || n > most[1] {
			t.Errorf("%d of 10000 requests are traced with a share of %v", n, share)
		}
	}
}

// TestOff: a nil Tracer does nothing and costs nothing.
func TestOff(t *testing.T) {
	var tr *trace.Tracer
	if n := testing.AllocsPerRun(100, func() {
		if tr.Sampled("r1") != "" {
			t.Error("nothing is sampled by nobody")
		}
		tr.Record("r1", one)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if tr.Stats() != (trace.Stats{}) {
		t.Error("it counts")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "collector:4317", "ftp://x", "http://", "http://\x00"} {
		if _, err := trace.Open(trace.Options{Endpoint: s}); err == nil {
			t.Errorf("Open takes the endpoint %q", s)
		}
	}
}
