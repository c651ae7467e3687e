package api

import (
	"errors"
	"fmt"

	"freeway/internal/access"
	"freeway/internal/certs"
)

// TLS is the `admin.tls:` section. Without Cert the listener is plain. The
// files are followed; what they hold is for new connections.
type TLS struct {
	Cert         string       `yaml:"cert"`         // PEM file, leaf first
	Key          string       `yaml:"key"`          // PEM file
	Certificates []certs.Pair `yaml:"certificates"` // more, chosen by the name that a client asks for
	ClientCA     string       `yaml:"client_ca"`    // PEM file of authorities for certificates of clients; "": none is asked for
	Clients      []Client     `yaml:"clients"`      // who has a role by a certificate; one that is not here has none
}

// Client is one of `admin.tls.clients`.
type Client struct {
	SAN  string      `yaml:"san"`  // a name in the certificate: a URI such as spiffe://ops/alice, a mail address or a DNS name
	Role access.Role `yaml:"role"` // viewer, operator or admin
}

// On reports whether the listener is inside TLS.
func (t TLS) On() bool { return t.Cert != "" }

// Certs is what the listener serves.
func (t TLS) Certs() certs.Config {
	return certs.Config{Pairs: certs.Pairs(t.Cert, t.Key, t.Certificates), ClientCA: t.ClientCA}
}

// access lists the clients for the guard.
func (t TLS) access() []access.Client {
	var out []access.Client
	for _, c := range t.Clients {
		out = append(out, access.Client{SAN: c.SAN, Role: c.Role})
	}
	return out
}

// validate reports every mistake, each beginning with the key it is about.
func (t TLS) validate() error {
	var errs []error
	if err := certs.ValidatePairs(t.Cert, t.Key, t.Certificates); err != nil {
		errs = append(errs, err)
	}
	switch {
	case t.ClientCA != "" && !t.On():
		errs = append(errs, errors.New("client_ca: certificates of clients need cert and key"))
	case len(t.Clients) > 0 && t.ClientCA == "":
		errs = append(errs, errors.New("clients: without client_ca nobody can prove who they are"))
	case t.ClientCA != "" && len(t.Clients) == 0:
		errs = append(errs, errors.New("client_ca: no certificate has a role; list clients"))
	}
	seen := map[string]bool{}
	for i, c := range t.Clients {
		errs = append(errs, under(fmt.Sprintf("clients[%d]", i), (access.Client{SAN: c.SAN, Role: c.Role}).Validate())...)
		if seen[c.SAN] {
			errs = append(errs, fmt.Errorf("clients[%d].san: %.60q is there already", i, c.SAN))
		}
		seen[c.SAN] = true
	}
	return errors.Join(errs...)
}
