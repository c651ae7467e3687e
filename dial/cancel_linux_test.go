package dial_test

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// bound is a socket with an address of its own, which others may share. It is closed with the test.
func bound(t testing.TB) (fd int, at netip.AddrPort) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
}

// deaf listens and never accepts, with a backlog that is full: a connect to it hangs.
func deaf(t *testing.T) netip.AddrPort {
	fd, at := bound(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	d := dial.New(dial.Config{Connect: 200 * time.Millisecond}, env(t))
	for range 10 {
		c, err := d.Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Connect(t.Context())
		if err != nil {
			wantError(t, err, proxy.StageConnect, proxy.Timeout, 0) // the deadline of this step
			return at
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel takes every connection")
	return at
}

func TestCancelWhileConnecting(t *testing.T) {
	t.Parallel()
	at := deaf(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e := env(t)
	guard, begun := e.Control, make(chan struct{}, 1)
	e.Control = func(network, address string, c syscall.RawConn) error {
		begun <- struct{}{}
		return guard(network, address, c)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := dial.New(slow, e).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(ctx, target(t, "a.example:443"))
		failed <- err
	}()
	within(t, begun, "connect")
	cancel()
	wantError(t, within(t, failed, "return"), proxy.StageConnect, proxy.Canceled, 0)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(ctx, target(t, "a.example:443"))
	wantError(t, err, proxy.StageConnect, proxy.Timeout, 0)
}
