//go:build !linux

package dial

import (
	"errors"
	"fmt"
)

// errNoScout is why there is none.
var errNoScout = fmt.Errorf("scouts: %w", errors.ErrUnsupported)

// Scout is not available on this system.
type Scout struct{}

// NewScout returns an error: callers connect themselves.
func NewScout() (*Scout, error) { return nil, errNoScout }

// Start is never called.
func (s *Scout) Start(Foray, Route) (Scouted, bool) { panic(errNoScout) }

// Close does nothing.
func (s *Scout) Close() {}
