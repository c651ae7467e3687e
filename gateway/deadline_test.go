package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// TestDeadlinesFollow what live upstreams need, downwards only, and let out
// again when everything becomes slow.
func TestDeadlinesFollow(t *testing.T) {
	t.Parallel()
	most := gateway.DefaultConfig().Timeouts
	for _, c := range []struct {
		name    string
		took    time.Duration
		samples int
		want    gateway.Timeouts // Connect, Handshake, FirstByte
	}{
		{"nothing is known", time.Millisecond, 10, most},
		{"fast", time.Millisecond, 100, gateway.Timeouts{Connect: 1250 * time.Millisecond, Handshake: 1500 * time.Millisecond, FirstByte: 2500 * time.Millisecond}},
		{"usual", time.Second, 100, gateway.Timeouts{Connect: 2 * time.Second, Handshake: 2 * time.Second, FirstByte: 2500 * time.Millisecond}},
		{"slow", 4 * time.Second, 100, gateway.Timeouts{Connect: most.Connect, Handshake: most.Handshake, FirstByte: 8 * time.Second}},
		{"slower than allowed", time.Minute, 100, most},
	} {
		r := newRig(t, gateway.Config{})
		r.g.Learn(c.took, c.samples)
		if got := r.g.Limits(); !near(got.Connect, c.want.Connect) || !near(got.Handshake, c.want.Handshake) || !near(got.FirstByte, c.want.FirstByte) {
			t.Errorf("%s: %v %v %v, want about %v %v %v", c.name, got.Connect, got.Handshake, got.FirstByte, c.want.Connect, c.want.Handshake, c.want.FirstByte)
		}
		r.g.Stall()
		if got := r.g.Limits(); got.Connect != most.Connect || got.Handshake != most.Handshake || got.FirstByte != most.FirstByte {
			t.Errorf("%s, then time-outs only: %v", c.name, got)
		}
	}
}

// near reports whether d is want, or a bucket of the histogram more.
func near(d, want time.Duration) bool { return d >= want && d <= want*5/4 }

// TestSlowUpstreamHasItsTime: an upstream that is known to be slow gets more than the rest.
func TestSlowUpstreamHasItsTime(t *testing.T) {
	t.Parallel()
	o := origin(t)
	slow := entry(honest(t), 1)
	slow.Latency = 3 * time.Second
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{slow}}
	r := startRig(t, gateway.Config{}, p)
	r.g.Learn(time.Millisecond, 100)
	w := r.conn()
	w.open(strings.TrimPrefix(o.URL, "http://"))
	if out := r.g.OwnTime(slow); out < 5*time.Second {
		t.Errorf("an upstream that takes 3 s has %v", out)
	}
}

// TestSlowTargetIsNobodysFault: what takes long through two upstreams is the
// target's own time, and it is waited for.
func TestSlowTargetIsNobodysFault(t *testing.T) {
	t.Parallel()
	const slow = 300 * time.Millisecond
	pause := func() { <-time.After(slow) }
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { pause() }))
	t.Cleanup(plain.Close)
	for name, c := range map[string]struct {
		up  func(c *wire)
		url string
	}{
		"answer":    {func(c *wire) { forwardTo(c, "") }, plain.URL},
		"handshake": {func(c *wire) { pause(); forwardTo(c, "") }, secure.URL},
		"hello": {func(c *wire) {
			target := strings.Fields(c.head()[0])[1]
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = c.r.Peek(1)
			pause()
			splice(c, target, "", "")
		}, secure.URL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ups := []proxy.Endpoint{upstream(t, proxy.HTTP, c.up), upstream(t, proxy.HTTP, c.up)}
			r := newRig(t, gateway.Config{Retry: gateway.Retry{Attempts: 2}}, ups...)
			r.g.SetAnswerTime(slow / 2)
			client := r.client("")
			client.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
			p, err := client.Get(c.url)
			if err != nil {
				t.Fatal(err)
			}
			p.Body.Close()
			client.CloseIdleConnections()
			outs := r.p.outcomes(t, 2)
			if p.Header.Get("Freeway-Error") != "" || outs[0].Class != proxy.Canceled || outs[1].Class != proxy.OK {
				t.Errorf("%v, outcomes %v %v, %v %v; want canceled and ok", p.Status, outs[0].Stage, outs[0].Class, outs[1].Stage, outs[1].Class)
			}
			if tr := r.p.trace(t, 1); len(tr.Attempts) != 2 || tr.Attempts[0].Class != proxy.Timeout {
				t.Errorf("attempts %+v", tr.Attempts)
			}
		})
	}
}

// TestSilentUpstreamIsToBlame where the next one is fast.
func TestSilentUpstreamIsToBlame(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		up    proxy.Endpoint
		url   string
		stage proxy.Stage
	}{
		"answer":    {mute(t), origin(t).URL, proxy.StageRequest},
		"handshake": {mute(t), secure.URL, proxy.StageHandshake},
		"hello":     {granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }), secure.URL, proxy.StageTunnel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{Retry: gateway.Retry{Attempts: 2}}, c.up, honest(t))
			r.g.SetAnswerTime(time.Second)
			client := r.client("")
			client.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
			p, err := client.Get(c.url)
			if err != nil {
				t.Fatal(err)
			}
			p.Body.Close()
			client.CloseIdleConnections()
			outs := r.p.outcomes(t, 2)
			if outs[0].Class != proxy.Timeout || outs[0].Stage != c.stage || outs[1].Class != proxy.OK {
				t.Errorf("outcomes %v %v, %v %v", outs[0].Stage, outs[0].Class, outs[1].Stage, outs[1].Class)
			}
		})
	}
}
