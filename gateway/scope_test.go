package gateway_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"freeway/gateway"
)

// TestScope checks that the context of a plain request ends as one of package
// context does, whether somebody waits for that or only asks.
func TestScope(t *testing.T) {
	t.Parallel()
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	tests := []struct {
		name  string
		until time.Time
		stop  func(end, parent func())
		want  error
	}{
		{"nothing happens", future, func(_, _ func()) {}, nil},
		{"no deadline", time.Time{}, func(_, _ func()) {}, nil},
		{"ended", future, func(end, _ func()) { end() }, context.Canceled},
		{"parent ended", time.Time{}, func(_, parent func()) { parent() }, context.Canceled},
		{"time is up", past, func(_, _ func()) {}, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		for _, waits := range []bool{false, true} {
			parent, cancel := context.WithCancel(t.Context())
			s, end := gateway.NewScope(parent, tt.until)
			child := context.Context(nil)
			stop := func() {}
			if waits {
				child, stop = context.WithCancel(s)
			}
			tt.stop(end, cancel)
			if err := s.Err(); !errors.Is(err, tt.want) {
				t.Errorf("%s, waits %v: Err() = %v, want %v", tt.name, waits, err, tt.want)
			}
			if waits && tt.want != nil {
				<-child.Done()
				if err := child.Err(); !errors.Is(err, tt.want) {
					t.Errorf("%s: the child's Err() = %v, want %v", tt.name, err, tt.want)
				}
			}
			stop()
			end()
			cancel()
		}
	}
}

// TestUse checks that the context of a use ends when that is broken off or its scope
// ends, for those that wait, for functions that are hooked, and for children of
// package context; and that the next one is not over because the one before was.
func TestUse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		until time.Time
		stop  func(breakOff, end, parent func())
		want  error
		wakes bool // those that wait
		again error
	}{
		{"nothing happens", time.Now().Add(time.Hour), func(_, _, _ func()) {}, nil, false, nil},
		{"broken off", time.Time{}, func(breakOff, _, _ func()) { breakOff() }, context.Canceled, true, nil},
		{"broken off twice", time.Time{}, func(breakOff, _, _ func()) { breakOff(); breakOff() }, context.Canceled, true, nil},
		{"scope ended", time.Now().Add(time.Hour), func(_, end, _ func()) { end() }, context.Canceled, true, context.Canceled},
		{"parent ended", time.Time{}, func(_, _, parent func()) { parent() }, context.Canceled, false, context.Canceled},
		{"time is up", time.Now().Add(-time.Second), func(_, _, _ func()) {}, context.DeadlineExceeded, false, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		parent, cancel := context.WithCancel(t.Context())
		begin, end := gateway.NewUses(parent, tt.until)
		u, breakOff := begin()
		called, kept := make(chan struct{}), make(chan struct{})
		context.AfterFunc(u, func() { close(called) })
		forget := context.AfterFunc(u, func() { close(kept) })
		child, stop := context.WithCancel(u)
		if !forget() || forget() {
			t.Errorf("%s: a hooked function could not be taken away once", tt.name)
		}
		tt.stop(breakOff, end, cancel)
		if err := u.Err(); !errors.Is(err, tt.want) {
			t.Errorf("%s: Err() = %v, want %v", tt.name, err, tt.want)
		}
		if tt.wakes {
			<-u.Done()
			<-called
			<-child.Done()
			if err := child.Err(); !errors.Is(err, tt.want) {
				t.Errorf("%s: the child's Err() = %v, want %v", tt.name, err, tt.want)
			}
			late := make(chan struct{})
			if stop := context.AfterFunc(u, func() { close(late) }); stop() {
				t.Errorf("%s: a function that is hooked too late could be taken away", tt.name)
			}
			<-late
		} else if isClosed(u.Done()) || isClosed(called) {
			t.Errorf("%s: those that wait were woken up", tt.name)
		}
		if isClosed(kept) {
			t.Errorf("%s: a function was called that had been taken away", tt.name)
		}
		next, _ := begin()
		if err := next.Err(); !errors.Is(err, tt.again) {
			t.Errorf("%s: the next use's Err() = %v, want %v", tt.name, err, tt.again)
		}
		if over := isClosed(next.Done()); over != (tt.again != nil && tt.wakes) {
			t.Errorf("%s: the next use is over %v", tt.name, over)
		}
		stop()
		end()
		<-next.Done()
		cancel()
	}
}

// TestScopeRenewed checks that a scope whose deadline has passed goes on with another one,
// unless it was ended, and that nobody is left who waits for the first.
func TestScopeRenewed(t *testing.T) {
	t.Parallel()
	s, end := gateway.NewScope(t.Context(), time.Now().Add(-time.Second))
	child, stop := context.WithCancel(s)
	defer stop()
	<-child.Done()
	gateway.Renew(s, time.Now().Add(time.Hour))
	if err := s.Err(); err != nil {
		t.Errorf("renewed: Err() = %v", err)
	}
	waits, stop := context.WithCancel(s)
	defer stop()
	gateway.Renew(s, time.Time{})
	<-waits.Done()
	end()
	gateway.Renew(s, time.Now().Add(time.Hour))
	if err := s.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("renewed after its end: Err() = %v", err)
	}
}

// isClosed reports whether a channel is.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestUseThatIsOverStaysSo: a context that was told to be over says so for ever, also when the next
// use begins, or the scope ends, at the same moment. Package context panics else.
func TestUseThatIsOverStaysSo(t *testing.T) {
	t.Parallel()
	for i := range 2000 {
		begin, end := gateway.NewUses(t.Context(), time.Now().Add(time.Hour))
		u, breakOff := begin()
		child, stop := context.WithCancel(u)
		grandchild, halt := context.WithTimeout(child, time.Hour)
		var next context.Context
		if i%2 == 0 {
			breakOff()
			next, _ = begin()
		} else {
			end()
		}
		<-child.Done()
		<-grandchild.Done()
		if u.Err() == nil || child.Err() == nil || next != nil && next.Err() != nil {
			t.Fatalf("errors %v, %v, of the next %v", u.Err(), child.Err(), next)
		}
		halt()
		stop()
		end()
	}
}
