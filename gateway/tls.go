package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"freeway/internal/certs"
)

// TLS is the listener inside TLS. Its files are followed; what they hold is for
// new connections.
type TLS struct {
	Listen       string       `yaml:"listen"`       // host:port; "" for none
	Cert         string       `yaml:"cert"`         // PEM file, leaf first; for names that no other has
	Key          string       `yaml:"key"`          // PEM file
	Certificates []certs.Pair `yaml:"certificates"` // more, chosen by the name that a client asks for
	ACME         certs.ACME   `yaml:"acme"`         // certificates that are fetched; needs Env.Certs
}

// Certs is what the listener serves.
func (t TLS) Certs() certs.Config {
	if t.Listen == "" {
		return certs.Config{}
	}
	return certs.Config{Pairs: certs.Pairs(t.Cert, t.Key, t.Certificates), ACME: t.ACME}
}

// validate checks all but the address.
func (t TLS) validate(fail failFunc) {
	if t.Listen == "" {
		if t.Cert != "" || t.Key != "" || len(t.Certificates) > 0 || t.ACME.On() {
			fail("tls.listen: a certificate is given but no address to listen on")
		}
		return
	}
	if t.Cert == "" && t.Key == "" && len(t.Certificates) == 0 && !t.ACME.On() {
		fail("tls.cert: cert and key are both needed, or acme")
	}
	for line := range strings.SplitSeq(text(certs.ValidatePairs(t.Cert, t.Key, t.Certificates)), "\n") {
		if line != "" {
			fail("tls.%s", line)
		}
	}
	for line := range strings.SplitSeq(text(t.ACME.Validate()), "\n") {
		if line != "" {
			fail("tls.acme.%s", line)
		}
	}
}

// text is what an error says, "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// secure returns the settings of the listener inside TLS, nil when there is
// none. Without Env.Certs the files are looked at when clients come. The caller
// holds applying.
func (g *Gateway) secure(s *settings) (*tls.Config, error) {
	if s.cfg.TLS.Listen == "" {
		return nil, nil
	}
	if g.env.Certs != nil {
		return g.serverTLS(g.env.Certs), nil
	}
	if s.cfg.TLS.ACME.On() {
		return nil, errors.New("tls.acme: there is nobody to fetch certificates")
	}
	var err error
	if g.certs == nil {
		g.certs, err = certs.Open(s.cfg.TLS.Certs(), certs.Env{Listener: "gateway", Log: g.env.Log, Now: g.env.Now})
	} else {
		err = g.certs.Apply(s.cfg.TLS.Certs())
	}
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return g.serverTLS(g.certs), nil
}

// serverTLS offers both versions. Whoever offers HTTP/1.1 as well gets that:
// net/http offers HTTP/2 to every proxy inside TLS, and cannot speak it there.
func (g *Gateway) serverTLS(k *certs.Keeper) *tls.Config { return k.Server("http/1.1", h2Name) }
