package access

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Client is somebody whose certificate is the credential: a name in it, and
// what who has it may do. The certificate must have been verified by the
// listener; nothing else about it counts, the common name least of all.
type Client struct {
	SAN  string // URI such as spiffe://ops/alice, mail address, or DNS name; no wildcards
	Role Role
}

// Validate reports a name that no certificate can have, or a missing role.
func (c Client) Validate() error {
	var errs []error
	if c.SAN == "" || len(c.SAN) > 2048 || strings.ContainsAny(c.SAN, "* \t\r\n") {
		errs = append(errs, fmt.Errorf("san: %.60q is no name of a certificate; write a URI such as spiffe://ops/alice, a mail address or a DNS name", c.SAN))
	}
	if c.Role == Nobody {
		errs = append(errs, errors.New("role: no role; use viewer, operator or admin"))
	}
	return errors.Join(errs...)
}

// holds reports whether the name is in a certificate, as what it is: a mail
// address is looked for among mail addresses only.
func (c Client) holds(leaf *x509.Certificate) bool {
	switch {
	case strings.Contains(c.SAN, "://"):
		for _, u := range leaf.URIs {
			if u.String() == c.SAN {
				return true
			}
		}
	case strings.Contains(c.SAN, "@"):
		for _, m := range leaf.EmailAddresses {
			if sameMail(m, c.SAN) {
				return true
			}
		}
	default:
		for _, d := range leaf.DNSNames {
			if canonicalName(d) == canonicalName(c.SAN) {
				return true
			}
		}
	}
	return false
}

// sameMail compares mail addresses: only what follows the last @ is without case.
func sameMail(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}

// presented is the certificate with which a request came, nil for none. One
// that the listener has not verified is none.
func presented(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// byCertificate finds out whose certificate a request came with; of several
// names the one with the highest role counts.
func byCertificate(clients []Client, r *http.Request) (Caller, Denial) {
	leaf := presented(r)
	if leaf == nil || len(clients) == 0 {
		return Caller{}, NoToken
	}
	found := Caller{}
	for _, c := range clients {
		if c.Role > found.Role && c.holds(leaf) {
			found = Caller{Name: c.SAN, Role: c.Role}
		}
	}
	if found.Role == Nobody {
		return Caller{}, NoRole
	}
	return found, 0
}
