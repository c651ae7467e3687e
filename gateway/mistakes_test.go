package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/pool"
	"freeway/proxy"
)

// The mistakes that other gateways shipped, by their numbers in docs/architecture.md.

// requests are the three ways to ask for a target, with what a refusal begins with.
func requests(target string) map[string]string {
	host, port, _ := net.SplitHostPort(target)
	var n int
	_, _ = fmt.Sscan(port, &n)
	return map[string]string{
		"GET":     "GET http://" + target + "/ HTTP/1.1\r\nHost: " + target + "\r\n\r\n",
		"CONNECT": "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n",
		"SOCKS5":  "\x05\x01\x00\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + string([]byte{byte(n >> 8), byte(n)}),
	}
}

// TestMistake06NeverDirect: without an upstream, or when all fail, the target sees nobody.
func TestMistake06NeverDirect(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	target := serve(t, func(*wire) { hits.Add(1) }).String()
	for name, ups := range map[string][]proxy.Endpoint{"none": nil, "dead": {refused(t), refused(t)}} {
		r := newRig(t, gateway.Config{}, ups...)
		for kind, text := range requests(target) {
			w := r.conn()
			w.send(text)
			first, err := w.r.ReadByte()
			if err != nil || first == 0 {
				t.Errorf("%s, %s: no answer: %v", name, kind, err)
			}
			_ = w.Close()
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d direct connections", n)
	}
}

// TestMistake07ConnectStatusIsRead: what is not 200 is no tunnel.
func TestMistake07ConnectStatusIsRead(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"199 No", "204 No", "301 Moved", "403 Forbidden", "404 Not Found", "407 No", "500 No", "503 No"} {
		r := newRig(t, gateway.Config{}, answering(t, proxy.HTTP, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n"))
		w := r.conn()
		w.send(requests("example.com:443")["CONNECT"])
		if p, _ := w.answer("CONNECT"); p.StatusCode == 200 && status != "204 No" || p.StatusCode < 200 {
			t.Errorf("%s became %v", status, p.Status)
		}
	}
}

// TestMistake08ConnectIsAnsweredLate and TestMistake09 the same for SOCKS5:
// success is said only once the upstream's tunnel is up.
func TestMistake08ConnectIsAnsweredLate(t *testing.T) {
	t.Parallel()
	answeredLate(t, "CONNECT", "HTTP/1.1 200")
}

func TestMistake09SOCKSIsAnsweredLate(t *testing.T) {
	t.Parallel()
	answeredLate(t, "SOCKS5", "\x05\x00\x05\x00")
}

func answeredLate(t *testing.T, kind, want string) {
	asked, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, gateway.Config{}, upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		close(asked)
		<-release
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(io.Discard, c.r)
	}))
	w := r.conn()
	w.send(requests("example.com:443")[kind])
	<-asked
	early := 0
	if kind == "SOCKS5" {
		w.expect(want[:2]) // the method is settled before
		early = 2
	}
	_ = w.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := w.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("answered %q, %v before the upstream was", b, err)
	}
	close(release)
	_ = w.SetReadDeadline(time.Now().Add(patience))
	w.r = bufio.NewReader(w.Conn)
	w.expect(want[early:])
}

// TestMistake10HandshakesHaveDeadlines: one deadline for a whole handshake or
// head, also when bytes drip in, for each protocol of upstreams.
func TestMistake10HandshakesHaveDeadlines(t *testing.T) {
	t.Parallel()
	o := origin(t)
	host := strings.TrimPrefix(o.URL, "http://")
	drip := func(text string) func(c *wire) {
		return func(c *wire) {
			for i := 0; ; i++ {
				if _, err := c.Conn.Write([]byte{text[i%len(text)]}); err != nil {
					return
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-t.Context().Done():
					return
				}
			}
		}
	}
	for _, c := range []struct {
		name     string
		protocol proxy.Protocol
		handle   func(*wire)
	}{
		{"http silent", proxy.HTTP, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }},
		{"socks5 silent", proxy.SOCKS5, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }},
		{"socks4 silent", proxy.SOCKS4, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }},
		{"https silent", proxy.HTTPS, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }},
		{"http drip", proxy.HTTP, drip("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1000))},
		{"socks5 drip of a long address", proxy.SOCKS5, drip("\x05\x00\x05\x00\x00\x03\xff" + strings.Repeat("b", 1000))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := gateway.Config{Timeouts: gateway.Timeouts{Connect: patience, Handshake: 200 * time.Millisecond, FirstByte: 200 * time.Millisecond}}
			for _, kind := range []string{"GET", "CONNECT"} {
				r := newRig(t, cfg, upstream(t, c.protocol, c.handle), honest(t))
				w := r.conn()
				w.send(requests(host)[kind])
				if p, _ := w.answer(kind); p.StatusCode != 200 {
					t.Errorf("%s: %v", kind, p.Status)
				}
				if out := r.p.outcomes(t, 1)[0]; out.Class != proxy.Timeout {
					t.Errorf("%s: outcome %v %v, want timeout", kind, out.Stage, out.Class)
				}
			}
		})
	}
}

// overPool is a rig over a real pool whose endpoints are live.
func overPool(t *testing.T, cfg gateway.Config, ups ...proxy.Endpoint) (*pool.Pool, *rig) {
	t.Helper()
	p, err := pool.Open(context.Background(), pool.Config{}, pool.Env{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	for i, ep := range ups {
		if _, err := p.Add(context.Background(), "list", []proxy.Candidate{{Endpoint: ep}}); err != nil {
			t.Fatal(err)
		}
		exit := entry(ep, i+1).Traits.ExitIP
		p.Report(proxy.Verdict{Job: proxy.Job{Host: ep.Host, Port: ep.Port}, Outcomes: []proxy.Outcome{{Endpoint: ep, Stage: proxy.StageVerify,
			Phases:  proxy.Phases{FirstByte: time.Millisecond},
			Learned: &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, TunnelAny: proxy.Yes, RemoteDNS: proxy.Yes, ExitIP: exit}}}})
	}
	until(t, "all can be picked", func() bool { return p.Eligible(proxy.Want{}) == len(ups) }) // verdicts are taken up a little later
	cfg.Listen, cfg.Hedge.MinDelay = "127.0.0.1:0", time.Hour
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
	return p, runRig(t, cfg, gateway.Env{Picker: p, Targets: policy, Dialer: d}, nil)
}

// TestMistake18TargetsAnswersAreTheirs: 429 and 503 cost no upstream its score,
// and the next request leaves from another exit.
func TestMistake18TargetsAnswersAreTheirs(t *testing.T) {
	t.Parallel()
	limited := "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n"
	p, r := overPool(t, gateway.Config{}, answering(t, proxy.HTTP, limited), answering(t, proxy.HTTP, okAnswer))
	statuses := map[int]int{}
	for range 12 {
		w := r.conn()
		w.send(getExample)
		a, _ := w.answer("GET")
		statuses[a.StatusCode]++
	}
	if statuses[429] > 1 || statuses[200] < 11 {
		t.Errorf("answers %v, want at most one 429", statuses)
	}
	for _, e := range p.Usable(proxy.Want{}) {
		if e.State != proxy.Live || e.Uses.OK == 0 && e.Error != (proxy.Fault{}) {
			t.Errorf("blamed: %+v", e)
		}
	}
	if p.Eligible(proxy.Want{}) != 2 {
		t.Errorf("%d of 2 left for other targets", p.Eligible(proxy.Want{}))
	}
}

// TestMistake19DeadTargetDrainsNobody: a target that nobody reaches leaves the
// pool as it is, and is answered for fast.
func TestMistake19DeadTargetDrainsNobody(t *testing.T) {
	t.Parallel()
	var ups []proxy.Endpoint
	for range 8 {
		ups = append(ups, answering(t, proxy.HTTP, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"))
	}
	p, r := overPool(t, gateway.Config{}, ups...)
	codes := map[string]int{}
	for range 10 {
		w := r.conn()
		w.send(requests("down.example:443")["CONNECT"])
		a, _ := w.answer("CONNECT")
		codes[a.Header.Get("Freeway-Error")]++
	}
	if codes["target_down"] < 9 {
		t.Errorf("codes %v, want target_down", codes)
	}
	if n := p.Eligible(proxy.Want{}); n != 8 {
		t.Errorf("%d of 8 left for other targets", n)
	}
}

// TestMistake20ConnectIsNotHealth: an upstream that accepts and refuses every
// tunnel is not asked for ever.
func TestMistake20ConnectIsNotHealth(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	bad := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		asked.Add(1)
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	})
	_, r := overPool(t, gateway.Config{}, bad, granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }))
	for i := range 40 {
		w := r.conn()
		w.open(fmt.Sprintf("site%d.com:443", i))
		_ = w.Close()
	}
	if n := asked.Load(); n > 3 {
		t.Errorf("asked %d times of 40", n)
	}
}

// TestMistake23HalfClose: the end of what the client sends leaves the answer whole.
func TestMistake23HalfClose(t *testing.T) {
	t.Parallel()
	answer := strings.Repeat("0123456789", 100_000)
	target := serve(t, func(c *wire) {
		_, _ = io.Copy(io.Discard, c.r) // answers only after the end
		_, _ = io.WriteString(c.Conn, answer)
	}).String()
	r := newRig(t, gateway.Config{}, honest(t))
	for _, kind := range []string{"CONNECT", "SOCKS5"} {
		w := r.conn()
		w.send(requests(target)[kind])
		if kind == "CONNECT" {
			w.answer("CONNECT")
		} else {
			w.expect("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
		}
		w.send("all of it")
		_ = w.Conn.(*net.TCPConn).CloseWrite()
		if got := w.rest(); got != answer {
			t.Errorf("%s: %d bytes, want %d", kind, len(got), len(answer))
		}
	}
}
