package proxy

import (
	"errors"
	"time"
)

// The errors of a pick, which whoever serves clients turns into answers.
var (
	ErrNone        = errors.New("no upstream is eligible")
	ErrSessionLost = errors.New("the session's exit is lost")
	ErrTargetDown  = errors.New("the target does not answer through any upstream")
)

// NoneError is ErrNone with the reason and when it makes sense to try again.
type NoneError struct {
	Reason     string        // for people, for example "12 live, none in DE"
	RetryAfter time.Duration // 0: not known
	Rest       time.Duration // until the first of those ends its rest that only rest (Want.MinInterval); 0: none does
}

// Error prints the reason.
func (e *NoneError) Error() string { return ErrNone.Error() + ": " + e.Reason }

// Is makes errors.Is(err, ErrNone) true.
func (e *NoneError) Is(target error) bool { return target == ErrNone }
