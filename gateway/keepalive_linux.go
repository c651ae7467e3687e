package gateway

import (
	"errors"
	"net"
	"syscall"
)

// inheritKeepAlive has accepted connections take the probes of TCP from their
// listener, which saves four calls for each. The values are those of package net.
func inheritKeepAlive(lc *net.ListenConfig) {
	lc.KeepAlive = -1
	lc.Control = func(_, _ string, c syscall.RawConn) error {
		var errs []error
		set := func(fd uintptr) {
			for _, o := range []struct{ level, name, value int }{{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9}} {
				errs = append(errs, syscall.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		}
		err := c.Control(set)
		return errors.Join(append(errs, err)...)
	}
}
