//go:build unix

package gateway

import (
	"io"
	"net"
	"os"
	"syscall"
)

// rawReads says that source.try can read.
const rawReads = true

// try reads without waiting. It reports false when there is nothing, and keeps
// no buffer then.
func (s *source) try(fd uintptr) bool {
	s.take()
	for {
		n, err := syscall.Read(int(fd), *s.buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.done(0)
			return false
		case err != nil:
			s.done(0)
			s.err = &net.OpError{Op: "read", Net: "tcp", Addr: s.conn.RemoteAddr(), Err: os.NewSyscallError("read", err)}
		case n == 0:
			s.done(0)
			s.err = io.EOF
		default:
			s.n = n
		}
		return true
	}
}
