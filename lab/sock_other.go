//go:build !linux

package lab

import (
	"errors"
	"syscall"

	"freeway/internal/loopback"
)

// exitControl keeps outgoing sockets on this machine.
func exitControl(network, address string, c syscall.RawConn) error {
	return loopback.Control(network, address, c)
}

// tieToLoopback exists on Linux only.
func tieToLoopback(_, _ string, _ syscall.RawConn) error { return errors.ErrUnsupported }
