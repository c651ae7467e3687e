package gateway_test

import (
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// onlyPort leaves a socket one port to connect from, which a listener has: what
// the kernel says then is what it says when all ports are in use.
func onlyPort(t *testing.T, c syscall.RawConn, port int) {
	const ipLocalPortRange = 51 // IP_LOCAL_PORT_RANGE, since Linux 6.3
	var err error
	if ctl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, ipLocalPortRange, port<<16|port) }); ctl != nil || err != nil {
		t.Errorf("IP_LOCAL_PORT_RANGE: %v, %v", ctl, err)
	}
}

// TestThreat99NoPortIsLeft: while this machine has no port for connections to
// upstreams, such requests get 502 after no more attempts than usual, and nobody
// is blamed; tunnels that are open go on, and afterwards all is as before.
func TestThreat99NoPortIsLeft(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	var dials atomic.Int64
	guard := loopback.Guard(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: func(network, addr string, c syscall.RawConn) error {
		dials.Add(1)
		if gone.Load() {
			onlyPort(t, c, taken)
		}
		return guard(network, addr, c)
	}})
	echo := granting(t, func(c *wire) {
		for {
			b, err := c.r.ReadByte()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{b})
		}
	})
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(echo, 1), entry(answering(t, proxy.HTTP, okAnswer), 2)}}
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0", Retry: gateway.Retry{Attempts: 3}}, gateway.Env{Picker: p, Targets: policy, Dialer: d}, p)
	tunnel := r.conn()
	tunnel.open("127.0.0.1:9")
	gone.Store(true)
	before := dials.Load()
	const requests = 5
	for range requests {
		if status, code := r.ask("http://example.com/", "", ""); status != 502 || code != "upstreams_failed" {
			t.Errorf("without ports: %d %s, want 502 upstreams_failed", status, code)
		}
	}
	if n := dials.Load() - before; n > 3*3*requests { // package net tries such a one three times
		t.Errorf("%d dials for %d requests of three attempts", n, requests)
	}
	p.mu.Lock()
	for _, o := range p.outs {
		if o.Class != proxy.Canceled {
			t.Errorf("an upstream is blamed for our want of ports: %v %v", o.Stage, o.Class)
		}
	}
	p.mu.Unlock()
	tunnel.send("x")
	if b, err := tunnel.r.ReadByte(); err != nil || b != 'x' {
		t.Errorf("the open tunnel: %q, %v", b, err)
	}
	gone.Store(false)
	r.conn().open("127.0.0.1:9")
}
