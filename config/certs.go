package config

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"freeway/internal/certs"
)

// pairRef is a certificate and its key that the configuration names.
type pairRef struct {
	path      string // of the keys, with the dot: "gateway.tls."
	cert, key *string
	hosts     []string // under which it is asked for, as far as the configuration says
}

// pairs lists the pairs with which listeners inside TLS are served.
func (c *Config) pairs() []pairRef {
	out := []pairRef{
		{"gateway.tls.", &c.Gateway.TLS.Cert, &c.Gateway.TLS.Key, namedHost(c.Gateway.TLS.Listen)},
		{"admin.tls.", &c.Admin.TLS.Cert, &c.Admin.TLS.Key, append(namedHost(c.Admin.Listen), c.Admin.Hosts...)},
	}
	for i := range c.Gateway.TLS.Certificates {
		p := &c.Gateway.TLS.Certificates[i]
		out = append(out, pairRef{fmt.Sprintf("gateway.tls.certificates[%d].", i), &p.Cert, &p.Key, nil})
	}
	for i := range c.Admin.TLS.Certificates {
		p := &c.Admin.TLS.Certificates[i]
		out = append(out, pairRef{fmt.Sprintf("admin.tls.certificates[%d].", i), &p.Cert, &p.Key, nil})
	}
	return out
}

// namedHost is the host of an address to listen on, unless that stands for many.
func namedHost(listen string) []string {
	host, _, err := net.SplitHostPort(listen)
	if a, bad := netip.ParseAddr(host); err != nil || host == "" || bad == nil && a.IsUnspecified() {
		return nil
	}
	return []string{host}
}

// checkPairs wants pairs that belong together, apart from those of which a file
// cannot be read, which has been said.
func checkPairs(c *Config, errs *Errors) {
	for _, p := range c.pairs() {
		if *p.cert == "" || *p.key == "" || checkReadable(*p.cert) != nil || checkReadable(*p.key) != nil {
			continue
		}
		if _, err := certs.Read(certs.Pair{Cert: *p.cert, Key: *p.key}); err != nil {
			errs.add("", p.path+"cert", "%s", firstLine(err))
		}
	}
}

// CertFinding is what is to be said of a certificate that the configuration names.
type CertFinding struct {
	Path string // the key
	Says string // in a sentence, with the file
	Bad  bool   // clients are refused, or refuse; else it is only worth knowing
}

// CheckCertificates looks at the certificates of listeners that CheckFiles has
// no objection to: whether they are valid at now and name the host under which
// the listener is reached, as far as the configuration tells it.
func CheckCertificates(c Config, now time.Time) []CertFinding {
	var out []CertFinding
	for _, p := range c.pairs() {
		pair := certs.Pair{Cert: *p.cert, Key: *p.key}
		if _, err := certs.Read(pair); pair == (certs.Pair{}) || err != nil {
			continue
		}
		for _, f := range certs.Inspect(pair, p.hosts, now) {
			out = append(out, CertFinding{p.path + "cert", f.Says, f.Bad})
		}
	}
	return out
}
