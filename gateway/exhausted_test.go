package gateway_test

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/gateway"
)

// shutting hands out connections, and an error in front of each.
type shutting struct {
	net.Listener
	err    error
	failed atomic.Int64
	turn   bool
}

func (s *shutting) Accept() (net.Conn, error) {
	if s.turn = !s.turn; s.turn {
		s.failed.Add(1)
		return nil, &net.OpError{Op: "accept", Err: s.err}
	}
	return s.Listener.Accept()
}

// TestThreat98WhoIsIdleStays: connections that are reset before they are taken
// cost the others nothing; where descriptors are short, who is idle makes room.
func TestThreat98WhoIsIdleStays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		stays bool
	}{{"reset", syscall.ECONNABORTED, true}, {"forbidden", syscall.EPERM, true}, {"no descriptor", syscall.EMFILE, false}, {"no memory", syscall.ENOMEM, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &shutting{Listener: l, err: tt.err}
			g, err := gateway.Open(gateway.Config{}, gateway.Env{Picker: &picker{changed: make(chan struct{})}, Dialer: guarded(t)})
			if err != nil {
				t.Fatal(err)
			}
			g.Serve(s)
			ctx, cancel := context.WithCancel(context.Background())
			r := &rig{t: t, g: g, addr: l.Addr().String(), stop: cancel, done: make(chan error, 1)}
			go func() { r.done <- g.Run(ctx) }()
			t.Cleanup(r.end)
			idle := r.conn()
			idle.send(getExample)
			if a, _ := idle.answer("GET"); a.StatusCode != 503 {
				t.Fatalf("answer %v", a.Status)
			}
			for n := s.failed.Load(); s.failed.Load() < n+3; { // each needs a connection
				_ = r.conn().Close()
				time.Sleep(time.Millisecond)
			}
			idle.send(getExample)
			_, _, err = idle.tryAnswer("GET")
			if (err == nil) != tt.stays {
				t.Errorf("an idle connection after failed accepts: %v, want it to stay: %v", err, tt.stays)
			}
		})
	}
}

// TestThreat100IdleTunnels: tunnels that are idle take all places; the next is told
// so with 503, all of them still work, and one that ends makes room.
func TestThreat100IdleTunnels(t *testing.T) {
	t.Parallel()
	const most = 200
	r := newRig(t, gateway.Config{MaxConnections: most}, granting(t, func(c *wire) {
		if b, err := c.r.ReadByte(); err == nil {
			_, _ = c.Write([]byte{b})
		}
		_, _ = c.r.ReadByte()
	}))
	var tunnels []*wire
	for range most {
		w := r.conn()
		w.open("127.0.0.1:9")
		tunnels = append(tunnels, w)
	}
	for range 3 {
		w := r.conn()
		w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
		if a, _ := w.answer("CONNECT"); a.StatusCode != 503 || a.Header.Get("Freeway-Error") != "overload" || a.Header.Get("Retry-After") == "" {
			t.Errorf("beyond the limit: %v %v, want 503 overload", a.Status, a.Header)
		}
		_ = w.Close()
	}
	for i, w := range tunnels {
		w.send("x")
		if b, err := w.r.ReadByte(); err != nil || b != 'x' {
			t.Fatalf("tunnel %d after the limit was met: %q, %v", i, b, err)
		}
	}
	_ = tunnels[0].Close()
	until(t, "there is room", func() bool {
		w := r.conn()
		defer w.Close()
		w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n\r\n")
		a, _ := w.answer("CONNECT")
		return a.StatusCode == 200
	})
}
