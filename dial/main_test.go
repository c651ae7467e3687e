package dial_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what takes milliseconds; only a hang uses it up.
const patience = 10 * time.Second

// slow holds the deadlines of tests that must not meet one.
var slow = dial.Config{Connect: time.Minute, Handshake: time.Minute}

var local = proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))

// env allows loopback and nothing else, and fails the test when a target's name is resolved.
func env(t testing.TB) dial.Env {
	return dial.Env{Policy: local, Control: loopback.Guard(t), Resolver: &net.Resolver{PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			t.Error("a name was resolved here")
			return nil, errors.New("no resolver")
		}}}
}

// listen runs handle for every connection to a port of its own. The connections
// are closed after it, and the test waits for all of them.
func listen(t testing.TB, handle func(c net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(3 * patience))
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// endpoint is the proxy at an address of this machine.
func endpoint(t testing.TB, p proxy.Protocol, at netip.AddrPort, user string) proxy.Endpoint {
	t.Helper()
	ep, err := proxy.NewEndpoint(p, at.Addr().String(), at.Port(), user)
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

func target(t testing.TB, s string) proxy.Target {
	t.Helper()
	to, err := proxy.ParseTarget(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// readHead reads a request head as a proxy does and returns it whole.
func readHead(c io.Reader) string {
	r, head := bufio.NewReaderSize(c, 16), "" // small: a request is all that may have come
	for {
		line, err := r.ReadString('\n')
		head += line
		if err != nil || line == "\r\n" {
			return head
		}
	}
}

// readN reads exactly n bytes; less when the connection ends.
func readN(c io.Reader, n int) string {
	b := make([]byte, n)
	n, _ = io.ReadFull(c, b)
	return string(b[:n])
}

// gone waits until the other side has closed, discarding what it sends.
func gone(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// reset closes a TCP connection with RST.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// wantError checks stage, class and status of an error of this package.
func wantError(t testing.TB, err error, stage proxy.Stage, class proxy.Class, status int) {
	t.Helper()
	e, ok := errors.AsType[*dial.Error](err)
	if !ok {
		t.Fatalf("error %v (%T), want a *dial.Error at %v: %v", err, err, stage, class)
	}
	if e.Stage != stage || e.Class != class || e.Status != status {
		t.Errorf("error %v with status %d, want %v: %v with status %d", e, e.Status, stage, class, status)
	}
	if got := dial.Classify(err); got != class {
		t.Errorf("Classify(%v) = %v, want %v", err, got, class)
	}
}

// closing closes c at the end of the test, before the listeners are waited for.
func closing(t testing.TB, c *dial.Conn, err error) *dial.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// within fails the test when ch says nothing for too long.
func within[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("not reached")
	}
}

// certificate makes a self-signed one for 127.0.0.1 and localhost, and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
