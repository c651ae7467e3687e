package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// errRefused is what a refused connect matches.
var errRefused error = syscall.Errno(10061) // WSAECONNREFUSED

// reserved is a port that is bound, so that nobody else gets it, but not
// listened at: connects are refused.
type reserved syscall.Handle

// reserve binds without SO_REUSEADDR, so that no listener gets the port as well.
func reserve(ap netip.AddrPort) (*reserved, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		syscall.Closesocket(fd)
		return nil, fmt.Errorf("reserve %s: %w", ap, os.NewSyscallError("bind", err))
	}
	r := reserved(fd)
	return &r, nil
}

// Close gives the port back.
func (r *reserved) Close() error { return syscall.Closesocket(syscall.Handle(*r)) }

// shrinkBacklog does nothing: the queue of a listener cannot be changed here.
// When it is full, Windows refuses.
func shrinkBacklog(*net.TCPListener) error { return nil }

// fileLimit returns how many sockets the lab may open; Windows has no limit of its own.
func fileLimit() int { return 1 << 14 }
