package http1

import "errors"

// Error is a head or a body that breaks the rules.
type Error struct {
	Status int    // what a server answers: 400, 431, 501, 505; 502 for answers of an upstream
	Msg    string // what is wrong, in lower case; never holds bytes of the peer
}

// Error returns the message.
func (e *Error) Error() string { return "http: " + e.Msg }

// ErrTruncated is a body that ended before its framing said so.
var ErrTruncated = errors.New("http: the body is cut short")

// Statuses that errors carry (RFC 9110 section 15, RFC 6585 section 5).
const (
	badRequest  = 400
	tooLarge    = 431
	badGateway  = 502
	badVersion  = 505
	lastVersion = 1 // the highest minor version of HTTP/1 that is spoken
)

// malformed is what most breaches are; answers turn it into a 502.
func malformed(msg string) error { return &Error{badRequest, msg} }
