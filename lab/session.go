package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"freeway/proxy"
)

// session is one connection of a client to an upstream.
type session struct {
	*Lab
	n  *node
	c  *link
	as Behaviour // what the node is on this connection
}

// serve owns a client's connection until it ends.
func (l *Lab) serve(tc *net.TCPConn, n *node) {
	if !l.scope.keep(tc) {
		return
	}
	defer l.scope.drop(tc)
	n.enter(tc)
	defer n.leave(tc)
	s := &session{Lab: l, n: n, c: newLink(tc), as: n.mood(time.Now())}
	if !s.turnedAway() {
		s.speak()
	}
	s.linger()
}

// speak talks the node's protocol.
func (s *session) speak() {
	switch s.n.Protocol {
	case proxy.SOCKS4, proxy.SOCKS5:
		s.serveSOCKS()
	case proxy.HTTPS:
		if s.startTLS() == nil {
			s.serveHTTP()
		}
	default:
		s.serveHTTP()
	}
}

// startTLS speaks TLS as the proxy itself.
func (s *session) startTLS() error {
	local := s.n.addr.Addr().String()
	t := s.c.secure(func(c net.Conn) *tls.Conn { return tls.Server(c, s.ca.server(local)) })
	return s.handshake(t)
}

// handshake does the TLS handshake, on either side, within handshakeTime.
func (s *session) handshake(t *tls.Conn) error {
	ctx, cancel := context.WithTimeout(s.scope, handshakeTime)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// turnedAway deals with the behaviours that do not depend on what the client
// says; it reports whether the connection is done with.
func (s *session) turnedAway() bool {
	switch s.as {
	case Silent, SilentConnect:
		s.mute()
	case Refused: // of one that is down for a time: its socket is shared, so a reset has to do
		s.c.abort()
	case Garbage:
		s.c.Write(s.n.banner)
	case LoginPage:
		if !s.n.Protocol.IsSOCKS() {
			return false
		}
		if _, err := s.c.br.Peek(1); err == nil {
			s.c.Write(loginPage("HTTP/1.1 200 OK"))
		}
	default:
		return false
	}
	return true
}

// mute reads for ever and never answers.
func (s *session) mute() {
	s.c.patience(idleTime)
	s.bufs.copy(io.Discard, s.c)
}

// linger half-closes and lets the client read what was sent: closing with
// unread bytes in the receive buffer would destroy it by a reset. After a reset
// of our own, or when the client is gone, it returns at once.
func (s *session) linger() {
	s.c.CloseWrite()
	s.c.patience(lingerTime)
	s.bufs.copy(io.Discard, io.LimitReader(s.c, maxHead))
}

// lingerTime is how long a client has to close after the upstream did.
const lingerTime = 5 * time.Second

// think waits as long as this upstream takes for an answer; false when the lab ends.
func (s *session) think() bool { return s.scope.sleep(s.n.latency()) }

// reach resolves and dials a target, leaving from the node's exit. secure says whether TLS is spoken there.
func (s *session) reach(host string, port uint16) (up *link, secure bool, err error) {
	if _, err := netip.ParseAddr(host); err != nil && s.n.RefuseNames {
		return nil, false, fmt.Errorf("%s: names are not resolved here", host)
	}
	to, ok := s.servers.resolve(host, port, s.cfg.AllowLoopback)
	if !ok {
		return nil, false, fmt.Errorf("%s port %d is not in the lab", host, port)
	}
	up, err = s.dial(s.n.exit(), to)
	return up, s.servers.secure(to), err
}
