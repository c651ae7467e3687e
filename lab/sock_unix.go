//go:build unix

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
)

// errRefused is what a refused connect matches.
var errRefused error = syscall.ECONNREFUSED

// reserved is a port that is bound, so that nobody else gets it, but not
// listened at: connects are refused.
type reserved int

// reserve binds without SO_REUSEADDR, so that no listener gets the port as well.
func reserve(ap netip.AddrPort) (*reserved, error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("reserve %s: %w", ap, os.NewSyscallError("bind", err))
	}
	r := reserved(fd)
	return &r, nil
}

// Close gives the port back.
func (r *reserved) Close() error { return syscall.Close(int(*r)) }

// minBacklog is the smallest backlog that the system takes literally: Linux
// queues one connection more than the backlog; elsewhere 0 means the default.
func minBacklog() int {
	if runtime.GOOS == "linux" {
		return 0
	}
	return 1
}

// shrinkBacklog makes a listener's queue as short as it can be.
func shrinkBacklog(ln *net.TCPListener) error {
	c, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = c.Control(func(fd uintptr) { inner = syscall.Listen(int(fd), minBacklog()) })
	return errors.Join(err, inner)
}

// fileLimit returns how many descriptors the process may have open.
func fileLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 256
	}
	return int(min(uint64(r.Cur), 1<<20))
}
