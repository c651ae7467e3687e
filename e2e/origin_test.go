package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// origin is a web server that clients want to reach, over http and https. It
// remembers from which addresses it was reached.
type origin struct {
	http, https string // base URLs
	ca          string // file with the certificate authority
	cert, key   string // files with a certificate for 127.0.0.1, also for a judge

	mu    sync.Mutex
	exits map[string]int // requests by remote address
	posts map[string]int // bodies of POST /echo by their id
	conns int            // connections, whoever opened them
	gate  chan struct{}  // /slow answers when it is closed
	slow  chan struct{}  // gets a value when /slow was reached
}

// page is what /page/N serves: N bytes that depend on N alone.
func page(n int) []byte {
	rnd := mrand.New(mrand.NewPCG(uint64(n), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{exits: map[string]int{}, posts: map[string]int{}, gate: make(chan struct{}), slow: make(chan struct{}, 1000)}
	o.certificates(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		w.Write(page(n)) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		w.Write(page(1000)) //nolint:errcheck // the client went away
		w.(http.Flusher).Flush()
		o.slow <- struct{}{}
		<-o.gate
		w.Write(page(2000)) //nolint:errcheck // the client went away
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		b.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20)) //nolint:errcheck // counted by what came
		o.mu.Lock()
		o.posts[b.String()]++
		o.mu.Unlock()
		w.Write(b.Bytes()) //nolint:errcheck // the client went away
	})
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		o.mu.Lock()
		o.exits[host]++
		o.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
	o.http = o.serve(t, counted, false)
	o.https = o.serve(t, counted, true)
	return o
}

func (o *origin) serve(t *testing.T, h http.Handler, secure bool) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			o.mu.Lock()
			o.conns++
			o.mu.Unlock()
		}
	}
	t.Cleanup(s.Close)
	if !secure {
		s.Start()
		return s.URL
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	return s.URL
}

// seen returns how many requests came from each address, and forgets them.
func (o *origin) seen() map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.exits
	o.exits = map[string]int{}
	return m
}

// certificates makes an authority and a certificate for 127.0.0.1 and localhost.
func (o *origin) certificates(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	o.ca, o.cert, o.key = dir+"/ca.pem", dir+"/cert.pem", dir+"/key.pem"
	caKey := newKey(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER := sign(t, ca, ca, caKey, caKey)
	leafKey := newKey(t)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	leafDER := sign(t, leaf, ca, leafKey, caKey)
	writePEM(t, o.ca, "CERTIFICATE", caDER)
	writePEM(t, o.cert, "CERTIFICATE", leafDER)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, o.key, "PRIVATE KEY", der)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// judge starts `freeway judge` for http and https and returns both URLs.
func (o *origin) judge(t *testing.T) (plain, secure string) {
	t.Helper()
	a, b := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	start(t, binary, "judge", "--listen", a, "--tls-listen", b, "--cert", o.cert, "--key", o.key)
	for _, addr := range []string{a, b} {
		eventually(t, "the judge listens", func() bool {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return "http://" + a + "/", "https://" + b + "/"
}
