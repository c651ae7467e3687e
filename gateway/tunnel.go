package gateway

import (
	"context"
	"time"

	"freeway/dial"
)

// dialTunnel brings a tunnel to the target up, through one upstream after the
// other. Nothing has been given to the client and nothing of its data was
// sent, so any failure may go on to the next.
func (x *exchange) dialTunnel(ctx *scope) (*try, *dial.Conn, *refusal) {
	for {
		t, r := x.next(ctx)
		if r != nil {
			return nil, nil, r
		}
		if t, up := x.setUp(ctx, t); t != nil {
			t.pacedTunnel()
			return t, up, nil
		}
	}
}

// tunnel serves one CONNECT or SOCKS request. succeed tells the client that
// the tunnel is up, refuse ends the exchange and tells that it is not. The connection is used up: what is left
// to do is in client.then.
func (x *exchange) tunnel(ctx context.Context, succeed func(*try) error, refuse func(*refusal)) {
	timed := x.c.newScope(ctx, x.until)
	defer func() { timed.renew(time.Time{}) }()
	unwatch := x.c.watch(timed.end, true)
	defer unwatch()
	t, up, r := x.dialTunnel(timed)
	unwatch()
	if r != nil {
		refuse(r)
		return
	}
	x.answered = true
	x.answering()
	if err := succeed(t); err != nil {
		_ = up.Close()
		t.close()
		x.end(errGone)
		return
	}
	x.c.then = func() {
		f := x.launch(ctx, t, up, waiting)
		f.stage(func() { f.early(timed) })()
	}
}

// carry runs a tunnel that is up until its end.
func (x *exchange) carry(ctx context.Context, t *try, up *dial.Conn, state int32) {
	f := x.launch(ctx, t, up, state)
	defer f.settle()
	up.KeepAlive()
	if l := f.firstWords(x.c.newScope(ctx, time.Time{}), f.hear(f.idle)); l != nil {
		f.upload(l)
	}
}

// launch begins to carry a tunnel that is up. It ends with flow.over.
func (x *exchange) launch(ctx context.Context, t *try, up *dial.Conn, state int32) *flow {
	x.c.g.tunnels.Add(1)
	f := &flow{x: x, idle: x.s.cfg.Timeouts.Idle, left: max(time.Until(x.until), time.Millisecond)}
	f.lastMoved.Store(time.Now().UnixNano())
	f.first = f.start(t, up, state)
	x.carriedBy(f)
	if age := x.s.cfg.Tunnel.MaxAge; age > 0 {
		f.old = time.AfterFunc(age, f.abort)
	}
	if x.pace != nil {
		f.unhook = context.AfterFunc(ctx, f.abort) // it may wait for its turn
	}
	return f
}
