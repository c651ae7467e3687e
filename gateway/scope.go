package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"freeway/dial"
)

// scope is the context of one request, or of a part of it. Most end before anybody
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
	use    *use // of upstreams; nil: it has none, see newScope
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
	case real != nil && (!over || real.Err() != nil):
		return real.Err()
	case over: // which end says before it ends what is real
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

// renew gives the scope another deadline, zero for none. Nobody may wait for its
// end meanwhile.
func (s *scope) renew(until time.Time) {
	s.mu.Lock()
	cancel := s.cancel
	s.real, s.cancel, s.until = nil, nil, until
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// end ends the scope as a cancel function does, and closes what is hooked.
func (s *scope) end() {
	s.mu.Lock()
	s.over = true
	conns, cancel := s.conns, s.cancel
	s.conns = nil
	if s.use != nil {
		s.use.finish()
	}
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

// follow makes the scope the one that ends with the gateway's context, by a call
// of cut after that has ended.
func (c *client) follow(s *scope) {
	c.scope.Store(s)
	if s.parent.Err() != nil {
		s.end()
	}
}

// newScope makes a scope in which upstreams are used, and follows it. A zero until is
// for never.
func (c *client) newScope(parent context.Context, until time.Time) *scope {
	both := &struct {
		s scope
		u use
	}{}
	s := &both.s
	s.parent, s.until, s.use, both.u.s = parent, until, &both.u, s
	c.follow(s)
	return s
}

// cut ends the request that is being served.
func (c *client) cut() {
	if s := c.scope.Load(); s != nil {
		s.end()
	}
}

// use is the context of a use of an upstream, one after the other within a scope.
// Each can be broken off alone. Unlike other contexts it does not wake up
// those that wait for its end when its deadline comes, which takes a timer: whoever
// works with it puts the deadline on what it waits for, as package dial does for
// upstreams that are given by their addresses.
type use struct {
	s *scope

	// The fields below are protected by the scope's mu.
	broken bool          // it is over, and the scope need not be
	done   chan struct{} // closed when it is over; nil: nobody has asked for it
	closed bool          // done is
	told   bool          // hooks were called
	hooks  []hook        // called when it is over
	room   [1]hook
	last   int // the id of the latest
}

var _ context.Context = (*use)(nil)

// hook is a function that is called when a use is over.
type hook struct {
	id int
	do func()
}

// beginUseOf returns the context of a try that begins, and what breaks it off. The
// use before is over, and this one is at the latest when the scope ends or is renewed.
// Looking up the name of an upstream takes a deadline that wakes up.
func (s *scope) beginUseOf(t *try) (context.Context, func()) {
	if !t.lease.Entry.Endpoint.Addr().IsValid() {
		return context.WithCancel(s)
	}
	u := s.beginUse()
	return u, u.breakOff
}

// beginUse is beginUseOf for whoever needs no upstream to be looked up.
func (s *scope) beginUse() *use {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.use; u.closed || u.told { // whoever was told that it is over must not hear otherwise
		s.use = &use{s: s}
	}
	s.use.broken = false
	return s.use
}

// breakOff ends the use and lets the scope go on.
func (u *use) breakOff() {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	u.broken = true
	u.finish()
}

// finish tells everybody that the use is over. The scope's mu is held.
func (u *use) finish() {
	u.wake()
	for _, h := range u.hooks {
		u.told = true
		go h.do()
	}
	clear(u.hooks)
	u.hooks = u.hooks[:0]
}

// over reports whether the use is. The scope's mu is held.
func (u *use) over() bool { return u.broken || u.s.over }

// Deadline implements context.Context.
func (u *use) Deadline() (time.Time, bool) { return u.s.Deadline() }

// Value implements context.Context.
func (u *use) Value(key any) any { return u.s.parent.Value(key) }

// Done implements context.Context, but for what is said above.
func (u *use) Done() <-chan struct{} {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if u.done == nil {
		u.done = make(chan struct{})
	}
	if u.over() {
		u.wake()
	}
	return u.done
}

// wake wakes up those that wait, if anybody may. The scope's mu is held.
func (u *use) wake() {
	if u.done != nil && !u.closed {
		close(u.done)
		u.closed = true
	}
}

// Err implements context.Context.
func (u *use) Err() error {
	u.s.mu.Lock()
	broken := u.broken
	u.s.mu.Unlock()
	if broken {
		return context.Canceled
	}
	return u.s.Err()
}

// AfterFunc is what context.AfterFunc uses in place of a goroutine that waits.
func (u *use) AfterFunc(do func()) (stop func() bool) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if u.over() {
		go do()
		return func() bool { return false }
	}
	if u.hooks == nil {
		u.hooks = u.room[:0]
	}
	u.last++
	id := u.last
	u.hooks = append(u.hooks, hook{id, do})
	return func() bool { return u.forget(id) }
}

// forget takes a hook away. It reports false when it was called.
func (u *use) forget(id int) bool {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	i := slices.IndexFunc(u.hooks, func(h hook) bool { return h.id == id })
	if i >= 0 {
		u.hooks = slices.Delete(u.hooks, i, i+1)
	}
	return i >= 0
}
