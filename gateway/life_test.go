package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// TestDrain: at the end idle connections close, the running request and the
// running tunnel finish, and only then Run returns.
func TestDrain(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	up := upstream(t, proxy.HTTP, func(c *wire) {
		if lines := c.head(); len(lines) > 0 && strings.HasPrefix(lines[0], "CONNECT") {
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = io.Copy(c.Conn, c.r)
			return
		}
		<-finish
		_, _ = io.WriteString(c.Conn, okAnswer)
	})
	r := newRig(t, gateway.Config{Drain: 2 * patience}, up)
	idle, busy, tunnel := r.conn(), r.conn(), r.conn()
	tunnel.open("127.0.0.1:9")
	busy.send(getExample)
	r.p.await(t, "both requests", func() bool { return len(r.p.wants) == 2 })
	until(t, "three connections, a tunnel and two requests", func() bool {
		conns, tunnels, requests := r.g.Counts()
		return conns == 3 && tunnels == 1 && requests == 2
	})
	r.stop()
	if rest := idle.rest(); rest != "" {
		t.Errorf("the idle connection got %q", rest)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		_ = c.Close()
		t.Error("a new connection is taken")
	}
	tunnel.send("still here")
	tunnel.expect("still here")
	close(finish)
	p, body := busy.answer("GET")
	if body != "ok" || !p.Close {
		t.Errorf("the running request got %v %q, close %v", p.Status, body, p.Close)
	}
	select {
	case err := <-r.done:
		t.Fatalf("Run ended before the tunnel: %v", err)
	default:
	}
	_ = tunnel.Close()
	r.end()
}

// TestDrainCuts what does not finish in time.
func TestDrainCuts(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{Drain: 100 * time.Millisecond}, granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }), silent(t))
	tunnel, plain := r.conn(), r.conn()
	tunnel.open("127.0.0.1:9")
	r.p.mu.Lock()
	r.p.entries = r.p.entries[1:]
	r.p.mu.Unlock()
	plain.send(getExample)
	r.p.await(t, "both requests", func() bool { return len(r.p.wants) == 2 })
	r.end()
	for _, w := range []*wire{tunnel, plain} {
		if b, _ := io.ReadAll(w.r); strings.Contains(string(b), "200") {
			t.Errorf("a cut connection got %q", b)
		}
	}
	for _, o := range r.p.outcomes(t, 2) {
		if o.Class != proxy.Canceled {
			t.Errorf("cut by us, blamed on the upstream: %v", o.Class)
		}
	}
}

// panicking fails in the middle of a request.
type panicking struct{ *picker }

func (p panicking) Pick(context.Context, proxy.Want) (proxy.Lease, error) {
	panic("a mistake")
}

func TestThreat92PanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	p := panicking{&picker{changed: make(chan struct{})}}
	g, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p, Dialer: dial.New(dial.Config{}, dial.Env{Control: loopback.Guard(t)})})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	for range 3 {
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		w := newWire(t, c)
		w.send(getExample)
		if p, _ := w.answer("GET"); p.StatusCode != 500 {
			t.Errorf("answer %v, want 500", p.Status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, _, requests := g.Counts(); requests != 0 {
		t.Errorf("%d requests are still counted", requests)
	}
}

func TestThreat100TooManyConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{MaxConnections: 2}, granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }))
	one, two := r.conn(), r.conn()
	one.open("127.0.0.1:9")
	two.open("127.0.0.1:9")
	third := r.conn()
	third.send(getExample)
	if p, _ := third.answer("GET"); p.StatusCode != 503 || p.Header.Get("Freeway-Error") != "overload" || p.Header.Get("Retry-After") == "" {
		t.Errorf("answer %v %v, want 503 overload", p.Status, p.Header)
	}
	_ = third.Close()
	for name, c := range map[string]struct{ send, want string }{
		"SOCKS5":          {"\x05\x01\x00\x05\x01\x00\x01\x01\x01\x01\x01\x00\x50", "\x05\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		"SOCKS5, a login": {"\x05\x01\x02\x01\x01a\x01b\x05\x01\x00\x01\x01\x01\x01\x01\x00\x50", "\x05\x02\x01\x00\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		"SOCKS4":          {"\x04\x01\x00\x50\x01\x01\x01\x01a\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00"},
	} {
		w := r.conn()
		w.send(c.send)
		if got := w.rest(); got != c.want {
			t.Errorf("%s over the limit: %q, want %q", name, got, c.want)
		}
		_ = w.Close()
	}
	_ = two.Close()
	until(t, "the places are free", func() bool { n, _, _ := r.g.Counts(); return n == 1 })
	idle := r.conn()
	idle.send("GET /not-a-proxy-request HTTP/1.1\r\nHost: x\r\n\r\n")
	idle.answer("GET")                                      // it waits for the next request now
	until(t, "an idle connection makes room", func() bool { // it is idle a moment after its answer
		four := r.conn()
		defer four.Close()
		four.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
		p, _ := four.answer("CONNECT")
		return p.StatusCode == 200
	})
	if rest := idle.rest(); rest != "" {
		t.Errorf("the idle connection got %q", rest)
	}
}

func TestListenErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{})
	for _, cfg := range []gateway.Config{
		{Listen: r.addr},
		{Listen: "127.0.0.1:0", Listeners: []gateway.Listener{{Listen: r.addr}}},
		{Listen: "127.0.0.1:0", TLS: gateway.TLS{Listen: "127.0.0.1:0", Cert: "none", Key: "none"}},
	} {
		g, err := gateway.Open(cfg, gateway.Env{Picker: r.p, Dialer: dial.New(dial.Config{}, dial.Env{})})
		if err != nil {
			t.Fatalf("Open(%+v): %v", cfg, err)
		}
		if err := g.Listen(); err == nil {
			t.Errorf("Listen with %+v succeeds", cfg)
		}
		if err := g.Run(context.Background()); err == nil {
			t.Error("Run without Listen succeeds")
		}
	}
}

// certificate writes a self-signed pair for localhost with this serial number.
func certificate(t *testing.T, dir string, serial int64) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: priv}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	return certFile, keyFile, roots
}

func TestTLSListenerFollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, roots := certificate(t, dir, 1)
	r := newRig(t, gateway.Config{TLS: gateway.TLS{Listen: "127.0.0.1:0", Cert: cert, Key: key}}, answering(t, proxy.HTTP, okAnswer))
	addr := r.g.Addrs()[1].String()
	ask := func(roots *x509.CertPool) error {
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost", RootCAs: roots})
		if err != nil {
			return err
		}
		w := newWire(t, c)
		for range 2 {
			w.send(getExample)
			if p, body := w.answer("GET"); p.StatusCode != 200 || body != "ok" {
				t.Errorf("inside TLS: %v %q", p.Status, body)
			}
		}
		return w.Close()
	}
	if err := ask(roots); err != nil {
		t.Fatal(err)
	}
	_, _, renewed := certificate(t, dir, 2)
	limit := time.Now().Add(patience)
	for ask(renewed) != nil { // the files are looked at once a second
		if time.Now().After(limit) {
			t.Fatal("the new certificate is never served")
		}
	}
	if err := os.WriteFile(cert, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTimer(1100 * time.Millisecond)
	<-tick.C
	if err := ask(renewed); err != nil {
		t.Errorf("a broken file replaces a good certificate: %v", err)
	}
}

// TestSlowHead: a head that does not come is answered with 408 and no one else waits.
func TestSlowClientsDoNotHold(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes the 10 s of the deadline")
	}
	r := newRig(t, gateway.Config{}, answering(t, proxy.HTTP, okAnswer))
	slow, mute, socks := r.conn(), r.conn(), r.conn()
	for _, w := range []*wire{slow, mute, socks} {
		_ = w.SetDeadline(time.Now().Add(3 * patience))
	}
	slow.send("GET http://example.com/ HTTP/1.1\r\nHost:")
	socks.send("\x05\x02\x00")
	other := r.conn()
	other.send(getExample)
	if _, body := other.answer("GET"); body != "ok" {
		t.Errorf("another client got %q", body)
	}
	if p, _ := slow.answer("GET"); p.StatusCode != 408 {
		t.Errorf("answer %v, want 408", p.Status)
	}
	if got := mute.rest() + socks.rest(); got != "" {
		t.Errorf("silent clients got %q", got)
	}
}

func TestWarmup(t *testing.T) {
	t.Parallel()
	r := startRig(t, gateway.Config{Timeouts: gateway.Timeouts{Warmup: 5 * time.Second}}, &picker{changed: make(chan struct{})})
	w := r.conn()
	w.send(getExample)
	r.p.await(t, "the first pick", func() bool { return len(r.p.wants) > 0 })
	up := answering(t, proxy.HTTP, okAnswer)
	r.p.note(func() { r.p.entries = []proxy.Entry{entry(up, 1)} })
	if _, body := w.answer("GET"); body != "ok" {
		t.Errorf("answer %q", body)
	}
}
