package dial

import (
	"net"
	"time"
)

// NewConn lets tests do handshakes over any connection, such as a pipe in virtual time.
func NewConn(raw net.Conn) *Conn { return &Conn{Conn: raw, raw: raw} }

// Earlier moves to an earlier time when a scout has sent the opening.
func Earlier(c *Conn, by time.Duration) { c.saidAt = c.saidAt.Add(-by) }
