package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// ACME asks an authority for certificates (RFC 8555), proving each name with
// TLS-ALPN-01 (RFC 8737) on the listener itself, which the authority must reach
// at port 443 of the name. Without Hosts nothing is asked for.
type ACME struct {
	Hosts       []string `yaml:"hosts"`        // names to have certificates for; nobody else's are ever asked for
	Cache       string   `yaml:"cache"`        // folder of the account's key and the certificates, made with mode 0700
	Directory   string   `yaml:"directory"`    // URL of the authority; default Let's Encrypt
	CA          string   `yaml:"ca"`           // PEM file of authorities to trust for Directory, instead of the system's
	Email       string   `yaml:"email"`        // where the authority writes to; default nowhere
	AcceptTerms bool     `yaml:"accept_terms"` // that the terms of the authority are accepted; needed
}

// DefaultDirectory is Let's Encrypt.
const DefaultDirectory = acme.LetsEncryptURL

// On reports whether certificates are asked for.
func (a ACME) On() bool { return len(a.Hosts) > 0 }

// Validate reports every mistake, each beginning with the key it is about.
func (a ACME) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !a.On() {
		if a.Cache != "" || a.Directory != "" || a.CA != "" || a.Email != "" {
			fail("hosts: no names to have certificates for")
		}
		return errors.Join(errs...)
	}
	for i, h := range a.Hosts {
		if !isHostName(h) || slices.Contains(a.Hosts[:i], h) {
			fail("hosts[%d]: %.60q is not a host name of its own in lower case; no addresses, no wildcards, none twice", i, h)
		}
	}
	if a.Cache == "" {
		fail("cache: no folder to keep the certificates in; without one every restart would ask for new ones")
	}
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		fail("directory: write the https:// address of the authority's directory")
	}
	if !a.AcceptTerms {
		fail("accept_terms: write true when you accept the terms of the authority")
	}
	return errors.Join(errs...)
}

// isHostName reports whether s is a DNS name with a dot, in lower case.
func isHostName(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") || net.ParseIP(s) != nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' {
			return false
		}
	}
	return true
}

const (
	orderTime  = 3 * time.Minute  // for one certificate, from the order to the file
	firstWait  = 15 * time.Minute // after the first failure; authorities count failures per hour
	longestGap = 12 * time.Hour   // between two tries
	idleWait   = time.Hour        // how often expiries are looked at
)

// issuer gets certificates and answers challenges. A nil one does nothing. Its
// methods are safe for concurrent use, renew excepted.
type issuer struct {
	cfg    ACME
	client *acme.Client

	mu         sync.Mutex // protects the fields below
	certs      map[string]*tls.Certificate
	challenges map[string]*tls.Certificate
	again      map[string]time.Time // not tried before
	failures   map[string]int
}

// issuerFor is the issuer for a configuration: the one that is there, a new
// one, or none; the caller holds mu.
func (k *Keeper) issuerFor(cfg ACME) (*issuer, error) {
	switch {
	case !cfg.On():
		return nil, nil
	case k.acme != nil && sameACME(k.acme.cfg, cfg):
		return k.acme, nil
	}
	return openIssuer(cfg, k.env)
}

// sameACME compares two configurations.
func sameACME(a, b ACME) bool {
	same := slices.Equal(a.Hosts, b.Hosts)
	a.Hosts, b.Hosts = nil, nil
	return same && a.Cache == b.Cache && a.Directory == b.Directory && a.CA == b.CA && a.Email == b.Email && a.AcceptTerms == b.AcceptTerms
}

// openIssuer reads what is in the cache. It asks nobody.
func openIssuer(cfg ACME, env Env) (*issuer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	key, err := accountKey(cfg.Cache)
	if err != nil {
		return nil, err
	}
	http, err := httpClient(cfg, env)
	if err != nil {
		return nil, err
	}
	directory := cfg.Directory
	if directory == "" {
		directory = DefaultDirectory
	}
	a := &issuer{cfg: cfg, certs: map[string]*tls.Certificate{}, challenges: map[string]*tls.Certificate{}, again: map[string]time.Time{}, failures: map[string]int{},
		client: &acme.Client{Key: key, HTTPClient: http, DirectoryURL: directory, UserAgent: "freeway"}}
	for _, host := range cfg.Hosts {
		if c, err := readCached(cfg.Cache, host); err == nil {
			a.certs[host] = c
		} else if !isMissing(err) {
			env.Log.Warn("a kept certificate is not used", "host", host, "err", err)
		}
	}
	return a, nil
}

// certificate is that of a host, nil for none.
func (a *issuer) certificate(host string) *tls.Certificate {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.certs[host]
}

// any is the certificate of the first host that has one, nil for none.
func (a *issuer) any() *tls.Certificate {
	var first *tls.Certificate
	a.each(func(_ string, c *tls.Certificate) {
		if first == nil {
			first = c
		}
	})
	return first
}

// each visits the certificates in the order of the hosts.
func (a *issuer) each(visit func(host string, c *tls.Certificate)) {
	if a == nil {
		return
	}
	for _, host := range a.cfg.Hosts {
		if c := a.certificate(host); c != nil {
			visit(host, c)
		}
	}
}

// challenge is what answers the authority when it looks whether a name is
// ours; nil: it is not the authority, or nothing is being proved.
func (t *table) challenge(hello *tls.ClientHelloInfo) *tls.Config {
	if t.acme == nil || len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acme.ALPNProto {
		return nil
	}
	t.acme.mu.Lock()
	defer t.acme.mu.Unlock()
	c := t.acme.challenges[canonical(hello.ServerName)]
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, Certificates: []tls.Certificate{*c}}
}

// Run follows the expiry of fetched certificates and renews them in the last
// third of their time, until ctx ends, and returns nil then. Without ACME it
// only waits.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		k.mu.Lock()
		a := k.acme
		k.mu.Unlock()
		wait := k.renew(ctx, a)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// renew gets what is due and returns how long nothing will be.
func (k *Keeper) renew(ctx context.Context, a *issuer) time.Duration {
	if a == nil {
		return idleWait
	}
	next := k.env.Now().Add(idleWait)
	for _, host := range a.cfg.Hosts {
		at := a.due(host)
		if !at.After(k.env.Now()) && ctx.Err() == nil {
			k.obtain(ctx, a, host)
			at = a.due(host)
		}
		if at.Before(next) {
			next = at
		}
	}
	return max(next.Sub(k.env.Now()), time.Second)
}

// due is when a certificate for host is next to be asked for.
func (a *issuer) due(host string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := time.Time{}
	if c := a.certs[host]; c != nil {
		at = c.Leaf.NotAfter.Add(-c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
	}
	if again := a.again[host]; again.After(at) {
		at = again
	}
	return at
}

// obtain asks for one certificate and serves it.
func (k *Keeper) obtain(ctx context.Context, a *issuer, host string) {
	limited, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	c, err := a.order(limited, host)
	if err == nil {
		if err := writeCached(a.cfg.Cache, host, c); err != nil { // it is good all the same
			k.env.Log.Error("a fetched certificate cannot be kept", "host", host, "err", err)
		}
	}
	if ctx.Err() != nil {
		return
	}
	k.env.Metrics.tried(k.env.Listener, "acme:"+host, err == nil)
	if err != nil {
		wait := a.failed(host, k.env.Now())
		k.env.Metrics.refuse(k.env.Listener, "acme:"+host, true)
		k.env.Log.Error("no certificate from the authority", "host", host, "again_in", wait, "err", err)
		return
	}
	a.mu.Lock()
	a.certs[host] = c
	delete(a.again, host)
	delete(a.failures, host)
	a.mu.Unlock()
	k.env.Log.Info("certificate fetched", "host", host, "expires", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.publish()
}

// failed puts the next try off, twice as long each time.
func (a *issuer) failed(host string, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := min(firstWait<<min(a.failures[host], 10), longestGap)
	a.failures[host]++
	a.again[host] = now.Add(wait)
	return wait
}
