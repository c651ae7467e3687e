package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"freeway/dial"
)

// scope is the context of one plain request. Most requests end before anybody
// waits for that, so it makes what waiting needs only when it is asked to.
type scope struct {
	parent context.Context
	until  time.Time // when it ends by itself; zero: never

	mu     sync.Mutex // protects the fields below
	over   bool
	real   context.Context // made when somebody wants to wait; nil: nobody did
	cancel context.CancelFunc
	conns  []*dial.Conn // closed when it ends
	room   [1]*dial.Conn
}

var _ context.Context = (*scope)(nil)

// Deadline implements context.Context.
func (s *scope) Deadline() (time.Time, bool) {
	until, ok := s.parent.Deadline()
	if s.until.IsZero() || ok && until.Before(s.until) {
		return until, ok
	}
	return s.until, true
}

// Done implements context.Context.
func (s *scope) Done() <-chan struct{} { return s.full().Done() }

// Value implements context.Context. What package context asks for comes after
// Done, and then finds the context that Done is of.
func (s *scope) Value(key any) any {
	s.mu.Lock()
	real := s.real
	s.mu.Unlock()
	if real != nil {
		return real.Value(key)
	}
	return s.parent.Value(key)
}

// Err implements context.Context.
func (s *scope) Err() error {
	s.mu.Lock()
	real, over := s.real, s.over
	s.mu.Unlock()
	switch {
	case real != nil:
		return real.Err()
	case over:
		return context.Canceled
	case s.parent.Err() != nil:
		return s.parent.Err()
	case !s.until.IsZero() && !time.Now().Before(s.until):
		return context.DeadlineExceeded
	}
	return nil
}

// full is the context for those that wait.
func (s *scope) full() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.real != nil {
		return s.real
	}
	if s.until.IsZero() {
		s.real, s.cancel = context.WithCancel(s.parent)
	} else {
		s.real, s.cancel = context.WithDeadline(s.parent, s.until)
	}
	if s.over {
		s.cancel()
	}
	return s.real
}

// end ends the scope as a cancel function does, and closes what is hooked.
func (s *scope) end() {
	s.mu.Lock()
	s.over = true
	conns, cancel := s.conns, s.cancel
	s.conns = nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	for _, up := range conns {
		_ = up.Close()
	}
}

// hook has the connection closed when the scope ends. The end of the parent
// counts only where somebody calls end then.
func (s *scope) hook(up *dial.Conn) {
	s.mu.Lock()
	over := s.over || s.parent.Err() != nil
	if !over {
		if s.conns == nil {
			s.conns = s.room[:0]
		}
		s.conns = append(s.conns, up)
	}
	s.mu.Unlock()
	if over {
		_ = up.Close()
	}
}

// unhook lets go of the connection. It reports false when it was closed.
func (s *scope) unhook(up *dial.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.conns, up)
	if i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
	return i >= 0
}

// follow makes the scope the one that ends with the gateway's context.
func (c *client) follow(s *scope) {
	c.scope.Store(s)
	if c.unfollow == nil {
		c.unfollow = context.AfterFunc(s.parent, c.cut)
	}
}

// cut ends the request that is being served.
func (c *client) cut() {
	if s := c.scope.Load(); s != nil {
		s.end()
	}
}
