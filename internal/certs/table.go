package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
)

// table is what is served at a moment. It is immutable.
type table struct {
	byName   map[string][]*tls.Certificate // by DNS name, also "*.example.com"
	fallback *tls.Certificate              // nil: there is no pair
	acme     *issuer                       // nil: none
	clients  *x509.CertPool                // nil: no certificate of the client is asked for
}

// newTable sorts the pairs by the names in their certificates.
func newTable(entries []*entry, acme *issuer, clients *x509.CertPool) *table {
	t := &table{byName: map[string][]*tls.Certificate{}, acme: acme, clients: clients}
	for i, e := range entries {
		if i == 0 {
			t.fallback = e.cert
		}
		for _, name := range e.cert.Leaf.DNSNames {
			name = canonical(name)
			t.byName[name] = append(t.byName[name], e.cert)
		}
		for _, ip := range e.cert.Leaf.IPAddresses {
			t.byName[ip.String()] = append(t.byName[ip.String()], e.cert)
		}
	}
	return t
}

// canonical is a DNS name in one spelling.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// find chooses a certificate; nil: there is none.
func (t *table) find(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := canonical(hello.ServerName)
	if name == "" && hello.Conn != nil { // an address is never asked for by name (RFC 6066 section 3)
		name = addressOf(hello.Conn)
	}
	if c := usable(t.byName[name], hello); c != nil {
		return c
	}
	if _, parent, ok := strings.Cut(name, "."); ok { // a wildcard stands for one label (RFC 9525 section 6.3)
		if c := usable(t.byName["*."+parent], hello); c != nil {
			return c
		}
	}
	if c := t.acme.certificate(name); c != nil {
		return c
	}
	if t.fallback == nil {
		return t.acme.any()
	}
	return t.fallback
}

// usable is the first certificate that the client can verify, else the first.
func usable(list []*tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for _, c := range list {
		if hello.SupportsCertificate(c) == nil {
			return c
		}
	}
	if len(list) > 0 {
		return list[0]
	}
	return nil
}
