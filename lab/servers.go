package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// visitor is one connection to a server of the lab.
type visitor struct {
	remote netip.AddrPort
	wire   *wireConn     // nil for a server that does not record
	known  chan struct{} // closed when exit is set
	exit   netip.Addr    // the upstream's exit; zero for a direct connection
}

// visitorKey finds the visitor in a request's context.
type visitorKey struct{}

// visit classifies a new connection without holding up the server's accept loop.
// count is nil for servers whose visitors are not counted.
func (l *Lab) visit(ctx context.Context, c net.Conn, count *counter) context.Context {
	v := &visitor{known: make(chan struct{})}
	v.wire, _ = c.(*wireConn)
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		v.remote = unmap(a.AddrPort())
	}
	settle := func(exit netip.Addr, ok bool) {
		v.exit = exit
		close(v.known)
		if count != nil {
			count.settle(!ok)
		}
	}
	if count != nil {
		count.unsettled()
	}
	p := path{from: v.remote}
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		p.to = unmap(a.AddrPort())
	}
	exit, ok, pending := l.exits.take(p)
	if ok || len(pending) == 0 || !l.scope.spawn(func() { settle(l.exits.await(p, pending, l.scope.done)) }) {
		settle(exit, ok)
	}
	return context.WithValue(ctx, visitorKey{}, v)
}

// exitOf returns the exit of the upstream that a request came through; not ok when it came directly.
func exitOf(ctx context.Context) (exit netip.Addr, ok bool) {
	v, _ := ctx.Value(visitorKey{}).(*visitor)
	if v == nil {
		return netip.Addr{}, false
	}
	select {
	case <-v.known:
	case <-ctx.Done():
		return netip.Addr{}, false
	}
	return v.exit, v.exit.IsValid()
}

// seenAddr is the address that a server of the lab takes a request to come from.
func seenAddr(r *http.Request) netip.Addr {
	if exit, ok := exitOf(r.Context()); ok {
		return exit
	}
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap()
}

// serveHTTP serves h at addr until the lab ends. conf is nil for plain HTTP;
// with count, connections are counted and the bytes of heads are kept.
func (l *Lab) serveHTTP(addr string, conf *tls.Config, count *counter, h http.Handler) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on %s: %w", addr, err)
	}
	bound := unmap(ln.Addr().(*net.TCPAddr).AddrPort())
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: handshakeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHead,
		ErrorLog:     slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
		ConnState:    l.scope.connState,
		ConnContext:  func(ctx context.Context, c net.Conn) context.Context { return l.visit(ctx, c, count) },
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 only
	}
	if l.log.Handler() == slog.DiscardHandler {
		srv.ErrorLog = log.New(discard{}, "", 0)
	}
	var steady net.Listener = &steadyListener{ln, l.scope}
	if conf != nil {
		steady = tls.NewListener(steady, conf)
	}
	if count != nil {
		steady = wireListener{steady}
	}
	l.scope.keep(srv)
	l.scope.spawn(func() { srv.Serve(steady) })
	return bound, nil
}

// discard is an io.Writer for the errors of http.Server that nobody wants.
type discard struct{}

// Write drops p.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// steadyListener survives every accept error but its own end.
type steadyListener struct {
	net.Listener
	scope *scope
}

// Accept waits for a connection, however often that fails.
func (s *steadyListener) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) || !s.scope.sleep(acceptPause) {
			return c, err
		}
	}
}

// acceptPause is the rest after a failed accept, for example with no descriptor left.
const acceptPause = 10 * time.Millisecond

// unmap makes addresses comparable: IPv4 in IPv6 becomes IPv4.
func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
