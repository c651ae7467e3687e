package lab

import (
	"errors"
	"fmt"
	"syscall"

	"freeway/internal/loopback"
)

// ipBindAddressNoPort (linux/in.h) puts off the choice of a local port until
// connect, so that an address's ports are not used up by bind alone.
const ipBindAddressNoPort = 24

// exitControl prepares outgoing sockets and keeps them on this machine.
func exitControl(network, address string, c syscall.RawConn) error {
	if err := loopback.Control(network, address, c); err != nil {
		return err
	}
	return control(c, func(fd int) error {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1) // an optimisation: old kernels do without
		return nil
	})
}

// tieToLoopback lets a wildcard socket serve the loopback device only. Since
// Linux 5.7 that needs no privilege.
func tieToLoopback(_, _ string, c syscall.RawConn) error {
	return control(c, func(fd int) error {
		if err := syscall.SetsockoptString(fd, syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "lo"); err != nil {
			return fmt.Errorf("tie the socket to the loopback device: %w", err)
		}
		return nil
	})
}

// control runs f on the descriptor.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}
