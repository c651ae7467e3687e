package dial

import (
	"errors"
	"net"
	"os"
	"time"
)

// Quiet reports whether the other side is still there and has sent nothing
// that was not read. It does not wait. Only then may a connection serve
// another request. Nothing else may read meanwhile, and a deadline for reading
// that was set is lost.
func (c *Conn) Quiet() bool {
	c.mu.Lock()
	ahead := len(c.ahead)
	c.mu.Unlock()
	if ahead > 0 || c.secured && !silent(c.Conn, longAgo) {
		return false
	}
	return quiet(c.raw)
}

// TCP returns the connection below when it carries the bytes as they are, with
// nothing read ahead; nil when there is TLS to the proxy, or something is ahead.
func (c *Conn) TCP() *net.TCPConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secured || len(c.ahead) > 0 {
		return nil
	}
	t, _ := c.raw.(*net.TCPConn)
	return t
}

// Age returns how long ago the connection was made.
func (c *Conn) Age() time.Duration { return time.Since(c.made) }

// longAgo as a deadline lets a read see only what is here already.
var longAgo = time.Unix(1, 0)

// silent reports whether a read until the deadline finds nothing, not even an end.
func silent(c net.Conn, until time.Time) bool {
	var b [1]byte
	if c.SetReadDeadline(until) != nil {
		return false
	}
	n, err := c.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetReadDeadline(time.Time{}) == nil
}
