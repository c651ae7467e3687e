package gateway_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// held is an upstream that answers requests for /slow when it is told to.
func held(t *testing.T) (ep proxy.Endpoint, release func()) {
	gate := make(chan struct{})
	done := false
	release = func() {
		if !done {
			done = true
			close(gate)
		}
	}
	ep = upstream(t, proxy.HTTP, func(c *wire) {
		lines := c.head()
		if len(lines) > 0 && strings.Contains(lines[0], "slow") {
			<-gate
		}
		_, _ = c.Conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
	})
	t.Cleanup(release)
	return ep, release
}

// TestTargetConcurrency: over it a request waits; one that could not be served
// in time is told so at once or when the time is up, and other targets are free.
func TestTargetConcurrency(t *testing.T) {
	t.Parallel()
	up, release := held(t)
	cfg := gateway.Config{Targets: []gateway.TargetRule{{Domain: "example.com", Concurrency: 1}}, Timeouts: gateway.Timeouts{Total: 400 * time.Millisecond}}
	r := newRig(t, cfg, up)
	slow := r.conn()
	slow.send("GET http://www.example.com/slow HTTP/1.1\r\nHost: x\r\n\r\n")
	r.p.await(t, "the slow request", func() bool { return len(r.p.wants) == 1 })
	w := r.conn()
	w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if p, _ := w.answer("GET"); p.StatusCode != 503 || p.Header.Get("Freeway-Error") != "overload" || p.Header.Get("Retry-After") == "" {
		t.Errorf("over the limit: %v %v, want 503 overload with Retry-After", p.Status, p.Header)
	}
	if status, _ := r.ask("http://notexample.com/", "", ""); status != 200 {
		t.Errorf("another target: %d, want 200", status)
	}
	cfg.Listen, cfg.Timeouts.Total = "127.0.0.1:0", 2*patience
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	waiting := r.conn()
	waiting.send("GET http://a.b.example.com/ HTTP/1.1\r\nHost: x\r\n\r\n")
	until(t, "three requests run", func() bool { _, _, n := r.g.Counts(); return n >= 1 })
	release()
	if p, _ := waiting.answer("GET"); p.StatusCode != 200 {
		t.Errorf("a request that had its turn: %v", p.Status)
	}
}

// TestWaitingClientGoesAway: who leaves while it waits takes nobody's turn.
func TestWaitingClientGoesAway(t *testing.T) {
	t.Parallel()
	up, release := held(t)
	cfg := gateway.Config{Targets: []gateway.TargetRule{{Domain: "example.com", Concurrency: 1}}, Timeouts: gateway.Timeouts{Total: 4 * patience}}
	r := newRig(t, cfg, up)
	slow := r.conn()
	slow.send("GET http://example.com/slow HTTP/1.1\r\nHost: x\r\n\r\n")
	r.p.await(t, "the slow request", func() bool { return len(r.p.wants) == 1 })
	for _, request := range []string{"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", getExample, "\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb"} {
		w := r.conn()
		w.send(request)
		until(t, "it waits", func() bool { _, _, n := r.g.Counts(); return n == 2 })
		_ = w.Conn.(*net.TCPConn).SetLinger(0)
		_ = w.Close()
		until(t, "it is gone", func() bool { _, _, n := r.g.Counts(); return n == 1 })
	}
	release()
	if p, _ := slow.answer("GET"); p.StatusCode != 200 {
		t.Errorf("the slow request: %v", p.Status)
	}
	if n := len(r.p.asked()); n != 1 {
		t.Errorf("%d upstreams were asked for, want 1", n)
	}
}

// TestTargetRate: turns are evenly spaced, and a turn that is too far away is refused at once.
func TestTargetRate(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Targets: []gateway.TargetRule{{Domain: "example.com", Rate: 0.01}, {Domain: "fast.example.com", Rate: 200}}}
	r := newRig(t, cfg, answering(t, proxy.HTTP, okAnswer))
	if status, _ := r.ask("http://example.com/", "", ""); status != 200 {
		t.Errorf("the first: %d", status)
	}
	w := r.conn()
	w.send("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	if p, _ := w.answer("CONNECT"); p.StatusCode != 503 || len(p.Header.Get("Retry-After")) != 2 {
		t.Errorf("the second: %v, Retry-After %q, want 503 and some 85 s", p.Status, p.Header.Get("Retry-After"))
	}
	for range 5 {
		if status, _ := r.ask("http://fast.example.com/", "", ""); status != 200 {
			t.Errorf("a longer domain's rule: %d, want 200", status)
		}
	}
	cfg.Listen = "127.0.0.1:0"
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.ask("http://example.com/", "", ""); status != 503 {
		t.Errorf("after Apply the count begins anew: %d", status)
	}
}

// TestTargetRetry: what a rule says of failover holds for its domain only.
func TestTargetRetry(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Targets: []gateway.TargetRule{{Domain: "example.com", MinInterval: time.Minute, Retry: gateway.Retry{Attempts: 1}},
		{Domain: "status.test", Retry: gateway.Retry{OnStatus: []int{404}}}}}
	missing := answering(t, proxy.HTTP, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	ok := answering(t, proxy.HTTP, okAnswer)
	for _, tt := range []struct {
		target string
		ups    []proxy.Endpoint
		status int
	}{
		{"http://www.example.com/", []proxy.Endpoint{refused(t), ok}, 502},
		{"http://example.org/", []proxy.Endpoint{refused(t), ok}, 200},
		{"http://status.test/", []proxy.Endpoint{missing, ok}, 200},
		{"http://example.org/", []proxy.Endpoint{missing, ok}, 404},
	} {
		r := newRig(t, cfg, tt.ups...)
		if status, _ := r.ask(tt.target, "", ""); status != tt.status {
			t.Errorf("%s: %d, want %d", tt.target, status, tt.status)
		}
		rests := r.p.asked()[0].MinInterval
		if polite := strings.Contains(tt.target, "example.com"); polite != (rests == time.Minute) {
			t.Errorf("%s: min_interval %v", tt.target, rests)
		}
	}
}

// TestBanBody: a text in a page bans the exit, where it can be read.
func TestBanBody(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Ban: gateway.Ban{Body: []string{"access denied", `unusual\s+traffic`}}}
	page := func(head, body string) string {
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n" + head + "\r\n" + body
	}
	for _, tt := range []struct {
		name, answer string
		want         proxy.Class
	}{
		{"plain", page("Content-Type: text/html\r\n", "<h1>ACCESS Denied</h1>"), proxy.Banned},
		{"pattern", page("", "We see unusual\n traffic"), proxy.Banned},
		{"chunks", page("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "8\r\naccess d\r\n5\r\nenied\r\n0\r\n\r\n"), proxy.Banned},
		{"something else", page("Content-Type: text/html\r\n", "Welcome"), proxy.OK},
		{"an image", page("Content-Type: image/png\r\n", "access denied"), proxy.OK},
		{"coded", page("Content-Type: text/html\r\nContent-Encoding: gzip\r\n", "access denied"), proxy.OK},
		{"far behind", page("Content-Type: text/html\r\n", strings.Repeat("x", 33<<10)+"access denied"), proxy.OK},
	} {
		r := newRig(t, cfg, answering(t, proxy.HTTP, tt.answer))
		if status, _ := r.ask("http://example.com/", "", ""); status != 200 {
			t.Errorf("%s: %d, want 200: the page is passed on", tt.name, status)
		}
		if o := r.p.outcomes(t, 1)[0]; o.Class != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, o.Class, tt.want)
		}
	}
}

// clock is a time that tests move.
type clock struct{ at chan time.Time }

func newClock(at time.Time) *clock { c := &clock{make(chan time.Time, 1)}; c.at <- at; return c }

func (c *clock) now() time.Time { t := <-c.at; c.at <- t; return t }

func (c *clock) add(d time.Duration) { t := <-c.at; c.at <- t.Add(d) }

// TestDailyBytes: what is used up stays so until midnight, UTC, also over a
// restart, and transfers under way are cut.
func TestDailyBytes(t *testing.T) {
	t.Parallel()
	noon := newClock(time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC))
	cfg := gateway.Config{Listen: "127.0.0.1:0", Users: []gateway.User{{Name: "bob", Password: password(""), DailyBytes: 100_000}, {Name: "eve", Password: password("")}}}
	big := upstream(t, proxy.HTTP, func(c *wire) {
		if strings.HasPrefix(c.head()[0], "CONNECT") {
			c.send("HTTP/1.1 200 OK\r\n\r\n")
		} else {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		}
		_, _ = c.Conn.Write(make([]byte, 1_000_000))
		_, _ = c.r.ReadByte()
	})
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(big, 1)}}
	env := gateway.Env{Picker: p, Targets: policy, Dialer: guarded(t), Now: noon.now}
	r := runRig(t, cfg, env, p)
	w := r.conn()
	w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOg==\r\n\r\n")
	if _, body, err := w.tryAnswer("GET"); err == nil || len(body) < 50_000 || len(body) > 400_000 {
		t.Errorf("%d bytes, %v; want a cut at about 100,000", len(body), err)
	}
	if tr := p.trace(t, 1); tr.Code != "quota" {
		t.Errorf("trace %+v", tr)
	}
	denied := func(r *rig) {
		t.Helper()
		w := r.conn()
		w.send("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOg==\r\n\r\n")
		if a, _ := w.answer("CONNECT"); a.StatusCode != 429 || a.Header.Get("Freeway-Error") != "quota" || a.Header.Get("Retry-After") != "43200" {
			t.Errorf("with nothing left: %v %v, want 429 quota until midnight", a.Status, a.Header)
		}
	}
	denied(r)
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	denied(r)
	again := runPrepared(t, cfg, env, p, func(g *gateway.Gateway) { g.SetUsage(r.g.Usage()) })
	denied(again)
	noon.add(12 * time.Hour)
	again.openAs("Ym9iOg==").restOf(t, 100_000)
	again.openAs("ZXZlOg==").restOf(t, 1_000_000)
}

// openAs opens a tunnel with these credentials.
func (r *rig) openAs(coded string) *wire {
	r.t.Helper()
	w := r.conn()
	w.send("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + coded + "\r\n\r\n")
	if a, body := w.answer("CONNECT"); a.StatusCode != 200 {
		r.t.Fatalf("CONNECT: %v %s", a.Status, body)
	}
	return w
}

// restOf reads about n bytes and, where there were more, the cut.
func (w *wire) restOf(t *testing.T, n int) {
	t.Helper()
	got := 0
	buf := make([]byte, 32<<10)
	for got < 1_000_000 {
		k, err := w.r.Read(buf)
		if got += k; err != nil {
			break
		}
	}
	if got < n/2 || got > n+300_000 {
		t.Errorf("%d bytes came, want about %d", got, n)
	}
}

// TestThreat103PerClient: each user and each address has its own limit.
func TestThreat103PerClient(t *testing.T) {
	t.Parallel()
	up, release := held(t)
	defer release()
	cfg := gateway.Config{PerClient: gateway.ClientLimits{Concurrency: 1, Rate: 1000}, AllowClients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Users: []gateway.User{{Name: "bob", Password: password("")}, {Name: "big", Password: password(""), Concurrency: 5}}}
	r := newRig(t, cfg, up)
	for _, login := range []string{"", "Proxy-Authorization: Basic Ym9iOg==\r\n", "Proxy-Authorization: Basic YmlnOg==\r\n"} {
		w := r.conn()
		w.send("GET http://example.com/slow HTTP/1.1\r\nHost: x\r\n" + login + "\r\n")
	}
	r.p.await(t, "three slow requests", func() bool { return len(r.p.wants) == 3 })
	for login, want := range map[string]int{"": 429, "bob:": 429, "big:": 200, "someone:": 429} {
		if status, _ := r.ask("http://example.com/", login, ""); status != want {
			t.Errorf("%q: %d, want %d", login, status, want)
		}
	}
	if status, _ := from(t, r, "127.0.0.9").askHere("http://example.com/"); status != 200 {
		t.Errorf("another address: %d, want 200", status)
	}
}

// TestThreat103FairShare: a client that took all places does not keep others out.
func TestThreat103FairShare(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{MaxConnections: 16}, granting(t, func(c *wire) { _, _ = c.r.ReadByte() }))
	for range 16 {
		r.conn().open("127.0.0.1:9")
	}
	if status, code := r.ask("http://example.com/", "", ""); status != 503 || code != "overload" {
		t.Errorf("the greedy client's next: %d %s, want 503", status, code)
	}
	from(t, r, "127.0.0.9").open("127.0.0.1:9")
	from(t, r, "127.0.0.9").open("127.0.0.1:9")
	if status, _ := from(t, r, "127.0.0.9").askHere("http://example.com/"); status != 503 {
		t.Errorf("over an eighth more: %d, want 503", status)
	}
}

// from opens a connection to the gateway from another address of loopback.
func from(t *testing.T, r *rig, addr string) *wire {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Control: loopback.Control, Timeout: patience}
	c, err := d.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, c)
}

// askHere sends a request and returns status and code.
func (w *wire) askHere(target string) (int, string) {
	w.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
	p, _ := w.answer("GET")
	return p.StatusCode, p.Header.Get("Freeway-Error")
}

// guarded is a dialer that reaches loopback only.
func guarded(t *testing.T) *dial.Dialer {
	return dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
}

// TestRestIsWaitedFor: when all exits rest between two uses, a request waits for
// the first of them if that is in time, and is told when not.
func TestRestIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Total: patience}}, honest(t))
	r.p.note(func() { r.p.err = &proxy.NoneError{Reason: "all rest", Rest: time.Millisecond} })
	w := r.conn()
	w.send(getExample)
	until(t, "it asks again", func() bool { return len(r.p.asked()) > 2 })
	o := origin(t)
	r.p.note(func() { r.p.err = nil })
	w.answer("GET")
	w.send("GET " + o.URL + "/a HTTP/1.1\r\nHost: x\r\n\r\n")
	if p, body := w.answer("GET"); p.StatusCode != 200 {
		t.Errorf("%v %q", p.Status, body)
	}
	r.p.note(func() { r.p.err = &proxy.NoneError{Reason: "all rest", RetryAfter: time.Hour, Rest: time.Hour} })
	w.send(getExample)
	if p, body := w.answer("GET"); p.StatusCode != 503 || p.Header.Get("Retry-After") != "3600" {
		t.Errorf("%v %v %q, want 503 with the time", p.Status, p.Header, body)
	}
}
