package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"syscall"
	"time"
)

const (
	acceptMin = 5 * time.Millisecond // first pause after a failed accept, doubled up to acceptMax
	acceptMax = 500 * time.Millisecond
	shedBatch = 16          // idle connections closed at a time when descriptors run out
	spareConn = 64          // connections over the limit that are still told so
	freshTime = time.Second // after it a connection without a request is an idle one
)

// accept takes connections until the listener is closed. No other error ends
// it: out of descriptors or memory passes, and so do connections that are
// reset before they are taken.
func (g *Gateway) accept(ctx context.Context, l *listener) {
	pause := acceptMin
	for {
		conn, err := l.Accept()
		if err == nil {
			pause = acceptMin
			g.admit(ctx, l, conn)
			continue
		}
		if _, system := errors.AsType[syscall.Errno](err); errors.Is(err, net.ErrClosed) || l.gone.Load() && !system {
			return
		}
		g.m.acceptErrors.Inc()
		g.env.Log.Warn("accept failed", "listener", l.Addr().String(), "error", err)
		if isShort(err) {
			g.reuse.sweep(true)
			g.shed(shedBatch)
		}
		time.Sleep(pause)
		pause = min(2*pause, acceptMax)
	}
}

// isShort reports whether an accept failed for want of descriptors or memory,
// which closing something cures. A connection that was reset before it was taken, or
// one that a firewall forbids, is nobody else's matter.
func isShort(err error) bool {
	return !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EPERM)
}

// admit registers a connection and has it served in a goroutine of its own. Beyond the
// limit an idle connection makes room; when there is none a client that has less
// than its share is served nevertheless, and others are told.
func (g *Gateway) admit(ctx context.Context, l *listener, conn net.Conn) {
	limit := g.set.Load().maxConns
	c := newClient(g, l, conn)
	g.mu.Lock()
	g.clients[c] = struct{}{}
	g.shares.add(network(c.ip), 1)
	n := len(g.clients) - g.excess
	below := g.shares.below(network(c.ip), n, limit)
	g.mu.Unlock()
	full := g.memory.over(memoryFull)
	if full {
		g.reuse.sweep(true)
		g.shed(shedBatch)
	}
	if (full || n > limit && !g.makeRoom() && !below) && !g.tooMany(c) {
		c.dropExcess()
		g.forget(c)
		return
	}
	g.m.connections.Inc()
	g.work(ctx, c)
}

// serve serves the connection.
func (g *Gateway) serve(ctx context.Context, c *client) {
	g.guarded(c, func() { c.serve(ctx) })
	g.goOn(c)
}

// guarded keeps a mistake in one connection from ending the others.
func (g *Gateway) guarded(c *client, do func()) {
	defer c.afterPanic()
	defer g.recover()
	do()
}

// goOn serves what a connection has become, part by part, each where it belongs.
func (g *Gateway) goOn(c *client) {
	for c.then != nil {
		where := c.where
		c.where = here
		switch {
		case where == apart:
			g.wg.Go(func() { // not by calling itself, which takes stack
				g.part(c)
				g.goOn(c)
			})
			return
		case where == grown && g.workers.give(job{c: c}):
			return
		}
		g.part(c)
	}
	g.forget(c)
}

// part serves one part.
func (g *Gateway) part(c *client) {
	then := c.then
	c.then = nil
	g.guarded(c, then)
}

// forget closes the connection and gives back what it held.
func (g *Gateway) forget(c *client) {
	_ = c.raw.Close()
	g.mu.Lock()
	delete(g.clients, c)
	g.shares.add(network(c.ip), -1)
	if c.excess {
		g.excess--
	}
	g.mu.Unlock()
	c.release()
}

// recover keeps a mistake in one connection from ending the others.
func (g *Gateway) recover() {
	if p := recover(); p != nil {
		g.m.panics.Inc()
		g.env.Log.Error("panic while serving a connection", "panic", p, "stack", string(debug.Stack()))
	}
}

// afterPanic ends the request that was being served, if there is one: only a
// panic leaves it behind, or a tunnel that is yet to be carried.
func (c *client) afterPanic() {
	x := c.x
	if x == nil || c.then != nil {
		return
	}
	r := refusef(codeInternal, "the request could not be served")
	x.end(r)
	if !x.answered && c.http {
		_ = c.write(r.appendTo(nil, x.trace.ID, false, false))
	}
}

// shed closes up to n connections that wait for a request, and returns how many.
func (g *Gateway) shed(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	done, now := 0, time.Now()
	for c := range g.clients {
		if done == n {
			break
		}
		if c.waits(now) && c.dismiss() {
			done++
		}
	}
	return done
}

// waits reports whether the connection waits for a request, and none is likely
// to be on its way: who has only just connected is about to send one.
func (c *client) waits(now time.Time) bool {
	return c.idle.Load() && (c.served.Load() || now.Sub(c.came) > freshTime)
}

// dismiss closes a connection that waits for a request. It reports false when one came.
func (c *client) dismiss() bool {
	return c.idle.CompareAndSwap(true, false) && c.raw.SetReadDeadline(longAgo) == nil
}

// tooMany marks a connection for which there is no place. It reports false when
// there are so many of them that this one is not even told.
func (g *Gateway) tooMany(c *client) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.excess = true
	g.excess++
	return g.excess <= spareConn
}

// makeRoom closes one idle connection, of the client that has the most. It
// reports false when nobody's is idle.
func (g *Gateway) makeRoom() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for {
		var most *client
		for c := range g.clients {
			if c.waits(now) && !c.excess && (most == nil || g.shares[network(c.ip)] > g.shares[network(most.ip)]) {
				most = c
			}
		}
		switch {
		case most == nil:
			return false
		case most.dismiss():
			return true
		}
	}
}

// longAgo as a deadline wakes up whoever waits.
var longAgo = time.Unix(1, 0)

// handshake does the TLS handshake of a TLS listener.
func (c *client) handshake(ctx context.Context) error {
	conf := c.l.tls.Load()
	if conf == nil {
		return nil
	}
	t := tls.Server(c.raw, conf)
	if err := c.raw.SetDeadline(time.Now().Add(headTime)); err != nil {
		return err
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := c.raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.conn = t
	c.r.Reset(t)
	return nil
}
