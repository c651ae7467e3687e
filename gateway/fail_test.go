package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// answering is an upstream that reads a head and says what it is told, then closes.
func answering(t *testing.T, protocol proxy.Protocol, text string) proxy.Endpoint {
	return upstream(t, protocol, func(c *wire) {
		if protocol.IsSOCKS() {
			_, _ = c.r.Peek(1)
		} else {
			c.head()
		}
		_, _ = io.WriteString(c.Conn, text)
	})
}

// silent accepts and says nothing.
func silent(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) })
}

// resetting resets the connection once a head has come.
func resetting(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		resetOf(c)
	})
}

// resetOf makes the close that follows a reset.
func resetOf(c *wire) { _ = c.Conn.(*net.TCPConn).SetLinger(0) }

var quick = gateway.Timeouts{Connect: patience, Handshake: 2 * time.Second, FirstByte: 2 * time.Second, Total: 3 * patience}

// TestAttributionConnect: each way to fail before a tunnel is up is reported
// as what it is, and the next upstream serves the client.
func TestAttributionConnect(t *testing.T) {
	t.Parallel()
	o := origin(t)
	answer := func(status string) func(*testing.T) proxy.Endpoint {
		return func(t *testing.T) proxy.Endpoint {
			return answering(t, proxy.HTTP, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		}
	}
	socks5 := func(reply string) func(*testing.T) proxy.Endpoint {
		return func(t *testing.T) proxy.Endpoint { return answering(t, proxy.SOCKS5, reply) }
	}
	for _, c := range []struct {
		name   string
		make   func(*testing.T) proxy.Endpoint
		stage  proxy.Stage
		class  proxy.Class
		status int
	}{
		{"refused", refused, proxy.StageConnect, proxy.Refused, 0},
		{"silence", silent, proxy.StageHandshake, proxy.Timeout, 0},
		{"reset", resetting, proxy.StageHandshake, proxy.Reset, 0},
		{"closed", func(t *testing.T) proxy.Endpoint { return answering(t, proxy.HTTP, "") }, proxy.StageHandshake, proxy.EOF, 0},
		{"banner", func(t *testing.T) proxy.Endpoint { return answering(t, proxy.HTTP, "SSH-2.0-OpenSSH_9.9\r\n") }, proxy.StageHandshake, proxy.Garbage, 0},
		{"407", answer("407 No"), proxy.StageHandshake, proxy.AuthRequired, 407},
		{"405", answer("405 No"), proxy.StageHandshake, proxy.NoConnect, 405},
		{"501", answer("501 No"), proxy.StageHandshake, proxy.NoConnect, 501},
		{"403", answer("403 No"), proxy.StageHandshake, proxy.PortDenied, 403},
		{"502", answer("502 No"), proxy.StageHandshake, proxy.BadGateway, 502},
		{"503", answer("503 No"), proxy.StageHandshake, proxy.BadGateway, 503},
		{"504", answer("504 No"), proxy.StageHandshake, proxy.BadGateway, 504},
		{"SOCKS 0xFF", socks5("\x05\xff"), proxy.StageHandshake, proxy.AuthRequired, 0},
		{"SOCKS 4", socks5("\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"), proxy.StageHandshake, proxy.BadGateway, 4},
		{"SOCKS 2", socks5("\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), proxy.StageHandshake, proxy.PortDenied, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{Timeouts: quick}, c.make(t), honest(t))
			w := r.conn()
			host := strings.TrimPrefix(o.URL, "http://")
			w.send("CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			if p, _ := w.answer("CONNECT"); p.StatusCode != 200 {
				t.Fatalf("answer %v", p.Status)
			}
			w.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if _, body := w.answer("GET"); body != "GET /x " {
				t.Errorf("body %q", body)
			}
			out := r.p.outcomes(t, 1)[0]
			if out.Stage != c.stage || out.Class != c.class || out.Status != c.status || out.Origin != proxy.FromTraffic {
				t.Errorf("outcome %v %v %d, want %v %v %d", out.Stage, out.Class, out.Status, c.stage, c.class, c.status)
			}
			if last := r.p.asked()[1]; len(last.Avoid) != 1 || len(last.AvoidExits) != 1 {
				t.Errorf("the second pick avoids %v %v", last.Avoid, last.AvoidExits)
			}
		})
	}
}

// TestAttributionForward is the same for plain HTTP.
func TestAttributionForward(t *testing.T) {
	t.Parallel()
	o := origin(t)
	says := func(text string) func(*testing.T) proxy.Endpoint {
		return func(t *testing.T) proxy.Endpoint { return answering(t, proxy.HTTP, text) }
	}
	for _, c := range []struct {
		name  string
		make  func(*testing.T) proxy.Endpoint
		class proxy.Class
	}{
		{"refused", refused, proxy.Refused},
		{"silence", silent, proxy.Timeout},
		{"reset", resetting, proxy.Reset},
		{"closed", says(""), proxy.EOF},
		{"half a head", says("HTTP/1.1 200 OK\r\nA: b\r\n"), proxy.EOF},
		{"garbage", says("SSH-2.0-OpenSSH_9.9\r\n\r\n"), proxy.Garbage},
		{"HTTP/0.9", says("<html>hello</html>"), proxy.Garbage},
		{"407", says("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), proxy.AuthRequired},
		{"own 503", says("HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 0\r\n\r\n"), proxy.BadGateway},
		{"own 403", says("HTTP/1.1 403 No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 0\r\n\r\n"), proxy.Garbage},
		{"own 504", says("HTTP/1.1 504 No\r\nServer: tinyproxy/1.11\r\nContent-Length: 0\r\n\r\n"), proxy.BadGateway},
		{"own 400", says("HTTP/1.1 400 No\r\nServer: squid/5.7\r\nVia: 1.1 box (squid/5.7)\r\nContent-Length: 0\r\n\r\n"), proxy.Garbage},
		{"two lengths", says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), proxy.Garbage},
		{"length and coding", says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), proxy.Garbage},
		{"NUL in a header", says("HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n"), proxy.Garbage},
		{"bare CR in a header", says("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"), proxy.Garbage},
		{"endless header", says("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: bbbbbbbbbbbbbb\r\n", 20_000)), proxy.Garbage},
		{"switching unasked", says("HTTP/1.1 101 Switching Protocols\r\n\r\n"), proxy.Garbage},
		{"100 without end", says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)), proxy.Garbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{Timeouts: quick}, c.make(t), honest(t))
			p, err := r.client("").Get(o.URL + "/x")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(p.Body)
			p.Body.Close()
			if string(body) != "GET /x " {
				t.Errorf("answer %v %q", p.Status, body)
			}
			outs := r.p.outcomes(t, 2)
			if outs[0].Class != c.class || outs[1].Class != proxy.OK {
				t.Errorf("outcomes %v %v, want %v and ok", outs[0].Class, outs[1].Class, c.class)
			}
		})
	}
}

// TestPostIsNeverSentTwice: once bytes went out, a POST fails rather than
// going to another upstream; before that it may go on.
func TestPostIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hits.Add(1)
	}))
	t.Cleanup(o.Close)
	for _, c := range []struct {
		name string
		ep   proxy.Endpoint
		want int64
		code int
	}{
		{"reset after the request", resetting(t), 0, 502},
		{"refused", refused(t), 1, 200},
	} {
		hits.Store(0)
		r := newRig(t, gateway.Config{Timeouts: quick}, c.ep, honest(t))
		for _, body := range []io.Reader{strings.NewReader("id=1"), io.MultiReader(strings.NewReader("id=2"))} {
			p, err := r.client("").Post(o.URL, "text/plain", body)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			p.Body.Close()
			if p.StatusCode != c.code {
				t.Errorf("%s: %v, want %d", c.name, p.Status, c.code)
			}
		}
		if n := hits.Load(); n != 2*c.want {
			t.Errorf("%s: %d requests at the target, want %d", c.name, n, 2*c.want)
		}
	}
}

// TestRetriedBodyIsWhole: a PUT that may be repeated arrives whole at the
// second upstream.
func TestRetriedBodyIsWhole(t *testing.T) {
	t.Parallel()
	o := origin(t)
	cfg := gateway.Config{Timeouts: quick, Retry: gateway.Retry{Methods: []string{"PUT"}}}
	r := newRig(t, cfg, resetting(t), honest(t))
	body := strings.Repeat("0123456789", 20_000)
	req, _ := http.NewRequest("PUT", o.URL+"/p", io.MultiReader(strings.NewReader(body)))
	p, err := r.client("").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(p.Body)
	p.Body.Close()
	if string(got) != "PUT /p "+body {
		t.Errorf("got %d bytes, want %d", len(got), len(body)+7)
	}
}

// TestTargetAnswersPass: what the target says is passed on and never blamed on
// the upstream.
func TestTargetAnswersPass(t *testing.T) {
	t.Parallel()
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "120")
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
	}))
	t.Cleanup(o.Close)
	for _, c := range []struct {
		status int
		class  proxy.Class
	}{{200, proxy.OK}, {404, proxy.OK}, {500, proxy.OK}, {502, proxy.OK}, {403, proxy.Banned}, {429, proxy.Banned}, {503, proxy.Banned}} {
		r := newRig(t, gateway.Config{}, honest(t), honest(t))
		p, err := r.client("").Get(fmt.Sprintf("%s/%d", o.URL, c.status))
		if err != nil {
			t.Fatal(err)
		}
		p.Body.Close()
		out := r.p.outcomes(t, 1)[0]
		if p.StatusCode != c.status || out.Class != c.class || out.Status != c.status || p.Header.Get("Freeway-Error") != "" {
			t.Errorf("%d: answered %v, outcome %v %d, want %v", c.status, p.Status, out.Class, out.Status, c.class)
		}
		if c.class == proxy.Banned && out.RetryAfter != 2*time.Minute {
			t.Errorf("%d: Retry-After %v", c.status, out.RetryAfter)
		}
	}
}

func TestOnStatusTriesOneMoreExit(t *testing.T) {
	t.Parallel()
	o := origin(t)
	banned := answering(t, proxy.HTTP, "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nbanned")
	cfg := gateway.Config{Retry: gateway.Retry{OnStatus: []int{403}}}
	r := newRig(t, cfg, banned, honest(t))
	p, err := r.client("").Get(o.URL)
	if err != nil || p.StatusCode != 200 {
		t.Errorf("answer %v, %v", p, err)
	}
	p.Body.Close()
	alone := newRig(t, cfg, banned)
	p, err = alone.client("").Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(p.Body)
	p.Body.Close()
	if p.StatusCode != 403 || string(body) != "banned" {
		t.Errorf("with nowhere else to go: %v %q", p.Status, body)
	}
}

// TestOwnAnswers checks status, code and headers of the gateway's own answers.
func TestOwnAnswers(t *testing.T) {
	t.Parallel()
	none := func(t *testing.T, err error) *rig {
		return startRig(t, gateway.Config{}, &picker{err: err, changed: make(chan struct{})})
	}
	for _, c := range []struct {
		name   string
		rig    func(*testing.T) *rig
		status int
		code   string
		retry  string
	}{
		{"none", func(t *testing.T) *rig { return none(t, &proxy.NoneError{Reason: "x", RetryAfter: 7 * time.Second}) }, 503, "no_upstream", "7"},
		{"none, plain", func(t *testing.T) *rig { return none(t, fmt.Errorf("pick: %w", proxy.ErrNone)) }, 503, "no_upstream", "15"},
		{"session", func(t *testing.T) *rig { return none(t, proxy.ErrSessionLost) }, 502, "session_lost", ""},
		{"target", func(t *testing.T) *rig { return none(t, proxy.ErrTargetDown) }, 502, "target_down", ""},
		{"internal", func(t *testing.T) *rig { return none(t, errors.New("x")) }, 500, "internal", ""},
		{"failed", func(t *testing.T) *rig { return newRig(t, gateway.Config{}, refused(t), refused(t)) }, 502, "upstreams_failed", ""},
		{"attempts", func(t *testing.T) *rig {
			return newRig(t, gateway.Config{Retry: gateway.Retry{Attempts: 1}}, refused(t), honest(t))
		}, 502, "upstreams_failed", ""},
		{"deadline", func(t *testing.T) *rig {
			return newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Total: 200 * time.Millisecond}}, silent(t), honest(t))
		}, 504, "deadline", ""},
	} {
		for _, method := range []string{"CONNECT", "GET", "POST"} {
			t.Run(c.name+" "+method, func(t *testing.T) {
				t.Parallel()
				r := c.rig(t)
				w := r.conn()
				target := "http://127.0.0.1:1/"
				if method == "CONNECT" {
					target = "127.0.0.1:1"
				}
				w.send(method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: 0\r\n\r\n")
				p, body := w.answer(method)
				if p.StatusCode != c.status || p.Header.Get("Freeway-Error") != c.code || p.Header.Get("Retry-After") != c.retry ||
					!strings.HasPrefix(p.Header.Get("Proxy-Status"), "freeway; error=") || p.Header.Get("Freeway-Request-Id") == "" {
					t.Errorf("%v %v %q, want %d %s", p.Status, p.Header, body, c.status, c.code)
				}
				tr := r.p.trace(t, 1)
				if tr.ID != p.Header.Get("Freeway-Request-Id") || tr.Status != c.status || tr.Code != c.code || tr.Method != method {
					t.Errorf("trace %+v", tr)
				}
			})
		}
	}
}

// TestNothingIsDialledDirectly: whatever fails, the target sees no connection.
func TestNothingIsDialledDirectly(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	target := serve(t, func(*wire) { hits.Add(1) })
	r := newRig(t, gateway.Config{Timeouts: quick}, refused(t), resetting(t), answering(t, proxy.HTTP, "HTTP/1.1 403 No\r\n\r\n"))
	for range 3 {
		for _, head := range []string{"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n", "POST http://%s/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", "CONNECT %s HTTP/1.1\r\n\r\n"} {
			w := r.conn()
			w.send(fmt.Sprintf(head, target))
			w.answer("GET")
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d direct connections to the target", n)
	}
}

// TestLastTryIsOfTheNextPool: when all tries but as many as there are other pools failed, each begins with
// the next of them; a session keeps to the order it has.
func TestLastTryIsOfTheNextPool(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, user string
		pools      []string
		want       [][]string
	}{
		{"two", "", []string{"public", "own"}, [][]string{{"public", "own"}, {"public", "own"}, {"own", "public"}}},
		{"three", "", []string{"a", "b", "c"}, [][]string{{"a", "b", "c"}, {"b", "c", "a"}, {"c", "a", "b"}}},
		{"one", "", []string{"public"}, [][]string{{"public"}, {"public"}, {"public"}}},
		{"session", "bob-session-a", []string{"public", "own"}, nil},
		{"one try", "bob-retry-1", []string{"public", "own"}, [][]string{{"public", "own"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := gateway.Config{Pools: tt.pools, Retry: gateway.Retry{Attempts: 3}}
			r := newRig(t, cfg, refused(t), refused(t), refused(t), honest(t))
			resp, err := r.client(tt.user).Get(origin(t).URL)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			asked := r.p.asked()
			for i, w := range asked {
				switch {
				case tt.want == nil && !slices.Equal(w.Pools, tt.pools):
					t.Errorf("pick %d is from %v, want %v", i, w.Pools, tt.pools)
				case tt.want != nil && (i >= len(tt.want) || !slices.Equal(w.Pools, tt.want[i])):
					t.Errorf("pick %d is from %v, want %v", i, w.Pools, tt.want)
				}
			}
			if len(asked) < len(tt.want) {
				t.Errorf("%d picks, want %d", len(asked), len(tt.want))
			}
		})
	}
}
