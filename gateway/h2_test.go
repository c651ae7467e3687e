//lint:file-ignore SA1019 only this package lets a test send any stream over a connection of its own

package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	xproxy "golang.org/x/net/proxy"

	"freeway/gateway"
	"freeway/proxy"
)

// secured is a rig with a TLS listener.
func secured(t *testing.T, cfg gateway.Config, ups ...proxy.Endpoint) (r *rig, addr string, roots *x509.CertPool) {
	t.Helper()
	cert, key, roots := certificate(t, t.TempDir(), 1)
	cfg.TLS = gateway.TLS{Listen: "127.0.0.1:0", Cert: cert, Key: key}
	r = newRig(t, cfg, ups...)
	return r, r.g.Addrs()[1].String(), roots
}

// dialTLS opens a connection inside TLS and agrees on a protocol.
func dialTLS(t *testing.T, addr string, roots *x509.CertPool, protocols ...string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost", RootCAs: roots, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// overH2 opens an HTTP/2 connection.
func overH2(t *testing.T, addr string, roots *x509.CertPool) *http2.ClientConn {
	t.Helper()
	cc, err := new(http2.Transport).NewClientConn(dialTLS(t, addr, roots, "h2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// connectH2 asks for a tunnel; what is written to in goes through it.
func connectH2(t *testing.T, cc *http2.ClientConn, target string, header http.Header) (p *http.Response, in *io.PipeWriter) {
	t.Helper()
	out, in := io.Pipe()
	t.Cleanup(func() { _ = in.Close() })
	p, err := cc.RoundTrip(&http.Request{Method: "CONNECT", URL: &url.URL{Host: target}, Host: target, Header: header, Body: out, ContentLength: -1})
	if err != nil {
		t.Fatalf("CONNECT %s: %v", target, err)
	}
	t.Cleanup(func() { _ = p.Body.Close() })
	return p, in
}

// TestH2Connect: streams of one connection are tunnels of their own.
func TestH2Connect(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	r, addr, roots := secured(t, gateway.Config{}, honest(t))
	cc := overH2(t, addr, roots)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p, in := connectH2(t, cc, echo, nil)
			if p.StatusCode != 200 {
				t.Errorf("CONNECT: %v", p.Status)
				return
			}
			for _, text := range []string{"first", "second", strings.Repeat("x", 100_000+i)} {
				go func() { _, _ = io.WriteString(in, text) }()
				got := make([]byte, len(text))
				if _, err := io.ReadFull(p.Body, got); err != nil || string(got) != text {
					t.Errorf("%d bytes: %v", len(got), err)
				}
			}
			_ = in.Close()
			if rest, err := io.ReadAll(p.Body); err != nil || len(rest) > 0 {
				t.Errorf("at the end: %q, %v", rest, err)
			}
		})
	}
	wg.Wait()
	if tr := r.p.trace(t, 8); tr.Method != "CONNECT" || tr.Status != 200 || len(tr.Attempts) != 1 {
		t.Errorf("trace %+v", tr)
	}
}

// TestH2ConnectReplays: the first flight of a stream is replayed as that of a connection.
func TestH2ConnectReplays(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(o.Close)
	r, addr, roots := secured(t, gateway.Config{}, granting(t, func(c *wire) { _, _ = c.r.Peek(1) }), honest(t))
	p, in := connectH2(t, overH2(t, addr, roots), o.Listener.Addr().String(), nil)
	cfg := o.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	cfg.ServerName = "example.com" // as the certificate of httptest says
	if err := tls.Client(&joined{nil, p.Body, in}, cfg).Handshake(); err != nil {
		t.Errorf("handshake: %v", err)
	}
	if outs := r.p.outcomes(t, 1); outs[0].Class != proxy.EOF {
		t.Errorf("outcomes %+v", outs)
	}
}

// joined is a connection made of two halves.
type joined struct {
	net.Conn
	io.Reader
	io.Writer
}

func (j *joined) Read(p []byte) (int, error)  { return j.Reader.Read(p) }
func (j *joined) Write(p []byte) (int, error) { return j.Writer.Write(p) }
func (j *joined) Close() error                { return nil }

// TestH2Answers: refusals over HTTP/2 say the same as over HTTP/1.1.
func TestH2Answers(t *testing.T) {
	t.Parallel()
	password := proxy.NewSecret("x")
	_, addr, roots := secured(t, gateway.Config{Users: []gateway.User{{Name: "bob", Password: &password}}}, honest(t))
	cc := overH2(t, addr, roots)
	for _, c := range []struct {
		name, user, target string
		status             int
		code               string
	}{
		{"nobody", "", "example.com:443", 407, "auth_required"},
		{"bad options", "bob-colour-red", "example.com:443", 400, "bad_options"},
		{"a closed port", "bob", "example.com:25", 403, "forbidden_target"},
		{"no port", "bob", "example.com", 400, "bad_request"},
	} {
		h := http.Header{}
		if c.user != "" {
			q := http.Request{Header: h}
			q.SetBasicAuth(c.user, "x")
			h.Set("Proxy-Authorization", h.Get("Authorization"))
			h.Del("Authorization")
		}
		p, _ := connectH2(t, cc, c.target, h)
		if p.StatusCode != c.status || p.Header.Get("Freeway-Error") != c.code || p.Header.Get("Proxy-Status") == "" {
			t.Errorf("%s: %v %v, want %d %s", c.name, p.Status, p.Header, c.status, c.code)
		}
	}
}

// TestH2Plain: plain requests over HTTP/2 are served, https is not opened.
func TestH2Plain(t *testing.T) {
	t.Parallel()
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Header.Get("X-Mine")+" "+string(b))
	}))
	t.Cleanup(o.Close)
	r, addr, roots := secured(t, gateway.Config{}, honest(t))
	cc := overH2(t, addr, roots)
	for _, c := range []struct {
		method, url, body, want string
		status                  int
	}{
		{"GET", o.URL + "/a?b=%7e", "", "GET /a?b=%7e me ", 200},
		{"POST", o.URL + "/", "hello", "POST / me hello", 200},
		{"GET", "https" + o.URL[4:] + "/", "", "", 400},
	} {
		q, err := http.NewRequest(c.method, c.url, io.NopCloser(strings.NewReader(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Mine", "me")
		p, err := cc.RoundTrip(q)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.url, err)
		}
		body, err := io.ReadAll(p.Body)
		p.Body.Close()
		if err != nil || p.StatusCode != c.status || c.want != "" && string(body) != c.want {
			t.Errorf("%s %s: %v %q, %v, want %d %q", c.method, c.url, p.Status, body, err, c.status, c.want)
		}
	}
	if n := len(r.p.asked()); n != 2 {
		t.Errorf("%d picks, want 2", n)
	}
}

// TestH2Cut: a body that is cut resets the stream and leaves the others alone.
func TestH2Cut(t *testing.T) {
	t.Parallel()
	_, addr, roots := secured(t, gateway.Config{}, answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"+strings.Repeat("short", 1000)))
	cc := overH2(t, addr, roots)
	for range 2 {
		q, _ := http.NewRequest("GET", "http://example.com/", nil)
		p, err := cc.RoundTrip(q)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(p.Body)
			p.Body.Close()
		}
		if reset := (http2.StreamError{}); !errors.As(err, &reset) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a cut body: %q, %v", body, err)
		}
	}
}

// TestInsideTLS: SOCKS and HTTP/1.1 are served there too, also when the client
// offers HTTP/2 as well.
func TestInsideTLS(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	_, addr, roots := secured(t, gateway.Config{}, honest(t))
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}} {
		w := newWire(t, dialTLS(t, addr, roots, protocols...))
		w.open(echo)
		w.send("hello")
		w.expect("hello")
	}
	socks, err := xproxy.SOCKS5("tcp", addr, &xproxy.Auth{User: "bob-tag-x", Password: "p"}, tlsDialer{t, roots})
	if err != nil {
		t.Fatal(err)
	}
	c, err := socks.Dial("tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, c)
	w.send("hello")
	w.expect("hello")
}

// tlsDialer dials inside TLS.
type tlsDialer struct {
	t     *testing.T
	roots *x509.CertPool
}

func (d tlsDialer) Dial(_, addr string) (net.Conn, error) { return dialTLS(d.t, addr, d.roots), nil }

// TestH2Drain: at the end streams that run finish and no new ones begin.
func TestH2Drain(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	r, addr, roots := secured(t, gateway.Config{}, honest(t))
	cc := overH2(t, addr, roots)
	p, in := connectH2(t, cc, echo, nil)
	r.stop()
	until(t, "the connection takes no new streams", func() bool { return !cc.CanTakeNewRequest() })
	go func() { _, _ = io.WriteString(in, "still here") }()
	got := make([]byte, len("still here"))
	if _, err := io.ReadFull(p.Body, got); err != nil || string(got) != "still here" {
		t.Errorf("the stream that ran: %q, %v", got, err)
	}
	_ = in.Close()
	if _, err := io.ReadAll(p.Body); err != nil {
		t.Errorf("its end: %v", err)
	}
	r.end()
}

// TestH2StreamsAreBounded: a client cannot have more streams than the settings say.
func TestH2StreamsAreBounded(t *testing.T) {
	t.Parallel()
	r, addr, roots := secured(t, gateway.Config{MaxConnections: 4}, granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }))
	cc := overH2(t, addr, roots)
	if got := cc.State().MaxConcurrentStreams; got == 0 || got > 128 {
		until(t, "the settings have come", func() bool { n := cc.State().MaxConcurrentStreams; return n > 0 && n <= 128 })
	}
	refused := 0
	for range 6 {
		if p, _ := connectH2(t, cc, "example.com:443", nil); p.StatusCode == 503 && p.Header.Get("Freeway-Error") == "overload" {
			refused++
		}
	}
	if refused != 3 { // the connection itself counts as well
		t.Errorf("%d of 6 streams refused over the limit of 4 connections, want 3", refused)
	}
	conns, _, _ := r.g.Counts()
	if conns > 5 {
		t.Errorf("%d connections", conns)
	}
}

// TestGoClientOverTLS: net/http offers HTTP/2 to a proxy inside TLS, but cannot
// speak it there; it is served all the same.
func TestGoClientOverTLS(t *testing.T) {
	t.Parallel()
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	plain, secure := httptest.NewServer(hello), httptest.NewTLSServer(hello)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	_, addr, roots := secured(t, gateway.Config{}, honest(t))
	roots.AddCert(secure.Certificate())
	_, port, _ := net.SplitHostPort(addr)
	for _, force := range []bool{false, true} {
		tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "https", Host: "localhost:" + port}), ForceAttemptHTTP2: force, TLSClientConfig: &tls.Config{RootCAs: roots}}
		t.Cleanup(tr.CloseIdleConnections)
		for _, target := range []string{plain.URL, secure.URL, plain.URL} {
			p, err := (&http.Client{Transport: tr, Timeout: patience}).Get(target)
			if err != nil {
				t.Errorf("HTTP/2 offered %v, %s: %v", force, target, err)
				continue
			}
			body, err := io.ReadAll(p.Body)
			p.Body.Close()
			if err != nil || string(body) != "hello" {
				t.Errorf("HTTP/2 offered %v, %s: %v %q, %v", force, target, p.Status, body, err)
			}
		}
	}
}
