package checker

import (
	"net"
	"sync"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// spyConn keeps the first bytes that the peer sent.
type spyConn struct {
	net.Conn
	mu     sync.Mutex // protects the fields below
	first  []byte
	nudged bool
}

// spied is how many bytes a spy keeps: a status line, headers and the beginning of a page.
const spied = 512

// Read reads and remembers.
func (s *spyConn) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.mu.Lock()
	s.first = append(s.first, p[:max(0, min(n, spied-len(s.first)))]...)
	s.mu.Unlock()
	return n, err
}

// nudgeAfter ends a line after d unless the peer has spoken by then. HTTP servers
// wait for the end of a line and take a greeting of SOCKS for the beginning of
// one; this makes them speak up. A SOCKS server that has not answered after most
// of the time would not have passed. The function it returns calls it off.
func (s *spyConn) nudgeAfter(d time.Duration) func() {
	t := time.AfterFunc(d, func() {
		s.mu.Lock()
		silent := len(s.first) == 0
		s.nudged = s.nudged || silent
		s.mu.Unlock()
		if silent {
			s.Conn.Write([]byte(dial.Nudge)) // if it fails, so will the reader
		}
	})
	return func() { t.Stop() }
}

// wasNudged reports whether a line was ended.
func (s *spyConn) wasNudged() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nudged
}

// reveal judges what was heard until a step failed with class.
func (s *spyConn) reveal(class proxy.Class) reveal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return revealed(s.first, class)
}
