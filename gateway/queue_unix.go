//go:build unix

package gateway

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// queued reports whether a connection waits to be accepted.
func queued(raw syscall.RawConn) (yes bool) {
	err := raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		yes = err == nil && n > 0
	})
	return yes && err == nil
}
