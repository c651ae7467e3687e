package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"testing"

	"freeway/gateway"
	"freeway/internal/certs"
)

// TestThreat91CertificatesChangeUnderTunnels: a tunnel through the TLS listener
// lives on while its certificate is replaced and others come and go; what the
// configuration gets wrong leaves everything as it was.
func TestThreat91CertificatesChangeUnderTunnels(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	old, key, roots := certificate(t, t.TempDir(), 1)
	cfg := gateway.Config{Listen: "127.0.0.1:0", TLS: gateway.TLS{Listen: "127.0.0.1:0", Cert: old, Key: key}}
	r := newRig(t, cfg, honest(t))
	addr := r.g.Addrs()[1].String()
	w := newWire(t, dialTLS(t, addr, roots))
	w.open(echo)
	alive := func() {
		t.Helper()
		w.send("hello")
		w.expect("hello")
	}
	serial := func(roots *x509.CertPool) int64 {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "localhost", RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	alive()
	cert, newKey, renewed := certificate(t, t.TempDir(), 2)
	next := cfg
	next.TLS.Certificates = []certs.Pair{{Name: "more", Cert: cert, Key: newKey}}
	if err := r.g.Apply(next); err != nil {
		t.Fatal(err)
	}
	alive()
	next = cfg
	next.TLS.Cert, next.TLS.Key = cert, newKey
	if err := r.g.Apply(next); err != nil {
		t.Fatal(err)
	}
	if got := serial(renewed); got != 2 {
		t.Errorf("a new handshake sees certificate %d, want 2", got)
	}
	alive()
	next.TLS.Key = key // that of the other
	if err := r.g.Apply(next); err == nil {
		t.Error("Apply with a mismatched pair succeeds")
	}
	if got := serial(renewed); got != 2 {
		t.Errorf("after a bad pair a new handshake sees certificate %d, want 2", got)
	}
	alive()
}
