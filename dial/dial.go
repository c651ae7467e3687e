package dial

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"freeway/proxy"
)

// Config holds the deadlines of the steps. Zero or less: the default.
type Config struct {
	Connect   time.Duration // finding the proxy's address and TCP to it, together; default 3 s
	Handshake time.Duration // TLS to the proxy, and again the handshake with it; default 5 s
	Short     bool          // thousands wait at a time, most of them in vain: nothing is held for an answer before it comes
}

// The deadlines that hold when Config does not say otherwise.
const (
	defaultConnect   = 3 * time.Second
	defaultHandshake = 5 * time.Second
)

func (c Config) withDefaults() Config {
	return Config{cmp.Or(max(c.Connect, 0), defaultConnect), cmp.Or(max(c.Handshake, 0), defaultHandshake), c.Short}
}

// Env is what a Dialer works with that is not data. The zero value is usable:
// public addresses only, the system's resolver and roots.
type Env struct {
	Policy   proxy.AddrPolicy                                       // judges the proxy's final address
	Forbid   func(netip.AddrPort) bool                              // true for the program's own listeners, which would loop; nil: none
	Control  func(network, address string, c syscall.RawConn) error // asked as well, after the others; nil: nothing more
	Resolver *net.Resolver                                          // for names of proxies; targets are never resolved; nil: the default
	Roots    *x509.CertPool                                         // whom https proxies are verified against; nil: the system's
}

// Dialer makes the connections to proxies. It holds no connection itself and is
// safe for concurrent use. Make one with New.
type Dialer struct {
	cfg     Config
	env     Env
	net     net.Dialer
	tls     *tls.Config
	readers *sync.Pool // of *bufio.Reader, for answers to CONNECT
}

// headBuffer fits the answers that proxies give to CONNECT; longer ones are read in parts.
const headBuffer = 2 << 10

// New makes a Dialer.
func New(cfg Config, env Env) *Dialer {
	d := &Dialer{cfg: cfg.withDefaults(), env: env}
	d.net = net.Dialer{Resolver: env.Resolver, Control: d.control, KeepAlive: -1} // see Conn.KeepAlive
	d.tls = &tls.Config{RootCAs: env.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	d.readers = &sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headBuffer) }}
	return d
}

// WithTimeouts returns a Dialer that differs in what Config says only.
func (d *Dialer) WithTimeouts(cfg Config) *Dialer {
	c := *d
	c.cfg = cfg.withDefaults()
	return &c
}

// Via returns the way through one proxy. The password belongs to ep.User and is
// sent to that proxy only. Nothing is dialled yet.
func (d *Dialer) Via(ep proxy.Endpoint, password proxy.Secret) *Via {
	return &Via{d: d, ep: ep, password: password}
}

// control refuses forbidden addresses. It is called with the address that is
// about to be dialled, after any resolution, so a name that has come to mean
// another address does not get past it.
func (d *Dialer) control(network, address string, c syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	return d.permit(network, ap, c)
}

// permit is control for an address that need not be parsed.
func (d *Dialer) permit(network string, ap netip.AddrPort, c syscall.RawConn) error {
	if err := d.env.Policy.Check(ap.Addr()); err != nil {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	unmapped := netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	if d.env.Forbid != nil && d.env.Forbid(unmapped) {
		return fmt.Errorf("%w: %s is this program", errForbidden, unmapped)
	}
	if d.env.Control == nil {
		return nil
	}
	if err := d.env.Control(network, ap.String(), c); err != nil {
		return fmt.Errorf("%w: %w", errForbidden, err)
	}
	return nil
}
