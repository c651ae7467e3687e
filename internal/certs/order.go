package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"
)

// order gets one certificate: account, order, proof, request, download.
func (a *issuer) order(ctx context.Context, host string) (*tls.Certificate, error) {
	account := &acme.Account{}
	if a.cfg.Email != "" {
		account.Contact = []string{"mailto:" + a.cfg.Email}
	}
	if _, err := a.client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("account: %w", err)
	}
	o, err := a.client.AuthorizeOrder(ctx, acme.DomainIDs(host))
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	for _, u := range o.AuthzURLs {
		if err := a.prove(ctx, host, u); err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
	}
	if o, err = a.client.WaitOrder(ctx, o.URI); err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	return a.finish(ctx, host, o)
}

// prove shows that a name is ours.
func (a *issuer) prove(ctx context.Context, host, authorization string) error {
	z, err := a.client.GetAuthorization(ctx, authorization)
	if err != nil || z.Status == acme.StatusValid {
		return err
	}
	var ch *acme.Challenge
	for _, c := range z.Challenges {
		if c.Type == "tls-alpn-01" {
			ch = c
		}
	}
	if ch == nil {
		return errors.New("the authority does not offer tls-alpn-01")
	}
	cert, err := a.client.TLSALPN01ChallengeCert(ch.Token, host)
	if err != nil {
		return err
	}
	a.offer(host, &cert)
	defer a.offer(host, nil)
	if _, err := a.client.Accept(ctx, ch); err != nil {
		return err
	}
	_, err = a.client.WaitAuthorization(ctx, z.URI)
	return err
}

// offer sets what answers the challenge for a host; nil: nothing does.
func (a *issuer) offer(host string, c *tls.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c == nil {
		delete(a.challenges, host)
		return
	}
	a.challenges[host] = c
}

// finish makes a key and has the certificate signed. What comes is checked: the
// authority may be wrong.
func (a *issuer) finish(ctx context.Context, host string, o *acme.Order) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{host}}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := a.client.CreateOrderCert(ctx, o.FinalizeURL, csr, true)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	text, err := encodePair(chain, key)
	if err != nil {
		return nil, err
	}
	return parsePair(text, host)
}

// httpClient makes the client for the authority: never through a proxy, no
// redirects, bounded answers.
func httpClient(cfg ACME, env Env) (*http.Client, error) {
	var roots authorities
	if cfg.CA != "" {
		var err error
		if roots, err = openAuthorities(cfg.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: env.Control}
	return &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: bounded{&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: 20 * time.Second, MaxResponseHeaderBytes: 64 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots.pool}}},
	}, nil
}

// bounded cuts answers off that are longer than any good one.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = limited{io.LimitReader(resp.Body, maxPEM), resp.Body}
	}
	return resp, err
}

type limited struct {
	io.Reader
	io.Closer
}
