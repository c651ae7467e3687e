package dial

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	xproxy "golang.org/x/net/proxy"

	"freeway/proxy"
)

type Config struct{ Connect, Handshake time.Duration }

type Env struct {
	Policy   proxy.AddrPolicy
	Forbid   func(netip.AddrPort) bool
	Control  func(network, address string, c syscall.RawConn) error
	Resolver *net.Resolver
	Roots    *x509.CertPool
}

type Dialer struct {
	cfg Config
	env Env
}

func New(cfg Config, env Env) *Dialer { return &Dialer{cfg, env} }

func (d *Dialer) WithTimeouts(cfg Config) *Dialer { return &Dialer{cfg, d.env} }

func (d *Dialer) Via(ep proxy.Endpoint, password proxy.Secret) *Via { return &Via{d, ep, password} }

type Via struct {
	d        *Dialer
	ep       proxy.Endpoint
	password proxy.Secret
}

var (
	_ xproxy.Dialer        = (*Via)(nil)
	_ xproxy.ContextDialer = (*Via)(nil)
)

var errTODO = errors.New("not yet")

func (v *Via) Dial(network, addr string) (net.Conn, error) {
	return v.DialContext(context.Background(), network, addr)
}
func (v *Via) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return nil, errTODO
}
func (v *Via) Tunnel(ctx context.Context, to proxy.Target) (*Conn, error) { return nil, errTODO }
func (v *Via) Forward(ctx context.Context) (*Conn, error)                 { return nil, errTODO }
func (v *Via) Connect(ctx context.Context) (*Conn, error)                 { return nil, errTODO }
func (v *Via) TunnelOver(ctx context.Context, c *Conn, to proxy.Target) (*Conn, error) {
	return nil, errTODO
}
func (v *Via) ForwardOver(ctx context.Context, c *Conn) (*Conn, error) { return nil, errTODO }
func (v *Via) ProxyAuthorization() string                              { return "" }

type Conn struct {
	net.Conn
	phases proxy.Phases
}

func (c *Conn) CloseWrite() error              { return errTODO }
func (c *Conn) Phases() proxy.Phases           { return c.phases }
func (c *Conn) RemoteAddrPort() netip.AddrPort { return netip.AddrPort{} }

type Error struct {
	Stage  proxy.Stage
	Class  proxy.Class
	Status int
	Phases proxy.Phases
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func Classify(err error) proxy.Class { return proxy.OK }
