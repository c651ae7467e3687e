package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"freeway/internal/socks"
	"freeway/proxy"
)

// serveSOCKS serves the one request of a SOCKS connection. await has set the
// deadline for the whole handshake.
func (c *client) serveSOCKS(ctx context.Context, version byte) {
	c.g.m.requests.WithLabelValues("socks" + strconv.Itoa(int(version))).Inc()
	_ = c.raw.SetWriteDeadline(time.Now().Add(headTime))
	if c.excess {
		c.turnAwaySOCKS(version, socks.Addr{}, codeOverload, socks.GeneralFailure)
		c.refuseExcessSOCKS(version)
		return
	}
	if version == 4 {
		c.serveSOCKS4(ctx)
		return
	}
	s := c.g.set.Load()
	var w who
	if !c.greet5(s, &w) {
		c.linger()
		return
	}
	q, err := socks.ReadRequest5(c.r)
	switch {
	case errors.Is(err, socks.ErrAddressType):
		c.turnAwaySOCKS(5, socks.Addr{}, codeBadRequest, socks.AddressNotSupported)
		c.reply5(socks.AddressNotSupported)
	case errors.Is(err, socks.ErrProtocol):
		c.turnAwaySOCKS(5, socks.Addr{}, codeBadRequest, socks.GeneralFailure)
		c.reply5(socks.GeneralFailure)
	case err != nil: // it went away, or was too slow
	case q.Command != socks.CmdConnect:
		c.turnAwaySOCKS(5, q.Addr, codeBadRequest, socks.CommandNotSupported)
		c.reply5(socks.CommandNotSupported)
	default:
		c.connectSOCKS(ctx, s, &w, "SOCKS5", q.Addr, c.reply5)
		return
	}
	c.linger()
}

// refuseExcessSOCKS answers the request of a connection over the limit, as far
// as it comes to one. Who asks does not matter.
func (c *client) refuseExcessSOCKS(version byte) {
	defer c.linger()
	if version == 4 {
		if _, err := socks.ReadRequest4(c.r); err == nil {
			c.reply4(socks.GeneralFailure)
		}
		return
	}
	methods, err := socks.ReadGreeting5(c.r)
	if err != nil {
		return
	}
	method := socks.NoAuth
	if bytes.IndexByte(methods, method) < 0 {
		method = socks.UserPass
	}
	if socks.WriteMethod5(c.conn, method) != nil {
		return
	}
	if method == socks.UserPass {
		if _, _, err := socks.ReadLogin5(c.r); err != nil || socks.WriteLogin5(c.conn, true) != nil {
			return
		}
	}
	if _, err := socks.ReadRequest5(c.r); err == nil {
		c.reply5(socks.GeneralFailure)
	}
}

// greet5 settles the method and the login. A client that can log in is asked
// to, because its options ride in the user name.
func (c *client) greet5(s *settings, w *who) bool {
	methods, err := socks.ReadGreeting5(c.r)
	if err != nil {
		if errors.Is(err, socks.ErrProtocol) { // it offers nothing
			_ = socks.WriteMethod5(c.conn, socks.NoAcceptable)
		}
		return false
	}
	if bytes.IndexByte(methods, socks.UserPass) < 0 {
		r := c.authorize(s, login{}, "", w)
		if r != nil {
			c.turnAwaySOCKS(5, socks.Addr{}, r.code, socks.NotAllowed)
		}
		if r != nil || bytes.IndexByte(methods, socks.NoAuth) < 0 {
			_ = socks.WriteMethod5(c.conn, socks.NoAcceptable)
			return false
		}
		return socks.WriteMethod5(c.conn, socks.NoAuth) == nil
	}
	if socks.WriteMethod5(c.conn, socks.UserPass) != nil {
		return false
	}
	user, password, err := socks.ReadLogin5(c.r)
	if err != nil {
		if errors.Is(err, socks.ErrProtocol) {
			_ = socks.WriteLogin5(c.conn, false)
		}
		return false
	}
	r := c.authorize(s, login{user: user, password: password, given: true}, "", w)
	if r != nil {
		c.turnAwaySOCKS(5, socks.Addr{}, r.code, answers[r.code].reply)
	}
	return socks.WriteLogin5(c.conn, r == nil) == nil && r == nil
}

// serveSOCKS4 serves a SOCKS4 or 4a request. The user id carries name and options;
// there is no password, so users that have one cannot come in this way.
func (c *client) serveSOCKS4(ctx context.Context) {
	s := c.g.set.Load()
	q, err := socks.ReadRequest4(c.r)
	if err != nil {
		if errors.Is(err, socks.ErrProtocol) {
			c.reply4(socks.GeneralFailure)
		}
		c.linger()
		return
	}
	var w who
	r := c.authorize(s, login{user: q.User, given: q.User != "", nopass: true}, "", &w)
	switch {
	case r != nil:
		c.turnAwaySOCKS(4, q.Addr, r.code, answers[r.code].reply)
		_ = socks.WriteReply4(c.conn, socks.BadIdent)
	case q.Command != socks.CmdConnect:
		c.turnAwaySOCKS(4, q.Addr, codeBadRequest, socks.CommandNotSupported)
		c.reply4(socks.CommandNotSupported)
	default:
		c.connectSOCKS(ctx, s, &w, "SOCKS4", q.Addr, c.reply4)
		return
	}
	c.linger()
}

// connectSOCKS serves a well-formed request to connect.
func (c *client) connectSOCKS(ctx context.Context, s *settings, w *who, method string, addr socks.Addr, reply func(socks.Reply)) {
	t, err := proxy.ParseTarget(addr.String(), 0)
	if err != nil {
		c.turnAway(newID(), method, proxy.Target{}, codeBadRequest, int(socks.GeneralFailure))
		reply(socks.GeneralFailure)
		c.linger()
		return
	}
	x, r := c.enter(ctx, s, w, method, t, false)
	refuse := func(r *refusal) {
		x.trace.Status = int(answers[r.code].reply)
		x.end(r)
		reply(answers[r.code].reply)
		c.linger()
	}
	if r != nil {
		refuse(r)
		return
	}
	succeed := func(t *try) error {
		x.show(t)
		reply(socks.Succeeded)
		return nil
	}
	x.tunnel(ctx, succeed, refuse)
}

// replyWriter gives each reply a deadline and notes nothing: a client that
// does not take it is found out by the tunnel.
func (c *client) replyWriter() io.Writer {
	_ = c.raw.SetWriteDeadline(time.Now().Add(headTime))
	return c.conn
}

// reply5 answers a SOCKS5 request. The bound address is not told: it would be ours.
func (c *client) reply5(code socks.Reply) {
	_ = socks.WriteReply5(c.replyWriter(), code, socks.Addr{})
}

// reply4 answers a SOCKS4 request, which knows only yes and no.
func (c *client) reply4(code socks.Reply) {
	four := socks.Rejected
	if code == socks.Succeeded {
		four = socks.Granted
	}
	_ = socks.WriteReply4(c.replyWriter(), four)
}
