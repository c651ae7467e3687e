package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"freeway/gateway"
	"freeway/internal/socks"
	"freeway/proxy"
)

// book keeps what Env.Done was told.
type book struct {
	mu  sync.Mutex
	all []proxy.Trace
}

func (b *book) add(t proxy.Trace) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, t)
}

// next waits for the n-th trace, from 1.
func (b *book) next(t *testing.T, n int) proxy.Trace {
	t.Helper()
	var out proxy.Trace
	until(t, "a trace", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.all) < n {
			return false
		}
		out = b.all[n-1]
		return true
	})
	return out
}

// watched is a rig that tells a book.
func watched(t *testing.T, cfg gateway.Config, env gateway.Env, upstreams ...proxy.Endpoint) (*rig, *book) {
	t.Helper()
	b := &book{}
	p := &picker{changed: make(chan struct{})}
	for i, ep := range upstreams {
		p.entries = append(p.entries, entry(ep, i+1))
	}
	cfg.Listen = "127.0.0.1:0"
	cfg.Hedge.MinDelay = time.Hour
	env.Picker, env.Targets, env.Dialer, env.Done = p, policy, guarded(t), b.add
	return runRig(t, cfg, env, p), b
}

// TestDoneTellsOfEveryRequest: what is served, what fails and what is refused,
// also before anybody knows what it is.
func TestDoneTellsOfEveryRequest(t *testing.T) {
	t.Parallel()
	target := echo(t)
	open, locked := gateway.Config{}, gateway.Config{Users: []gateway.User{{Name: "bob", Password: password("pw")}}}
	http1 := func(text string) func(w *wire) { return func(w *wire) { w.send(text); w.rest() } }
	for _, c := range []struct {
		name string
		cfg  gateway.Config
		up   func(t *testing.T) proxy.Endpoint
		do   func(w *wire)
		want string // method target status code attempts
	}{
		{"plain", open, honest, http1("GET http://" + target.String() + "/ HTTP/1.0\r\nHost: x\r\n\r\n"), "GET %s 502 upstreams_failed 1"},
		{"CONNECT", open, honest, func(w *wire) { w.open(target.String()); w.send("ping"); w.expect("ping") }, "CONNECT %s 200  1"},
		{"SOCKS5", open, honest, func(w *wire) {
			if err := socks.Client5(w, addrOf(target), "bob", ""); err != nil {
				w.t.Error(err)
			}
			w.send("ping")
			w.expect("ping")
		}, "SOCKS5 %s 0  1"},
		{"SOCKS4 that fails", open, refused, func(w *wire) { _ = socks.Client4(w, addrOf(target), "bob") }, "SOCKS4 %s 4 upstreams_failed 1"},
		{"CONNECT that fails", open, refused, http1("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"), "CONNECT example.com:443 502 upstreams_failed 1"},
		{"no login", locked, honest, http1("GET http://example.com/a?b HTTP/1.0\r\nHost: x\r\n\r\n"), "GET example.com:80 407 auth_required 0"},
		{"no login, CONNECT", locked, honest, http1("CONNECT example.com:443 HTTP/1.0\r\nHost: x\r\n\r\n"), "CONNECT example.com:443 407 auth_required 0"},
		{"no login, SOCKS5", locked, honest, http1("\x05\x01\x00"), "SOCKS5 : 2 auth_required 0"},
		{"wrong login, SOCKS5", locked, honest, http1("\x05\x01\x02\x01\x03bob\x01x"), "SOCKS5 : 2 auth_required 0"},
		{"no login, SOCKS4", locked, honest, http1("\x04\x01\x01\xbb\x01\x02\x03\x04\x00"), "SOCKS4 1.2.3.4:443 2 auth_required 0"},
		{"BIND", open, honest, http1("\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x09"), "SOCKS5 127.0.0.1:9 7 bad_request 0"},
		{"forbidden port", open, honest, http1("CONNECT example.com:25 HTTP/1.1\r\nHost: x\r\n\r\n"), "CONNECT example.com:25 403 forbidden_target 0"},
		{"garbage", open, honest, http1("\x01\x02\x03"), " : 400 bad_request 0"},
		{"a head that is none", open, honest, http1("GET / HTTP/9.9\r\n\r\n"), " : 505 bad_request 0"},
		{"not a proxy request", open, honest, http1("GET / HTTP/1.0\r\nHost: x\r\n\r\n"), "GET : 400 bad_request 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, b := watched(t, c.cfg, gateway.Env{}, c.up(t))
			w := r.conn()
			c.do(w)
			_ = w.Close()
			got := b.next(t, 1)
			where := got.Target.String()
			if got.Target == (proxy.Target{}) {
				where = ":"
			}
			want := strings.Replace(c.want, "%s", target.String(), 1)
			if text := fmt.Sprintf("%s %s %d %s %d", got.Method, where, got.Status, got.Code, len(got.Attempts)); text != want {
				t.Errorf("Done was told %q, want %q", text, want)
			}
			if got.ID == "" || got.At.IsZero() || !got.Client.IsLoopback() {
				t.Errorf("the trace lacks who and when: %+v", got)
			}
		})
	}
}

// TestTimesOfARequest: what tracing and metrics are made of.
func TestTimesOfARequest(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r, b := watched(t, gateway.Config{}, gateway.Env{Metrics: reg, TraceID: func(id string) string { return "trace-of-" + id }},
		refused(t), answering(t, proxy.HTTP, okAnswer))
	began := time.Now()
	if status, _ := r.ask("http://example.com/", "", ""); status != 200 {
		t.Fatalf("status %d", status)
	}
	tr := b.next(t, 1)
	if len(tr.Attempts) != 2 || tr.Answer <= 0 || tr.Answer > tr.Took {
		t.Fatalf("%d attempts, an answer after %v of %v", len(tr.Attempts), tr.Answer, tr.Took)
	}
	failed, worked := tr.Attempts[0], tr.Attempts[1]
	if failed.At.Before(began) || worked.At.Before(failed.At.Add(failed.Took)) || failed.Pick <= 0 || worked.Pick <= 0 {
		t.Errorf("the attempts are not one after the other: %+v", tr.Attempts)
	}
	if worked.Phases.Connect <= 0 || worked.Phases.FirstByte <= 0 || worked.Phases.Total() > worked.Took {
		t.Errorf("the phases are %+v of %v", worked.Phases, worked.Took)
	}
	counts := map[string]uint64{}
	for _, m := range family(t, reg, "freeway_gateway_phase_seconds").GetMetric() {
		h := m.GetHistogram()
		counts[m.GetLabel()[0].GetValue()] = h.GetSampleCount()
		if h.GetSampleCount() > 0 && !exemplified(h, "trace-of-"+tr.ID) {
			t.Errorf("%v has no exemplar of the trace", m.GetLabel())
		}
	}
	if diff := cmp.Diff(map[string]uint64{"pick": 2, "connect": 1, "tls": 0, "handshake": 0, "first_byte": 1, "total": 1}, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// TestNoUpstreamIsTimed, too.
func TestNoUpstreamIsTimed(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	r, b := watched(t, gateway.Config{}, gateway.Env{Metrics: reg})
	r.ask("http://example.com/", "", "")
	if tr := b.next(t, 1); tr.Code != "no_upstream" || tr.Missed <= 0 || tr.Answer != 0 {
		t.Errorf("the trace is %+v", tr)
	}
	for _, m := range family(t, reg, "freeway_gateway_phase_seconds").GetMetric() {
		for _, bucket := range m.GetHistogram().GetBucket() {
			if bucket.GetExemplar() != nil {
				t.Error("there are exemplars while nothing is traced")
			}
		}
	}
}

func family(t *testing.T, reg *prometheus.Registry, name string) *dto.MetricFamily {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

// exemplified reports whether a bucket has the trace as exemplar.
func exemplified(h *dto.Histogram, trace string) bool {
	for _, b := range h.GetBucket() {
		for _, l := range b.GetExemplar().GetLabel() {
			if l.GetName() == "trace_id" && l.GetValue() == trace {
				return true
			}
		}
	}
	return false
}

// tracing has every field that ties requests together, in odd spellings.
const tracing = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nTraceState: a=secret\r\nBaggage: user=secret\r\nb3: secret-1\r\n" +
	"X-B3-TraceId: secret\r\nx_b3_spanid: secret\r\nuber-trace-id: secret\r\nsentry-trace: secret\r\nX-Cloud-Trace-Context: secret\r\nX-Amzn-Trace-Id: secret\r\n" +
	"x-datadog-trace-id: secret\r\nX-Datadog-Sampling-Priority: 1\r\nelastic-apm-traceparent: secret\r\nnewrelic: secret\r\not-tracer-spanid: secret\r\n" +
	"ot-baggage-user: secret\r\nuberctx-user: secret\r\nx-ot-span-context: secret\r\n"

// TestNoTraceHeaderLeaves: neither those of a client nor any of our own, at the
// bytes that upstream and target get, while requests are traced.
func TestNoTraceHeaderLeaves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, send, want string
		protocol         proxy.Protocol
	}{
		{"plain", "GET http://example.com/a HTTP/1.1\r\nHost: x\r\n" + tracing + "Connection: close\r\n\r\n",
			"GET http://example.com/a HTTP/1.1|Host: example.com", proxy.HTTP},
		{"CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n" + tracing + "\r\n",
			"CONNECT example.com:443 HTTP/1.1|Host: example.com:443", proxy.HTTP},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			up := upstream(t, c.protocol, func(w *wire) {
				got <- strings.Join(w.head(), "|")
				w.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			})
			r, _ := watched(t, gateway.Config{}, gateway.Env{TraceID: func(string) string { return strings.Repeat("a", 32) }}, up)
			w := r.conn()
			w.send(c.send)
			if head := <-got; head != c.want {
				t.Errorf("the upstream got %q, want %q", head, c.want)
			}
		})
	}
}

// TestNoTraceHeaderReachesTheTarget behind an upstream that passes everything on.
func TestNoTraceHeaderReachesTheTarget(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	target := serve(t, func(w *wire) {
		got <- strings.Join(w.head(), "|")
		w.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	r, _ := watched(t, gateway.Config{}, gateway.Env{TraceID: func(string) string { return strings.Repeat("a", 32) }}, honest(t))
	q, err := http.NewRequest("GET", "http://"+target.String()+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(tracing), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		q.Header[name] = []string{value}
	}
	q.Header.Set("User-Agent", "me")
	p, err := r.client("").Do(q)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, p.Body)
	_ = p.Body.Close()
	head := <-got
	if !strings.Contains(head, "User-Agent: me") || strings.Contains(head, "secret") || strings.Contains(strings.ToLower(head), "trace") {
		t.Errorf("the target got %q", head)
	}
}
