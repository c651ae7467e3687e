package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"freeway/internal/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ca is an authority for one test.
type ca struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCA(t *testing.T) *ca {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{t, key, cert}
}

func (a *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *ca) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// leaf is what a certificate says.
type leaf struct {
	serial   int64
	names    []string // DNS names, addresses, and URIs
	from, to time.Duration
}

// sign makes a certificate for a key.
func (a *ca) sign(l leaf, pub *ecdsa.PublicKey) []byte {
	a.t.Helper()
	if l.to == 0 {
		l.from, l.to = -time.Hour, 500*time.Hour
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(l.serial + 100), NotBefore: time.Now().Add(l.from), NotAfter: time.Now().Add(l.to),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, n := range l.names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else if u, err := url.Parse(n); err == nil && strings.Contains(n, "://") {
			tmpl.URIs = append(tmpl.URIs, u)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// issue returns the two files of a pair as text.
func (a *ca) issue(l leaf) (cert, key []byte) {
	a.t.Helper()
	k := newKey(a.t)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.sign(l, &k.PublicKey)}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// pair writes a pair into a folder of its own.
func (a *ca) pair(l leaf) certs.Pair {
	a.t.Helper()
	dir := a.t.TempDir()
	p := certs.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	cert, key := a.issue(l)
	write(a.t, p.Cert, cert)
	write(a.t, p.Key, key)
	return p
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// journal is a log that a test reads.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// count is how often the log says something.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), text)
}

// stand is a keeper behind a real listener whose connections echo.
type stand struct {
	*certs.Keeper
	t        *testing.T
	ca       *ca
	log      *journal
	registry *prometheus.Registry
	addr     string
}

// newStand serves cfg until the test ends. now nil is time.Now.
func newStand(t *testing.T, a *ca, cfg certs.Config, now func() time.Time) *stand {
	t.Helper()
	s := &stand{t: t, ca: a, log: &journal{}, registry: prometheus.NewRegistry()}
	var err error
	s.Keeper, err = certs.Open(cfg, certs.Env{Listener: "gateway", Log: slog.New(slog.NewTextHandler(s.log, nil)), Metrics: certs.NewMetrics(s.registry), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Server("http/1.1"))
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.serve(l)
	return s
}

// serve echoes on every connection until the test ends.
func (s *stand) serve(l net.Listener) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { echo(c) })
		}
	})
	s.t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}

func echo(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second)) //nolint:errcheck // reading fails then
	b := make([]byte, 64)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// dial does a handshake and returns the connection; it is closed with the test.
func (s *stand) dial(conf *tls.Config) (*tls.Conn, error) {
	s.t.Helper()
	conf.RootCAs = s.ca.pool()
	c, err := tls.Dial("tcp", s.addr, conf)
	if err == nil {
		s.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// serial is that of the certificate that is served for a name, -1 for none.
func (s *stand) serial(name string) int64 {
	s.t.Helper()
	c, err := s.dial(&tls.Config{ServerName: name})
	if err != nil {
		s.t.Logf("%s: %v", name, err)
		return -1
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() - 100
}

// metric is a gauge or counter of a certificate, -1 when it is not there.
func (s *stand) metric(name string, labels ...string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			text := f.GetName()
			for _, l := range m.GetLabel() {
				text += " " + l.GetValue()
			}
			if text == strings.Join(append([]string{name}, labels...), " ") {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return -1
}
