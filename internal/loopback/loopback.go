// Package loopback keeps tests on this machine: its hooks refuse to dial
// anything but 127.0.0.0/8 and ::1. Only tests, the lab and the demo use it.
package loopback

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Control is a net.Dialer.Control that refuses every address outside the
// loopback range. It is called with the final address, after resolution.
func Control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %q: not an address", address)
	}
	if !ap.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("dial %s: outside the loopback range", ap)
	}
	return nil
}

// Failer is the part of testing.TB that Guard needs, so that programs do not link package testing.
type Failer interface{ Error(args ...any) }

// Guard is Control for tests: an address outside the loopback range also fails tb.
func Guard(tb Failer) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, c syscall.RawConn) error {
		err := Control(network, address, c)
		if err != nil {
			tb.Error(err)
		}
		return err
	}
}
