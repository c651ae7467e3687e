package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// poolTries is how many upstreams of different exits throughPool tries.
const poolTries = 4

// throughPool connects to addr by a tunnel through one of Freeway's own
// upstreams, for sources that are read that way. Names are not resolved here.
// There is no direct way when none works.
func (s *server) throughPool(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, net.UnknownNetworkError(network)
	}
	to, err := proxy.ParseTarget(addr, 0)
	if err != nil {
		return nil, err
	}
	want := proxy.Want{Target: to, Need: to.Needs(false), Pools: s.current().Gateway.Pools}
	var errs []error
	for range poolTries {
		lease, err := s.pool.Pick(ctx, want)
		if err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		conn, err := s.tunnel(ctx, lease, to)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, err)
		want.Avoid = append(want.Avoid, lease.Entry.Endpoint)
		if exit := exitOf(&lease.Entry); exit.IsValid() {
			want.AvoidExits = append(want.AvoidExits, exit)
		}
	}
	return nil, errors.Join(errs...)
}

// tunnel tries one upstream and reports how it went. The lease ends with the
// connection.
func (s *server) tunnel(ctx context.Context, lease proxy.Lease, to proxy.Target) (net.Conn, error) {
	conn, err := s.dialer.Via(lease.Entry.Endpoint, lease.Entry.Password).Tunnel(ctx, to)
	out := proxy.Outcome{Endpoint: lease.Entry.Endpoint, Target: to, At: time.Now(), Stage: proxy.StageTunnel, Class: proxy.OK}
	if err == nil {
		out.Phases = conn.Phases()
		lease.Report(out)
		return &leasedConn{Conn: conn, end: sync.OnceFunc(lease.Close)}, nil
	}
	out.Class = dial.Classify(err)
	if e := (*dial.Error)(nil); errors.As(err, &e) {
		out.Stage, out.Class, out.Status, out.Phases = e.Stage, e.Class, e.Status, e.Phases
	}
	if ctx.Err() != nil {
		out.Class = proxy.Canceled // nobody's fault
	}
	lease.Report(out)
	lease.Close()
	return nil, err
}

// exitOf is where an entry's traffic leaves, as far as that is known.
func exitOf(e *proxy.Entry) netip.Addr {
	if e.Traits.ExitIP.IsValid() {
		return e.Traits.ExitIP
	}
	return e.Endpoint.Addr()
}

// leasedConn gives the lease back when it is closed.
type leasedConn struct {
	net.Conn
	end func()
}

// Close closes the connection and ends the lease.
func (c *leasedConn) Close() error {
	defer c.end()
	return c.Conn.Close()
}
