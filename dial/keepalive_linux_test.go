package dial_test

import (
	"syscall"
	"testing"

	"freeway/dial"
	"freeway/proxy"
)

// TestKeepAlive: the probes of TCP are off until somebody wants them.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	at := listen(t, gone)
	c, err := dial.New(dial.Config{}, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Connect(t.Context())
	closing(t, c, err)
	option := func(level, name int) int {
		raw, err := c.TCP().SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var v int
		if e := raw.Control(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, name) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
		return v
	}
	if on := option(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE); on != 0 {
		t.Error("they are on from the beginning")
	}
	c.KeepAlive()
	if on, every := option(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE), option(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL); on == 0 || every != 15 {
		t.Errorf("SO_KEEPALIVE is %d, TCP_KEEPINTVL %d s, want 1 and 15", on, every)
	}
}
