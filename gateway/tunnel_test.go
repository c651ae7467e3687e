package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// granting is an upstream that grants every tunnel and then does as told.
func granting(t *testing.T, handle func(c *wire)) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		if len(c.head()) == 0 {
			return
		}
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		handle(c)
	})
}

// open asks for a tunnel.
func (w *wire) open(target string) {
	w.t.Helper()
	w.send("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n")
	if p, body := w.answer("CONNECT"); p.StatusCode != 200 {
		w.t.Fatalf("CONNECT: %v %s", p.Status, body)
	}
}

// TestHalfCloseBothWays: the end of one direction leaves the other open.
func TestHalfCloseBothWays(t *testing.T) {
	t.Parallel()
	const late = "what came after the end"
	target := serve(t, func(c *wire) {
		sent, _ := io.ReadAll(c.r)
		_, _ = io.WriteString(c.Conn, strings.ToUpper(string(sent))+late)
	})
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	w.open(target.String())
	w.send("question")
	if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := w.rest(); got != "QUESTION"+late {
		t.Errorf("got %q", got)
	}
	tr := r.p.trace(t, 1)
	if tr.Up != 8 || tr.Down != int64(8+len(late)) || tr.Status != 200 {
		t.Errorf("trace %+v", tr)
	}

	heard := make(chan string, 1)
	first := serve(t, func(c *wire) { // the target ends first, the client still has to say something
		_, _ = io.WriteString(c.Conn, "bye")
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c.r)
		heard <- string(got)
	})
	w = r.conn()
	w.open(first.String())
	if got := w.rest(); got != "bye" {
		t.Errorf("got %q", got)
	}
	w.send("last words")
	_ = w.Close()
	if got := <-heard; got != "last words" {
		t.Errorf("the target got %q", got)
	}
	r.p.trace(t, 2)
}

// TestBytesBehindConnect: what either side sends right behind the handshake arrives.
func TestBytesBehindConnect(t *testing.T) {
	t.Parallel()
	eager := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nearly bird")
		_, _ = io.Copy(c.Conn, c.r)
	})
	r := newRig(t, gateway.Config{}, eager)
	w := r.conn()
	w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nworm!")
	w.answer("CONNECT")
	w.expect("early birdworm!")
	_ = w.Conn.(*net.TCPConn).CloseWrite()
	if rest := w.rest(); rest != "" {
		t.Errorf("rest %q", rest)
	}
}

// TestSuccessIsSaidLate: the client hears 200 only when an upstream's tunnel is up.
func TestSuccessIsSaidLate(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	slow := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		<-hold
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 403 No\r\n\r\n")
	})
	r := newRig(t, gateway.Config{}, slow)
	w := r.conn()
	w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = w.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if b, err := w.r.Peek(1); err == nil {
		t.Errorf("an answer before the upstream's: %q", b)
	}
	close(hold)
	_ = w.SetReadDeadline(time.Now().Add(patience))
	if p, _ := w.answer("CONNECT"); p.StatusCode != 502 {
		t.Errorf("answer %v, want 502", p.Status)
	}
}

func TestBulkThroughTunnel(t *testing.T) {
	t.Parallel()
	data := make([]byte, 8<<20)
	src := rand.NewChaCha8([32]byte{})
	_, _ = src.Read(data)
	target := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r); _ = c.Conn.(*net.TCPConn).CloseWrite() })
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	w.open(target.String())
	go func() {
		_, _ = w.Conn.Write(data)
		_ = w.Conn.(*net.TCPConn).CloseWrite()
	}()
	h := sha256.New()
	n, err := io.Copy(h, w.r)
	if want := sha256.Sum256(data); err != nil || n != int64(len(data)) || !bytes.Equal(h.Sum(nil), want[:]) {
		t.Errorf("%d bytes, %v, or other bytes", n, err)
	}
}

// badTunnels are upstreams that grant a tunnel and do not deliver.
func badTunnels(t *testing.T) map[string]struct {
	ep    proxy.Endpoint
	class proxy.Class
} {
	read := func(c *wire) { _, _ = c.r.Peek(1) }
	return map[string]struct {
		ep    proxy.Endpoint
		class proxy.Class
	}{
		"silence": {granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }), proxy.Timeout},
		"end":     {granting(t, read), proxy.EOF},
		"end at once": {granting(t, func(c *wire) {
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c.r)
		}), proxy.EOF},
		"reset": {granting(t, func(c *wire) { read(c); _ = c.Conn.(*net.TCPConn).SetLinger(0) }), proxy.Reset},
		"HTML":  {granting(t, func(c *wire) { read(c); _, _ = io.WriteString(c.Conn, "<html>buy</html>") }), proxy.BadTLS},
		"HTTP":  {granting(t, func(c *wire) { read(c); _, _ = io.WriteString(c.Conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }), proxy.BadTLS},
	}
}

// TestFirstFlightIsReplayed: a client that speaks TLS does not notice an
// upstream whose tunnel leads nowhere.
func TestFirstFlightIsReplayed(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(o.Close)
	for name, bad := range badTunnels(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{Timeouts: quick}, bad.ep, honest(t))
			c := r.client("")
			c.Transport.(*http.Transport).TLSClientConfig = o.Client().Transport.(*http.Transport).TLSClientConfig
			p, err := c.Get(o.URL)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(p.Body)
			p.Body.Close()
			if string(body) != "secret" {
				t.Errorf("body %q", body)
			}
			c.CloseIdleConnections()
			outs := r.p.outcomes(t, 2)
			if outs[0].Stage != proxy.StageTunnel || outs[0].Class != bad.class || outs[1].Class != proxy.OK {
				t.Errorf("outcomes %v %v, %v; want tunnel %v, ok", outs[0].Stage, outs[0].Class, outs[1].Class, bad.class)
			}
		})
	}
}

// TestFirstFlightIsNotReplayed in a strict session, when the client says so,
// and when all upstreams fail: then the client sees an error.
func TestFirstFlightIsNotReplayed(t *testing.T) {
	t.Parallel()
	html := func() proxy.Endpoint {
		return granting(t, func(c *wire) { _, _ = c.r.Peek(1); _, _ = io.WriteString(c.Conn, "<html>buy</html>") })
	}
	for _, c := range []struct {
		user string
		ups  int
		want int // attempts
	}{{"bob-session-a-strict", 3, 1}, {"bob-replay-off", 3, 1}, {"bob", 3, 3}, {"bob-retry-2", 3, 2}} {
		var ups []proxy.Endpoint
		for range c.ups {
			ups = append(ups, html())
		}
		r := newRig(t, gateway.Config{}, ups...)
		u, _ := url.Parse("http://" + c.user + ":@" + r.addr)
		tr := &http.Transport{Proxy: http.ProxyURL(u)}
		if p, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://127.0.0.1:9/"); err == nil {
			p.Body.Close()
			t.Errorf("%s: an answer %v", c.user, p.Status)
		}
		tr.CloseIdleConnections()
		if got := r.p.trace(t, 1); len(got.Attempts) != c.want {
			t.Errorf("%s: %d attempts, want %d: %+v", c.user, len(got.Attempts), c.want, got.Attempts)
		}
	}
}

// TestOpaqueTunnels: what is not TLS is passed through as it is, once, and the
// upstream is judged by whether anything came back.
func TestOpaqueTunnels(t *testing.T) {
	t.Parallel()
	greeting := granting(t, func(c *wire) { // the server speaks first
		_, _ = io.WriteString(c.Conn, "220 ready\r\n")
		_, _ = io.Copy(c.Conn, c.r)
	})
	r := newRig(t, gateway.Config{}, greeting)
	w := r.conn()
	w.open("127.0.0.1:21")
	w.expect("220 ready\r\n")
	w.send("\x16\x03\x01") // the byte of TLS does not matter any more
	w.expect("\x16\x03\x01")
	_ = w.Close()
	if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.OK {
		t.Errorf("outcome %v", o.Class)
	}

	broken := granting(t, func(c *wire) { _, _ = c.r.Peek(1) })
	r = newRig(t, gateway.Config{}, broken, honest(t))
	w = r.conn()
	w.open("127.0.0.1:21")
	w.send("GET / HTTP/1.0\r\n\r\n")
	_, _ = io.ReadAll(w.r)
	outs := r.p.outcomes(t, 1)
	if len(outs) != 1 || outs[0].Class != proxy.EOF && outs[0].Class != proxy.Reset || outs[0].Stage != proxy.StageTunnel {
		t.Errorf("outcomes %+v", outs)
	}

	odd := granting(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }) // an echo is not TLS, but neither was the question
	r = newRig(t, gateway.Config{}, odd)
	w = r.conn()
	w.open("127.0.0.1:443")
	const almost = "\x16\x03\x01\x00\x05hello and more"
	w.send(almost)
	w.expect(almost)
}

// TestClientGoesAway: nobody is blamed.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 4)
	mute := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c.r)
	})
	for _, head := range []string{"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n"} {
		r := newRig(t, gateway.Config{}, mute, honest(t))
		w := r.conn()
		w.send(head)
		<-asked
		_ = w.Conn.(*net.TCPConn).SetLinger(0)
		_ = w.Close()
		tr := r.p.trace(t, 1)
		if out := r.p.outcomes(t, 1); len(out) != 1 || out[0].Class != proxy.Canceled || tr.Code != "client_gone" {
			t.Errorf("%.7s: outcomes %+v, code %s", head, out, tr.Code)
		}
	}
}

func TestIdleAndOldTunnelsAreCut(t *testing.T) {
	t.Parallel()
	quiet := func() proxy.Endpoint { return granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }) }
	busy := granting(t, func(c *wire) {
		for {
			if _, err := io.WriteString(c.Conn, "x"); err != nil {
				return
			}
		}
	})
	for name, r := range map[string]*rig{
		"idle": newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Idle: 200 * time.Millisecond}}, quiet()),
		"old":  newRig(t, gateway.Config{Tunnel: gateway.Tunnel{MaxAge: 200 * time.Millisecond}}, busy),
	} {
		w := r.conn()
		w.open("127.0.0.1:9")
		start := time.Now()
		_, _ = io.Copy(io.Discard, w.r)
		if took := time.Since(start); took < 150*time.Millisecond || took > patience-time.Second {
			t.Errorf("%s: cut after %v", name, took)
		}
		r.p.trace(t, 1)
	}
}

// TestResetIsPassedOn: a connection that is reset half-way does not look like one that ended.
func TestResetIsPassedOn(t *testing.T) {
	t.Parallel()
	cut := granting(t, func(c *wire) {
		_, _ = io.WriteString(c.Conn, "half of it")
		_, _ = c.r.Peek(1)
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	})
	r := newRig(t, gateway.Config{}, cut)
	w := r.conn()
	w.open("127.0.0.1:9")
	w.expect("half of it")
	w.send("go on")
	if b, err := io.ReadAll(w.r); err == nil {
		t.Errorf("a clean end after %q", b)
	}
}

func TestWebSocketThroughPlainHTTP(t *testing.T) {
	t.Parallel()
	target := serve(t, func(c *wire) {
		head := strings.Join(c.head(), "\n")
		if !strings.HasPrefix(head, "GET /chat HTTP/1.1\n") || !strings.Contains(head, "\nConnection: Upgrade\nUpgrade: websocket") ||
			!strings.Contains(head, "Sec-WebSocket-Key: k") {
			t.Errorf("the target got %q", head)
		}
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: a\r\nContent-Length: 5\r\n\r\nfirst")
		_, _ = io.Copy(c.Conn, c.r)
	})
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	w.send("GET http://" + target.String() + "/chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	head := w.head()
	if len(head) == 0 || head[0] != "HTTP/1.1 101 Switching Protocols" || !strings.Contains(strings.Join(head, "\n"), "Upgrade: websocket") || strings.Contains(strings.Join(head, "\n"), "Content-Length") {
		t.Fatalf("answer %q", head)
	}
	w.expect("first")
	w.send("frame")
	w.expect("frame")
	_ = w.Close()
	if tr := r.p.trace(t, 1); tr.Status != 101 || tr.Attempts[0].Class != proxy.OK {
		t.Errorf("trace %+v", tr)
	}
	if need := r.p.asked()[0].Need; need != proxy.NeedTunnelAny {
		t.Errorf("an upstream is asked for that can %v, want a tunnel to any port", need)
	}
}

// TestSwitchToAnother: a target may only switch to what was asked for (RFC 9110 section 7.8).
func TestSwitchToAnother(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"Upgrade: h2c\r\n", ""} {
		target := serve(t, func(c *wire) {
			c.head()
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"+field+"\r\nfirst")
			_, _ = io.Copy(io.Discard, c.r)
		})
		r := newRig(t, gateway.Config{}, honest(t))
		w := r.conn()
		w.send("GET http://" + target.String() + "/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if p, _ := w.answer("GET"); p.StatusCode != 502 {
			t.Errorf("%q: answer %v, want 502", field, p.Status)
		}
	}
}

// TestUpgradedHalfClose: after 101 a client may end its half, and gets what the
// target still says.
func TestUpgradedHalfClose(t *testing.T) {
	t.Parallel()
	const rest = 300_000
	target := serve(t, func(c *wire) {
		c.head()
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(io.Discard, c.r)
		_, _ = io.WriteString(c.Conn, strings.Repeat("x", rest))
	})
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	w.send("GET http://" + target.String() + "/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if head := w.head(); len(head) == 0 || head[0] != "HTTP/1.1 101 Switching Protocols" {
		t.Fatalf("answer %q", head)
	}
	if err := w.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(w.r)
	if err != nil || len(b) != rest {
		t.Errorf("%d bytes, %v, want %d", len(b), err, rest)
	}
	if tr := r.p.trace(t, 1); tr.Down != rest {
		t.Errorf("trace %+v", tr)
	}
}

// TestTLSToTheGatewayItself refuses TLS on the plain port at once.
func TestTLSToTheGatewayItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{})
	w := r.conn()
	err := tls.Client(w.Conn, &tls.Config{ServerName: "x"}).Handshake()
	if err == nil {
		t.Error("the plain port speaks TLS")
	}
}
