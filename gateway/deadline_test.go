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

// TestSlowTargetIsNobodysFault: an answer that comes late through two upstreams
// is the target's own time, and it is waited for.
func TestSlowTargetIsNobodysFault(t *testing.T) {
	t.Parallel()
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(150 * time.Millisecond)
		_, _ = io.WriteString(w, "late")
	}))
	t.Cleanup(o.Close)
	r := newRig(t, gateway.Config{}, honest(t), honest(t))
	r.g.SetAnswerTime(100 * time.Millisecond)
	p, err := r.client("").Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(p.Body)
	p.Body.Close()
	if string(body) != "late" {
		t.Errorf("%v %q", p.Status, body)
	}
	for _, out := range r.p.outcomes(t, 2) {
		if own, _, _ := out.Blame(); own > 0 {
			t.Errorf("blamed: %v %v", out.Stage, out.Class)
		}
	}
}

// TestSilentUpstreamIsToBlame where the next one answers at once.
func TestSilentUpstreamIsToBlame(t *testing.T) {
	t.Parallel()
	o := origin(t)
	r := newRig(t, gateway.Config{}, mute(t), honest(t))
	r.g.SetAnswerTime(20 * time.Millisecond)
	p, err := r.client("").Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Body.Close()
	outs := r.p.outcomes(t, 2)
	if outs[0].Class != proxy.Timeout || outs[0].Stage != proxy.StageRequest || outs[1].Class != proxy.OK {
		t.Errorf("outcomes %v %v, %v", outs[0].Stage, outs[0].Class, outs[1].Class)
	}
}
