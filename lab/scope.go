package lab

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// scope owns what a lab has open: goroutines, connections, listeners. It is
// also the context of everything that they do, and ends with close.
type scope struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // protects the fields below, and wg.Add against wg.Wait
	closed bool
	open   map[io.Closer]struct{}
}

// newScope opens a scope.
func newScope() *scope {
	return &scope{done: make(chan struct{}), open: map[io.Closer]struct{}{}}
}

// spawn runs f in a goroutine that close waits for; false when it is too late.
func (s *scope) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// keep makes close close c; when it is too late it does so at once and returns false.
func (s *scope) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

// drop closes c and forgets it.
func (s *scope) drop(c io.Closer) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

// sleep waits for d; false when the scope ended before.
func (s *scope) sleep(d time.Duration) bool {
	if d <= 0 {
		return s.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// connState is an http.Server's hook by which close waits for its connections.
func (s *scope) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew: // called by Serve, which is one of our goroutines itself
		s.wg.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.wg.Done()
	}
}

// close ends everything and waits for it. Every call waits. Nothing is closed
// under the mutex: an http.Server's Close waits for hooks that may need it.
func (s *scope) close() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	s.mu.Unlock()
	for c := range open {
		c.Close()
	}
	s.wg.Wait()
}

// Deadline says that there is none.
func (s *scope) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the scope ends.
func (s *scope) Done() <-chan struct{} { return s.done }

// Err is nil until the scope ends.
func (s *scope) Err() error {
	select {
	case <-s.done:
		return context.Canceled
	default:
		return nil
	}
}

// Value returns nil.
func (s *scope) Value(any) any { return nil }
