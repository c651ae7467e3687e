package dial

import "net"

// NewConn lets tests do handshakes over any connection, such as a pipe in virtual time.
func NewConn(raw net.Conn) *Conn { return &Conn{Conn: raw, raw: raw} }
