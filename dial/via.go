package dial

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	xproxy "golang.org/x/net/proxy"

	"freeway/internal/socks"
	"freeway/proxy"
)

// Via reaches targets through one proxy. It is safe for concurrent use; every
// call makes a connection of its own. Errors are *Error.
type Via struct {
	d        *Dialer
	ep       proxy.Endpoint
	password proxy.Secret
}

var (
	_ xproxy.Dialer        = (*Via)(nil)
	_ xproxy.ContextDialer = (*Via)(nil)
)

// Dial is DialContext without a context; the deadlines of the steps hold all the same.
func (v *Via) Dial(network, addr string) (net.Conn, error) {
	return v.DialContext(context.Background(), network, addr)
}

// DialContext is Tunnel for callers that speak in strings. The network is tcp;
// tcp4 and tcp6 are refused, because only the proxy knows what a name means.
func (v *Via) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, badTarget(net.UnknownNetworkError(network))
	}
	to, err := proxy.ParseTarget(addr, 0)
	if err != nil {
		return nil, badTarget(err)
	}
	c, err := v.Tunnel(ctx, to)
	if err != nil {
		return nil, err // not c: a nil *Conn is not a nil net.Conn
	}
	return c, nil
}

// Tunnel connects to the proxy and has it connect to a target: by CONNECT,
// SOCKS4(a) or SOCKS5. A name is sent as it is. SOCKS4 cannot carry IPv6, which
// is PortDenied before anything is dialled.
func (v *Via) Tunnel(ctx context.Context, to proxy.Target) (*Conn, error) {
	addr, err := v.address(to)
	if err != nil {
		return nil, err
	}
	c, err := v.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return v.tunnel(ctx, c, addr)
}

// TunnelOver is Tunnel over a connection from Connect or Forward on which
// nothing was sent yet. It takes c over: after an error c is closed.
func (v *Via) TunnelOver(ctx context.Context, c *Conn, to proxy.Target) (*Conn, error) {
	addr, err := v.address(to)
	if err != nil {
		c.abort()
		return nil, err
	}
	return v.tunnel(ctx, c, addr)
}

// Forward connects to an HTTP proxy, with TLS to it if it is an https one. The
// connection is ready for requests in absolute form.
func (v *Via) Forward(ctx context.Context) (*Conn, error) {
	if v.ep.Protocol.IsSOCKS() {
		return nil, v.cannotForward()
	}
	c, err := v.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return v.ForwardOver(ctx, c)
}

// ForwardOver is Forward over a connection from Connect. It takes c over: after
// an error c is closed.
func (v *Via) ForwardOver(ctx context.Context, c *Conn) (*Conn, error) {
	if v.ep.Protocol.IsSOCKS() {
		c.abort()
		return nil, v.cannotForward()
	}
	if err := v.secure(ctx, c); err != nil {
		return nil, err
	}
	return c, nil
}

// Connect makes the TCP connection to the proxy and nothing more.
func (v *Via) Connect(ctx context.Context) (*Conn, error) {
	start := time.Now()
	step, cancel := v.limit(ctx, start.Add(v.d.cfg.Connect))
	defer cancel()
	raw, err := v.d.net.DialContext(step, "tcp", v.ep.Address())
	phases := proxy.Phases{Connect: time.Since(start)}
	if err == nil {
		return &Conn{Conn: raw, raw: raw, phases: phases, made: start}, nil
	}
	e := &Error{Stage: proxy.StageConnect, Class: Classify(err), Phases: phases, Err: err}
	if ofResolver(err) {
		e.Stage = proxy.StageResolve
	}
	if ctx.Err() != nil { // whatever the step made of it
		e.Class = Classify(ctx.Err())
	}
	return nil, e
}

// limited is a context with an earlier deadline, but not one that ends then.
type limited struct {
	context.Context
	deadline time.Time
}

func (l limited) Deadline() (time.Time, bool) { return l.deadline, true }

// hooked is a limited context that calls functions at its end by itself.
type hooked struct {
	limited
	hooker
}

// hooker is what package context uses, where a context has it, in place of a
// goroutine that waits for the end.
type hooker interface {
	AfterFunc(func()) (stop func() bool)
}

// afterFunc is context.AfterFunc, and cheaper where the context has its own.
func afterFunc(ctx context.Context, do func()) (stop func() bool) {
	if h, ok := ctx.(hooker); ok {
		return h.AfterFunc(do)
	}
	return context.AfterFunc(ctx, do)
}

// limit returns a context for connecting until then. Package net sets the deadline
// of a context on the socket whose connection it waits for, when the context can
// end at all, so a timer is needed only while a name is looked up.
func (v *Via) limit(ctx context.Context, until time.Time) (context.Context, context.CancelFunc) {
	if ctx.Done() == nil || !v.ep.Addr().IsValid() {
		return context.WithDeadline(ctx, until)
	}
	if at, ok := ctx.Deadline(); ok && at.Before(until) {
		return ctx, func() {}
	}
	if h, ok := ctx.(hooker); ok {
		return hooked{limited{ctx, until}, h}, func() {}
	}
	return limited{ctx, until}, func() {}
}

// ProxyAuthorization returns the value of the Proxy-Authorization header for
// requests over a Forward connection, "" when the proxy has no credentials. It
// is for that proxy alone: never send it through a tunnel.
func (v *Via) ProxyAuthorization() string {
	if v.ep.Protocol.IsSOCKS() || v.ep.User == "" && v.password.IsZero() {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(v.ep.User+":"+v.password.Reveal()))
}

// tunnel does the steps after Connect, each with its own deadline.
func (v *Via) tunnel(ctx context.Context, c *Conn, to socks.Addr) (*Conn, error) {
	if err := v.secure(ctx, c); err != nil {
		return nil, err
	}
	start, said := c.HandshakeBegan(), c.said
	c.said = nil
	err := c.step(ctx, v.d.cfg.Handshake-time.Since(start), func() error {
		talk := io.ReadWriter(c.Conn)
		if said != nil {
			talk = &continued{c.Conn, said}
		}
		if err := v.ask(talk, to); err != nil || v.ep.Protocol.IsSOCKS() {
			return err
		}
		return v.granted(c)
	})
	c.phases.Handshake = time.Since(start)
	if err != nil {
		return nil, c.fail(proxy.StageHandshake, err)
	}
	return c, nil
}

// ask asks for a tunnel. The answer to CONNECT is left to read.
func (v *Via) ask(talk io.ReadWriter, to socks.Addr) error {
	switch v.ep.Protocol {
	case proxy.SOCKS5:
		return socks.Client5(talk, to, v.ep.User, v.password.Reveal())
	case proxy.SOCKS4:
		return socks.Client4(talk, to, v.ep.User)
	}
	b := requestBuffers.Get().(*[]byte)
	defer requestBuffers.Put(b)
	*b = v.appendConnect((*b)[:0], to.String())
	_, err := talk.Write(*b)
	return err
}

// requestBuffers hold requests for tunnels while they are sent.
var requestBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// address checks that a target can be sent and puts it into the form that is.
// Targets and endpoints have the same grammar of hosts, which admits nothing
// that could end a line or a string in a handshake.
func (v *Via) address(to proxy.Target) (socks.Addr, error) {
	host, err := proxy.NewEndpoint(proxy.HTTP, to.Host, to.Port, "")
	if err != nil {
		return socks.Addr{}, badTarget(err)
	}
	ip := host.Addr()
	if v.ep.Protocol == proxy.SOCKS4 && ip.Is6() {
		return socks.Addr{}, &Error{Stage: proxy.StageHandshake, Class: proxy.PortDenied,
			Err: fmt.Errorf("%w: SOCKS4 has no IPv6", socks.ErrAddress)}
	}
	return socks.Addr{IP: ip, Name: host.Host, Port: to.Port}, nil
}

// badTarget is the error of a target that nobody can reach; it blames no proxy.
func badTarget(err error) *Error {
	return &Error{Stage: proxy.StageHandshake, Class: proxy.TargetFailed, Err: fmt.Errorf("target: %w", err)}
}

var errNoForward = errors.New("a SOCKS proxy takes no requests in absolute form")

func (v *Via) cannotForward() *Error {
	return &Error{Stage: proxy.StageHandshake, Class: proxy.Rejected, Err: errNoForward}
}
