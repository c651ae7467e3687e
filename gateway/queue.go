package gateway

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	handshakeTime = 250 * time.Millisecond // that a TCP handshake may take which is under way when a listener closes
	localTime     = 5 * time.Millisecond   // the same on loopback
	mostQueued    = 1 << 16                // connections that a queue can hold (SOMAXCONN is less)
)

// empty serves all who have connected to the listener and keeps others from
// doing so. Sockets that are not TCP of our own (inherited ones, of which
// another process keeps the queue) are left as they are.
func (g *Gateway) empty(l *listener) {
	t, ok := l.Listener.(*net.TCPListener)
	if !ok {
		return
	}
	wait := handshakeTime
	if a, ok := t.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		wait = localTime
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	refuseNew(raw)
	_ = t.SetDeadline(time.Now().Add(wait))
	<-l.done // it accepts until then
	_ = t.SetDeadline(time.Time{})
	for range mostQueued {
		if !queued(raw) {
			return
		}
		conn, err := t.Accept()
		if err != nil {
			if !g.again(err) {
				return
			}
			continue
		}
		g.admit(g.base, l, conn)
	}
}

// again makes room after a failed accept and reports whether another can work.
func (g *Gateway) again(err error) bool {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	g.m.acceptErrors.Inc()
	g.reuse.sweep(true)
	return g.shed(shedBatch) > 0
}
