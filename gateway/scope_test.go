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
