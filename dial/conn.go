package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"freeway/proxy"
)

// Conn is a connection through, or to, a proxy. Like any net.Conn its methods
// may be called from several goroutines.
type Conn struct {
	net.Conn // TCP, or TLS to the proxy
	raw      net.Conn
	secured  bool // TLS to the proxy is done
	phases   proxy.Phases
	made     time.Time
	said     []byte    // what a scout has sent of the opening
	saidAt   time.Time // and when

	mu    sync.Mutex // protects ahead
	ahead []byte     // came behind the handshake, not yet read
}

// Read first gives what the proxy sent right behind its handshake.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(c.ahead) == 0 {
		c.mu.Unlock()
		return c.Conn.Read(p)
	}
	defer c.mu.Unlock()
	n := copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		c.ahead = nil // an idle tunnel keeps no buffer
	}
	return n, nil
}

// CloseWrite tells the other side that no more will be sent and leaves the
// reading direction open: a FIN on TCP, a close_notify on TLS.
func (c *Conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return fmt.Errorf("half-close: %w", errors.ErrUnsupported)
}

// KeepAlive has the system look every 15 s whether the proxy is still there, as
// package net does by default. It is for connections that are to last: it takes
// four calls of the system, and most connections are over before the first look.
func (c *Conn) KeepAlive() {
	if t, ok := c.raw.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) // fails only when it is closed
	}
}

// Phases returns how long the steps took until the connection was ready. FirstByte is always 0.
func (c *Conn) Phases() proxy.Phases { return c.phases }

// HandshakeBegan returns when the handshake did: when a scout has sent its opening, else now.
func (c *Conn) HandshakeBegan() time.Time {
	if c.said != nil {
		return c.saidAt
	}
	return time.Now()
}

// RemoteAddrPort returns the proxy's address that was dialled.
func (c *Conn) RemoteAddrPort() netip.AddrPort {
	a, ok := c.raw.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// step runs do with a deadline of its own or that of ctx, whichever is earlier, and
// clears it afterwards. When ctx ends sooner, do fails then. Nothing of it runs on
// after it returns.
func (c *Conn) step(ctx context.Context, limit time.Duration, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	until := time.Now().Add(limit)
	if at, ok := ctx.Deadline(); ok && at.Before(until) {
		until = at
	}
	if err := c.raw.SetDeadline(until); err != nil {
		return err
	}
	h := &hurry{c: c}
	h.over.Add(1)
	stop := afterFunc(ctx, h.run)
	err := do()
	if !stop() {
		h.over.Wait()
		return ctx.Err()
	}
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	return c.raw.SetDeadline(time.Time{})
}

// hurry ends a step early.
type hurry struct {
	c    *Conn
	over sync.WaitGroup
}

// run does it, once.
func (h *hurry) run() {
	defer h.over.Done()
	_ = h.c.raw.SetDeadline(time.Unix(1, 0)) // fails only when it is closed, which does as well
}

// abort closes the socket at once, without the farewell of TLS, which could wait for the peer.
func (c *Conn) abort() { _ = c.raw.Close() }

// Reset closes the connection so that the proxy sees a cut and not an end: a RST, without the
// farewell of TLS. What was not sent yet is lost.
func (c *Conn) Reset() {
	if t, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0)
	}
	c.abort()
}

// fail closes the connection and says at which stage it failed.
func (c *Conn) fail(stage proxy.Stage, err error) *Error {
	c.abort()
	return newError(stage, c.phases, err)
}

// secure does TLS to an https proxy, once. The certificate must be valid for the
// proxy's host; a host that is an address is not sent as server name, as RFC
// 6066 section 3 demands and crypto/tls does.
func (v *Via) secure(ctx context.Context, c *Conn) error {
	if v.ep.Protocol != proxy.HTTPS || c.secured {
		return nil
	}
	cfg := v.d.tls.Clone()
	cfg.ServerName = v.ep.Host
	conn := tls.Client(c.raw, cfg)
	start := time.Now()
	err := c.step(ctx, v.d.cfg.Handshake, conn.Handshake)
	c.phases.TLS = time.Since(start)
	if err != nil {
		return c.fail(proxy.StageTLS, err)
	}
	c.Conn, c.secured = conn, true
	return nil
}
