package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// configure puts a configuration there as Kubernetes does: a new folder, then a
// swap of the symlink. Even and odd numbers differ in what a reload can change.
func (s *bench) configure(n int) error {
	level, attempts, rate, schedule := "info", 4, 900, "@every 5s"
	if n%2 == 1 {
		level, attempts, rate, schedule = "warn", 5, 800, "@every 7s"
	}
	dir := filepath.Join(s.dir, "conf")
	return s.swap(n, fmt.Sprintf(`# version %d
store: {path: %s/freeway.db}
gateway:
  listen: %s
  tls: {listen: %q, cert: %s/tls.crt, key: %s/tls.key}
  users: [{name: soak, password: soak, concurrency: %d}, {name: guest%d, password: x}]
  allow_clients: [127.0.0.0/8]
  retry: {attempts: %d}
  targets: [{domain: example%d.com, rate: 5}]
  drain: 3s
admin: {listen: %q, token: %s, pprof: true}
scraper: {schedule: %q}
sources:
  builtin: false
  list:
%schecker:
  judges: [{url: %q, key_file: %s/judge.key}, {url: %q, key_file: %s/judge.key}]
  judge_ca: %s/ca.pem
  own_ips: [127.0.0.1]
  connect_timeout: 2s
  timeout: 4s
  rate: %d
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
log: {level: %s, format: json}
`, n, s.dir, s.gateway, s.secure, s.dir, s.dir, 20_000+n%2, n%2, attempts, n%2, s.admin, token, schedule, s.lists(),
		s.info.Judges[0], s.dir, s.info.Judges[1], s.dir, s.dir, rate, level), dir)
}

// swap makes a text the configuration in force.
func (s *bench) swap(n int, text, dir string) error {
	version := fmt.Sprintf("v%d", n)
	if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, version, "freeway.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	fresh := filepath.Join(dir, "..fresh")
	if err := os.Symlink(version, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, filepath.Join(dir, "..data")); err != nil {
		return err
	}
	if n == 0 {
		return os.Symlink("..data/freeway.yaml", filepath.Join(dir, "freeway.yaml"))
	}
	return os.RemoveAll(filepath.Join(dir, fmt.Sprintf("v%d", n-1)))
}

// reloads changes the configuration again and again: by files, of which every
// fifth is a bad one, and by a signal in between.
func (s *bench) reloads(ctx context.Context) {
	every := max(2*time.Second, min(10*time.Second, s.o.load/20))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch {
		case n%5 == 4:
			s.ended.refused++
			s.complain(s.swap(n, "gateway: {lisen: 1}\n", filepath.Join(s.dir, "conf")))
			continue
		case n%5 == 0: // the file is a good one again
		case n%2 == 0:
			s.complain(s.server.cmd.Process.Signal(syscall.SIGHUP))
		}
		s.ended.reloads++
		s.complain(s.configure(n))
	}
}

// complain prints an error of the soak itself.
func (s *bench) complain(err error) {
	if err != nil {
		fmt.Println("soak:", err)
	}
}

// issuer renews the certificate of the TLS listener.
type issuer struct {
	dir  string
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	last int64 // serial number
}

// newIssuer makes an authority and the first pair.
func newIssuer(dir string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "soak"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return nil, err
	}
	i := &issuer{dir: dir, key: key, pool: x509.NewCertPool(), last: 1}
	if i.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	i.pool.AddCert(i.ca)
	return i, i.renew()
}

// renew replaces both files, one after the other, as certbot and others do.
func (i *issuer) renew() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	i.last++
	leaf := &x509.Certificate{SerialNumber: big.NewInt(i.last), Subject: pkix.Name{CommonName: "gateway"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, i.ca, key.Public(), i.key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := i.put("tls.crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return i.put("tls.key", "PRIVATE KEY", secret)
}

// put writes a file and renames it over the old one.
func (i *issuer) put(name, kind string, der []byte) error {
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// renewals swaps certificates and looks whether the listener follows.
func (s *bench) renewals(ctx context.Context) {
	tick := time.NewTicker(max(3*time.Second, min(15*time.Second, s.o.load/20)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.certs.renew(); err != nil {
			s.complain(err)
			continue
		}
		s.ended.renewed++
		if s.follows(ctx) {
			s.ended.served++
		}
	}
}

// follows waits until the listener serves the latest certificate; true as well
// when the load ends before.
func (s *bench) follows(ctx context.Context) bool {
	for range 150 {
		d := tls.Dialer{NetDialer: dialer(), Config: &tls.Config{RootCAs: s.certs.pool, NextProtos: []string{"http/1.1"}}}
		if c, err := d.DialContext(ctx, "tcp", s.secure); err == nil {
			serial := c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
			_ = c.Close()
			if serial == s.certs.last {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return true
		case <-time.After(100 * time.Millisecond):
		}
	}
	return false
}
