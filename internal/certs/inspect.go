package certs

import (
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"
)

// soon is how long before the expiry people are told about it.
const soon = 14 * 24 * time.Hour

// Finding is what is to be said of a certificate. A bad one keeps clients away.
type Finding struct {
	Says string
	Bad  bool
}

// Inspect looks at a pair: whether it can be read, belongs together, is valid
// at now, and names the hosts, DNS names or addresses, under which it will be
// asked for. None means that all is well.
func Inspect(p Pair, hosts []string, now time.Time) []Finding {
	c, err := Read(p)
	if err != nil {
		return []Finding{{Says: err.Error(), Bad: true}}
	}
	var out []Finding
	if err := validity(c.Leaf, now); err != nil {
		out = append(out, Finding{fmt.Sprintf("%s: %v", p.Cert, err), true})
	} else if left := c.Leaf.NotAfter.Sub(now); left < soon && left < c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/3 {
		out = append(out, Finding{fmt.Sprintf("%s: the certificate expires on %s", p.Cert, c.Leaf.NotAfter.UTC().Format(time.RFC3339)), false})
	}
	names := Names(c.Leaf)
	if len(names) == 0 {
		return append(out, Finding{p.Cert + ": the certificate names no host (subject alternative name); clients refuse it", true})
	}
	for _, h := range hosts {
		if c.Leaf.VerifyHostname(bracketed(h)) != nil {
			out = append(out, Finding{fmt.Sprintf("%s: the certificate is for %s, not for %s", p.Cert, strings.Join(names, ", "), h), false})
		}
	}
	return out
}

// Names are the DNS names and addresses of a certificate.
func Names(leaf *x509.Certificate) []string {
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// bracketed writes an address as VerifyHostname wants it.
func bracketed(host string) string {
	if net.ParseIP(host) != nil {
		return "[" + host + "]"
	}
	return host
}
