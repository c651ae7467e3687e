package gateway_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// record makes a TLS record.
func record(kind byte, payload string) string {
	return string([]byte{kind, 3, 3, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

// helloOf is the first flight of a TLS client.
func helloOf(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(ours, &tls.Config{ServerName: "a.test"}).Handshake() }()
	defer ours.Close()
	b := make([]byte, 4096)
	_ = theirs.SetDeadline(time.Now().Add(patience))
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

var serverHello = record(22, "\x02\x00\x00\x04abcd")

// TestTunnelThatBreaks: what an upstream does to a tunnel after the answer has
// begun is reported, once, when the tunnel ends.
func TestTunnelThatBreaks(t *testing.T) {
	t.Parallel()
	reset := func(c *wire) { _ = c.Conn.(*net.TCPConn).SetLinger(0) }
	for _, tt := range []struct {
		name  string
		end   func(c *wire)
		stage proxy.Stage
		class proxy.Class
	}{
		{"reset", reset, proxy.StageBody, proxy.Reset},
		{"end", func(*wire) {}, proxy.StageTunnel, proxy.OK},
		{"end inside a record", func(c *wire) { c.send("\x17\x03\x03\x40\x00half") }, proxy.StageBody, proxy.Truncated},
		{"end inside the head of a record", func(c *wire) { c.send("\x17\x03") }, proxy.StageBody, proxy.Truncated},
		{"end behind records", func(c *wire) { c.send(record(23, "data") + record(21, "\x01\x00")) }, proxy.StageTunnel, proxy.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hello := helloOf(t)
			up := granting(t, func(c *wire) {
				c.expect(hello)
				c.send(serverHello)
				c.expect("on")
				tt.end(c)
			})
			r := newRig(t, gateway.Config{}, up, honest(t))
			w := r.conn()
			w.open("127.0.0.1:443")
			w.send(hello)
			w.expect(serverHello)
			w.send("on")
			_, _ = io.ReadAll(w.r)
			_ = w.Close()
			tr := r.p.trace(t, 1)
			out := r.p.outcomes(t, 1)
			if len(out) != 1 || out[0].Stage != tt.stage || out[0].Class != tt.class || out[0].Phases.Total() == 0 || len(tr.Attempts) != 1 {
				t.Errorf("outcomes %+v, want one %v %v", out, tt.stage, tt.class)
			}
		})
	}
}

// TestClientEndsTunnel: whatever the client does to a tunnel that answered, the upstream worked.
func TestClientEndsTunnel(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *net.TCPConn){
		"close": func(c *net.TCPConn) { _ = c.Close() },
		"reset": func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		up := granting(t, func(c *wire) {
			_, _ = c.r.Peek(1)
			c.send("answer")
			_, _ = io.Copy(io.Discard, c.r)
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		})
		r := newRig(t, gateway.Config{}, up)
		w := r.conn()
		w.open("127.0.0.1:9")
		w.send("question")
		w.expect("answer")
		end(w.Conn.(*net.TCPConn))
		if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.OK || o.Stage != proxy.StageTunnel {
			t.Errorf("%s: outcome %v %v, want tunnel ok", name, o.Stage, o.Class)
		}
	}
}

// TestTunnelIsCreditedEarly: by bytes or by time, before it ends.
func TestTunnelIsCreditedEarly(t *testing.T) {
	t.Parallel()
	const much = 80 << 10
	for _, tt := range []struct {
		name   string
		size   int
		credit time.Duration
	}{{"bytes", much, time.Hour}, {"time", 1, 50 * time.Millisecond}} {
		up := granting(t, func(c *wire) {
			_, _ = c.r.Peek(1)
			c.send(strings.Repeat("x", tt.size))
			_, _ = io.Copy(io.Discard, c.r)
		})
		p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(up, 1)}}
		r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetCredit(tt.credit) })
		w := r.conn()
		w.open("127.0.0.1:9")
		w.send("go")
		if _, err := io.CopyN(io.Discard, w.r, int64(tt.size)); err != nil {
			t.Fatal(err)
		}
		if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.OK { // the tunnel is still up
			t.Errorf("%s: outcome %v", tt.name, o.Class)
		}
		w.send("and on")
		_ = w.Close()
	}
}

// TestTunnelGoesOn: a tunnel carries what it should in the goroutine that set it up
// and in one of its own, whoever speaks first, and to the end of both sides.
func TestTunnelGoesOn(t *testing.T) {
	t.Parallel()
	for _, soon := range []time.Duration{time.Nanosecond, time.Hour} {
		for _, first := range []string{"", "220 hello\r\n"} {
			for _, early := range []string{"", "line -1\n"} { // sent with the request, so it is never too late
				up := granting(t, func(c *wire) {
					c.send(first)
					for {
						line, err := c.r.ReadString('\n')
						if err != nil {
							break
						}
						c.send("got " + line)
					}
					c.send("bye")
				})
				p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(up, 1)}}
				r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetSoon(soon) })
				w := r.conn()
				w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n" + early)
				if p, _ := w.answer("CONNECT"); p.StatusCode != 200 {
					t.Fatal(p.Status)
				}
				w.expect(first)
				if early != "" {
					w.expect("got " + early)
				}
				for i := range 3 {
					line := fmt.Sprintf("line %d\n", i)
					w.send(line)
					w.expect("got " + line)
				}
				if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if rest := w.rest(); rest != "bye" {
					t.Errorf("%v, %q, %q: at the end came %q", soon, first, early, rest)
				}
				if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.OK {
					t.Errorf("%v, %q, %q: outcome %v", soon, first, early, o.Class)
				}
			}
		}
	}
}

// TestPageBeforeTheClientSpeaks: what an upstream sends behind its 200 does
// not reach a client that is about to speak TLS.
func TestPageBeforeTheClientSpeaks(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(o.Close)
	for _, page := range []string{"<html>buy</html>", "HTTP/1.1 200 OK\r\n\r\n", "\x16", "\x16\x03\x01\x00\x05hello"} {
		bad := upstream(t, proxy.HTTP, func(c *wire) {
			c.head()
			c.send("HTTP/1.1 200 OK\r\n\r\n" + page)
		})
		r := newRig(t, gateway.Config{}, bad, honest(t))
		c := r.client("")
		c.Transport.(*http.Transport).TLSClientConfig = o.Client().Transport.(*http.Transport).TLSClientConfig
		p, err := c.Get(o.URL)
		if err != nil {
			t.Fatalf("%q: %v", page, err)
		}
		p.Body.Close()
		out := r.p.outcomes(t, 1)[0]
		if out.Stage != proxy.StageTunnel || !slices.Contains([]proxy.Class{proxy.Garbage, proxy.BadTLS, proxy.EOF, proxy.Reset}, out.Class) {
			t.Errorf("%q: outcome %v %v, want a failed tunnel", page, out.Stage, out.Class)
		}
	}
}

// TestPageThenLateClient: a client that speaks TLS only after the hold gets the
// page, but the upstream gets no credit for it.
func TestPageThenLateClient(t *testing.T) {
	t.Parallel()
	const page = "<html>buy</html>"
	bad := granting(t, func(c *wire) { c.send(page); _, _ = io.Copy(io.Discard, c.r) })
	r := newRig(t, gateway.Config{}, bad)
	w := r.conn()
	w.open("127.0.0.1:443")
	w.expect(page)
	w.send(helloOf(t))
	_ = w.Close()
	if out := r.p.outcomes(t, 1)[0]; out.Stage != proxy.StageTunnel || out.Class != proxy.Garbage {
		t.Errorf("outcome %v %v, want tunnel garbage", out.Stage, out.Class)
	}
}

// TestPageInStrictSession: where nothing is replayed the client gets the page,
// and the upstream the blame.
func TestPageInStrictSession(t *testing.T) {
	t.Parallel()
	const page = "<html>buy</html>"
	for _, user := range []string{"bob-session-a-strict", "bob-replay-off"} {
		bad := granting(t, func(c *wire) { _, _ = c.r.Peek(1); c.send(page); _, _ = io.Copy(io.Discard, c.r) })
		r := newRig(t, gateway.Config{}, bad, honest(t))
		w := r.conn()
		w.send("CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\nFreeway-Options: " + user[4:] + "\r\n\r\n")
		w.answer("CONNECT")
		w.send(helloOf(t))
		w.expect(page)
		_ = w.Close()
		if out := r.p.outcomes(t, 1)[0]; out.Stage != proxy.StageTunnel || out.Class != proxy.Garbage {
			t.Errorf("%s: outcome %v %v, want tunnel garbage", user, out.Stage, out.Class)
		}
	}
}

// TestImplausibleTLS is replayed, however it is cut up.
func TestImplausibleTLS(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(o.Close)
	alert := record(21, "\x02\x28")
	for name, tt := range map[string]struct {
		text  string
		class proxy.Class
	}{
		"one byte":           {"\x16", proxy.EOF},
		"half a head":        {"\x16\x03\x03", proxy.EOF},
		"half a record":      {serverHello[:8], proxy.EOF},
		"version 2":          {"\x16\x02\x00\x00\x04abcd", proxy.BadTLS},
		"client's own hello": {record(22, "\x01\x00\x00\x04abcd"), proxy.BadTLS},
		"empty record":       {record(22, ""), proxy.EOF},
		"alert":              {alert, proxy.BadTLS},
		"data":               {record(23, "abcd"), proxy.BadTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := granting(t, func(c *wire) {
				_, _ = c.r.Peek(1)
				_, _ = c.r.Discard(c.r.Buffered())
				c.send(tt.text)
				_ = c.Conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c.r)
			})
			r := newRig(t, gateway.Config{Timeouts: quick}, bad, honest(t))
			c := r.client("")
			c.Transport.(*http.Transport).TLSClientConfig = o.Client().Transport.(*http.Transport).TLSClientConfig
			p, err := c.Get(o.URL)
			if err != nil {
				t.Fatal(err)
			}
			p.Body.Close()
			if out := r.p.outcomes(t, 1)[0]; out.Stage != proxy.StageTunnel || out.Class != tt.class {
				t.Errorf("outcome %v %v, want tunnel %v", out.Stage, out.Class, tt.class)
			}
		})
	}
}

// TestAlertOfTheTarget: when two upstreams bring an alert, or there is nothing
// else to try, the client gets it and nobody is blamed, not the target either:
// it is the client's hello that does not please.
func TestAlertOfTheTarget(t *testing.T) {
	t.Parallel()
	alert := record(21, "\x02\x70")
	alerting := func() proxy.Endpoint {
		return granting(t, func(c *wire) {
			_, _ = c.r.Peek(1)
			c.send(alert)
			_, _ = io.Copy(io.Discard, c.r)
		})
	}
	for _, tt := range []struct {
		user string
		ups  []proxy.Endpoint
		want []proxy.Class
	}{
		{"bob", []proxy.Endpoint{alerting()}, []proxy.Class{proxy.Canceled}},
		{"bob", []proxy.Endpoint{alerting(), alerting()}, []proxy.Class{proxy.OK, proxy.OK}},
		{"bob", []proxy.Endpoint{alerting(), alerting(), alerting(), alerting()}, []proxy.Class{proxy.OK, proxy.OK}},
		{"bob", []proxy.Endpoint{alerting(), refused(t)}, []proxy.Class{proxy.Refused, proxy.Canceled}},
		{"bob-retry-1", []proxy.Endpoint{alerting(), alerting()}, []proxy.Class{proxy.Canceled}},
		{"bob-session-a", []proxy.Endpoint{alerting(), alerting()}, []proxy.Class{proxy.Canceled}},
	} {
		r := newRig(t, gateway.Config{}, tt.ups...)
		w := r.conn()
		w.send("CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(tt.user+":")) + "\r\n\r\n")
		w.answer("CONNECT")
		w.send(helloOf(t))
		w.expect(alert)
		_ = w.Close()
		r.p.trace(t, 1)
		var got []proxy.Class
		for _, o := range r.p.outcomes(t, len(tt.want)) {
			got = append(got, o.Class)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s, %d upstreams: outcomes %v, want %v", tt.user, len(tt.ups), got, tt.want)
		}
		if n := len(r.p.asked()); n > len(tt.ups)+1 {
			t.Errorf("%s: %d picks", tt.user, n)
		}
		r.p.await(t, "leases given back", func() bool { return r.p.leased == 0 })
	}
}

// TestPlainHTTPRefusedInTunnels: with plain_http refuse nothing but TLS goes
// through a tunnel of a public upstream.
func TestPlainHTTPRefusedInTunnels(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, pool, send string
		want             string // what the upstream gets
		code             string
	}{
		{"HTTP, public", proxy.PublicPool, "GET / HTTP/1.1\r\n\r\n", "", "plain_http"},
		{"HTTP, unnamed", "", "GET / HTTP/1.1\r\n\r\n", "", "plain_http"},
		{"HTTP behind a byte of TLS", proxy.PublicPool, "\x16ET / HTTP/1.1\r\n\r\n", "", "plain_http"},
		{"nothing", proxy.PublicPool, "", "", ""},
		{"HTTP, own", "own", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", ""},
		{"TLS, public", proxy.PublicPool, helloOf(t), "\x16", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan []byte, 1)
			up := granting(t, func(c *wire) {
				c.send("220 hello\r\n")
				b := make([]byte, 18)
				n, _ := io.ReadAtLeast(c.r, b, max(1, len(tt.want)))
				got <- b[:n]
			})
			e := entry(up, 1)
			e.Pool = tt.pool
			p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{e}}
			r := startRig(t, gateway.Config{PlainHTTP: "refuse", Retry: gateway.Retry{Attempts: 1}}, p)
			w := r.conn()
			w.open("127.0.0.1:80")
			w.send(tt.send)
			if tt.send == "" {
				_ = w.Conn.(*net.TCPConn).CloseWrite()
			}
			if b := <-got; !bytes.HasPrefix(b, []byte(tt.want)) || tt.want == "" && len(b) > 0 {
				t.Errorf("the upstream got %q, want %q", b, tt.want)
			}
			_ = w.Close()
			tr := r.p.trace(t, 1)
			if tt.want == "" && (tr.Code != tt.code || tr.Down != 0 || tr.Up != 0 || tr.Attempts[0].Class != proxy.Canceled) {
				t.Errorf("trace %+v, want code %q and not a byte", tr, tt.code)
			}
		})
	}
}
