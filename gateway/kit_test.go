package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// patience is how long a test waits for what takes milliseconds.
const patience = 10 * time.Second

// picker hands out a list of upstreams in order, leaving out what the want
// avoids, and remembers what it was told.
type picker struct {
	mu      sync.Mutex // protects the fields below
	entries []proxy.Entry
	err     error  // instead of a lease
	why     string // of leases
	wants   []proxy.Want
	outs    []proxy.Outcome
	traces  []proxy.Trace
	leased  int
	shuffle bool          // any order
	changed chan struct{} // closed and replaced at every change
}

func (p *picker) Pick(_ context.Context, want proxy.Want) (proxy.Lease, error) {
	p.note(func() { p.wants = append(p.wants, want) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return proxy.Lease{}, p.err
	}
	entries := p.entries
	if p.shuffle {
		entries = slices.Clone(entries)
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	}
	for _, e := range entries {
		if slices.Contains(want.Avoid, e.Endpoint) || slices.Contains(want.AvoidExits, e.Traits.ExitIP) || !want.Filter.Match(&e) {
			continue
		}
		p.leased++
		var once sync.Once
		return proxy.Lease{Entry: e, Why: p.why, Report: p.report, Close: func() { once.Do(p.giveBack) }}, nil
	}
	return proxy.Lease{}, &proxy.NoneError{Reason: "none left", RetryAfter: 7 * time.Second}
}

func (p *picker) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *picker) report(o proxy.Outcome) { p.note(func() { p.outs = append(p.outs, o) }) }
func (p *picker) giveBack()              { p.note(func() { p.leased-- }) }
func (p *picker) Record(t proxy.Trace)   { p.note(func() { p.traces = append(p.traces, t) }) }

// await waits until ok holds.
func (p *picker) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		done, changed, outs := ok(), p.changed, slices.Clone(p.outs)
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("never came: %s; outcomes %+v", what, outs)
		}
	}
}

// asked returns what was wanted so far.
func (p *picker) asked() []proxy.Want {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wants)
}

// outcomes waits for n and returns them.
func (p *picker) outcomes(t *testing.T, n int) []proxy.Outcome {
	t.Helper()
	p.await(t, "outcomes", func() bool { return len(p.outs) >= n })
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.outs)
}

// trace waits for the n-th trace, from 1.
func (p *picker) trace(t *testing.T, n int) proxy.Trace {
	t.Helper()
	p.await(t, "a trace", func() bool { return len(p.traces) >= n })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.traces[n-1]
}

// until polls for what cannot be waited for.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

// entry makes a live entry of an endpoint with an exit of its own.
func entry(ep proxy.Endpoint, n int) proxy.Entry {
	return proxy.Entry{Endpoint: ep, Pool: proxy.PublicPool, State: proxy.Live,
		Traits: proxy.Traits{ExitIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), Country: "DE"}}
}

// rig is a running gateway over scripted upstreams.
type rig struct {
	t    *testing.T
	g    *gateway.Gateway
	p    *picker
	addr string
	stop context.CancelFunc
	done chan error
}

var policy = proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))

// newRig starts a gateway that knows the upstreams in this order.
func newRig(t *testing.T, cfg gateway.Config, upstreams ...proxy.Endpoint) *rig {
	t.Helper()
	p := &picker{changed: make(chan struct{})}
	for i, ep := range upstreams {
		p.entries = append(p.entries, entry(ep, i+1))
	}
	return startRig(t, cfg, p)
}

func startRig(t *testing.T, cfg gateway.Config, p *picker) *rig {
	t.Helper()
	return startRigWith(t, cfg, p, nil)
}

// startRigWith calls prepare before the gateway runs; nil: not.
func startRigWith(t *testing.T, cfg gateway.Config, p *picker, prepare func(*gateway.Gateway)) *rig {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Hedge.MinDelay == 0 { // tests of hedges say so
		cfg.Hedge.MinDelay = time.Hour
	}
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
	return runPrepared(t, cfg, gateway.Env{Picker: p, Targets: policy, Dialer: d}, p, prepare)
}

func runRig(t *testing.T, cfg gateway.Config, env gateway.Env, p *picker) *rig {
	t.Helper()
	return runPrepared(t, cfg, env, p, nil)
}

func runPrepared(t *testing.T, cfg gateway.Config, env gateway.Env, p *picker, prepare func(*gateway.Gateway)) *rig {
	t.Helper()
	g, err := gateway.Open(cfg, env)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if prepare != nil {
		prepare(g)
	}
	if err := g.Listen(); err != nil {
		t.Fatalf("Listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{t: t, g: g, p: p, addr: g.Addr().String(), stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- g.Run(ctx) }()
	t.Cleanup(r.end)
	return r
}

func (r *rig) end() {
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
		r.done <- nil // for a second call
	case <-time.After(3 * patience):
		r.t.Error("Run does not end")
	}
}

// client returns an http.Client that uses the gateway.
func (r *rig) client(user string) *http.Client {
	u := &url.URL{Scheme: "http", Host: r.addr}
	if user != "" {
		u.User = url.UserPassword(user, "")
	}
	tr := &http.Transport{Proxy: http.ProxyURL(u), DisableCompression: true}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// conn opens a raw connection to the gateway.
func (r *rig) conn() *wire {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return newWire(r.t, c)
}

// wire is a connection with a generous deadline and helpers that end the test.
type wire struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func newWire(t *testing.T, c net.Conn) *wire {
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &wire{t, c, bufio.NewReader(c)}
}

func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.Conn, s); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// answer reads one answer with its body.
func (w *wire) answer(method string) (*http.Response, string) {
	w.t.Helper()
	p, body, err := w.tryAnswer(method)
	if err != nil {
		w.t.Fatalf("answer: %v", err)
	}
	return p, body
}

func (w *wire) tryAnswer(method string) (*http.Response, string, error) {
	p, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	if method == "CONNECT" && p.StatusCode == 200 {
		return p, "", nil
	}
	body, err := io.ReadAll(p.Body)
	return p, string(body), err
}

// expect reads exactly s.
func (w *wire) expect(s string) {
	w.t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(w.r, b); err != nil || string(b) != s {
		w.t.Fatalf("read %q, %v, want %q", b[:n], err, s)
	}
}

// rest reads until the end.
func (w *wire) rest() string {
	w.t.Helper()
	b, err := io.ReadAll(w.r)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		w.t.Fatalf("rest: %v after %q", err, b)
	}
	return string(b)
}

// serve runs a server that calls handle for each connection.
func serve(t *testing.T, handle func(c *wire)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(2 * patience))
				handle(&wire{t, c, bufio.NewReader(c)})
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// upstream makes an endpoint of a scripted server.
func upstream(t *testing.T, protocol proxy.Protocol, handle func(c *wire)) proxy.Endpoint {
	t.Helper()
	ap := serve(t, handle)
	ep, err := proxy.NewEndpoint(protocol, ap.Addr().String(), ap.Port(), "")
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// refused is an endpoint where nothing listens.
func refused(t *testing.T) proxy.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ap := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	ep, _ := proxy.NewEndpoint(proxy.HTTP, ap.Addr().String(), ap.Port(), "")
	return ep
}

// head reads the lines of a head, without the empty one.
func (w *wire) head() []string {
	var lines []string
	for {
		line, err := w.r.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); err != nil || line == "" {
			return lines
		}
		lines = append(lines, line)
	}
}

// honest is an upstream that does what it should: CONNECT to anywhere on
// loopback, and absolute form over a connection of its own.
func honest(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) { forwardTo(c, "") })
}

// forwardTo serves one proxy request, to the target or to where it is told.
func forwardTo(c *wire, to string) {
	lines := c.head()
	if len(lines) == 0 {
		return
	}
	method, rest, _ := strings.Cut(lines[0], " ")
	target, _, _ := strings.Cut(rest, " ")
	if method == "CONNECT" {
		splice(c, or(to, target), "HTTP/1.1 200 OK\r\n\r\n", "")
		return
	}
	hostPath := strings.TrimPrefix(target, "http://")
	host, path, _ := strings.Cut(hostPath, "/")
	if !strings.Contains(host, ":") {
		host += ":80"
	}
	lines[0] = method + " /" + path + " HTTP/1.1"
	lines = append(lines, "Connection: close") // what comes next would not be taken apart
	splice(c, or(to, host), "", strings.Join(lines, "\r\n")+"\r\n\r\n")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// splice connects to addr, says hello to the client and first to the target,
// then copies both ways with half-close.
func splice(c *wire, addr, hello, first string) {
	d := net.Dialer{Control: loopback.Control, Timeout: patience}
	up, err := d.Dial("tcp", addr)
	if err != nil {
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer up.Close()
	_ = up.SetDeadline(time.Now().Add(2 * patience))
	_, _ = io.WriteString(c.Conn, hello)
	_, _ = io.WriteString(up, first)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, c.r)
		_ = up.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c.Conn, up)
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	<-done
}
