package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"freeway/internal/http1"
	"freeway/internal/socks"
	"freeway/proxy"
)

// Error says at which step a use of a proxy failed and what kind of failure it
// was. Its text names addresses, never credentials, nor anything that the proxy said.
type Error struct {
	Stage  proxy.Stage
	Class  proxy.Class
	Status int          // the status that CONNECT was answered with, or the SOCKS reply code; else 0
	Phases proxy.Phases // the last one is how long the failing step took
	Err    error
}

// Error prints stage, class and cause.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Stage, e.Class, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func newError(stage proxy.Stage, phases proxy.Phases, err error) *Error {
	e := &Error{Stage: stage, Class: Classify(err), Phases: phases, Err: err}
	if s, ok := errors.AsType[*statusError](err); ok {
		e.Status = s.status
	}
	if r, ok := errors.AsType[*socks.ReplyError](err); ok {
		e.Status = int(r.Code)
	}
	return e
}

var (
	errForbidden = errors.New("the address may not be dialled")
	errGarbage   = errors.New("not the protocol")
)

// Classify says what kind of failure an error is: of this package, of the
// network, of TLS, or of reading HTTP or SOCKS. Nil is OK; what is not known is
// Unreachable, another error of the network. A want of local resources (file
// descriptors, ports, memory) and a connection closed on this side are Canceled,
// because they say nothing about the peer.
func Classify(err error) proxy.Class {
	if err == nil {
		return proxy.OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	for _, classify := range []func(error) proxy.Class{classifyOwn, classifyNetwork, classifyTLS} {
		if c := classify(err); c != proxy.OK {
			return c
		}
	}
	return proxy.Unreachable
}

// classifyOwn knows the errors of proxies' answers; OK: none of these.
func classifyOwn(err error) proxy.Class {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.class()
	}
	if e, ok := errors.AsType[*socks.ReplyError](err); ok {
		return replyClass(e)
	}
	_, badHTTP := errors.AsType[*http1.Error](err)
	switch {
	case errors.Is(err, errForbidden):
		return proxy.Forbidden
	case errors.Is(err, socks.ErrAuth):
		return proxy.AuthRequired
	case errors.Is(err, socks.ErrAddress):
		return proxy.PortDenied
	case errors.Is(err, http1.ErrTruncated):
		return proxy.Truncated
	case badHTTP, errors.Is(err, socks.ErrProtocol), errors.Is(err, errGarbage):
		return proxy.Garbage
	}
	return proxy.OK
}

// replyClass follows the table of docs/architecture.md, "Attribution". A general
// failure is what most servers answer when the target cannot be reached.
func replyClass(e *socks.ReplyError) proxy.Class {
	if e.Version == 4 {
		if socks.Reply4(e.Code) == socks.Rejected {
			return proxy.BadGateway
		}
		return proxy.AuthRequired
	}
	switch socks.Reply(e.Code) {
	case socks.NotAllowed:
		return proxy.PortDenied
	case socks.GeneralFailure, socks.NetworkUnreachable, socks.HostUnreachable, socks.Refused, socks.TTLExpired:
		return proxy.BadGateway
	}
	return proxy.Rejected
}

// classifyNetwork knows the errors of contexts, resolvers and sockets; OK: none of these.
func classifyNetwork(err error) proxy.Class {
	timeout, isNet := errors.AsType[net.Error](err)
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed), slices.Contains(localErrnos, errno):
		return proxy.Canceled
	case ofResolver(err):
		return proxy.DNS
	case slices.Contains(refusedErrnos, errno):
		return proxy.Refused
	case slices.Contains(resetErrnos, errno):
		return proxy.Reset
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return proxy.Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return proxy.EOF
	}
	return proxy.OK
}

// ofResolver reports whether the step before the first connect went wrong.
func ofResolver(err error) bool {
	_, dns := errors.AsType[*net.DNSError](err)
	_, unsuitable := errors.AsType[*net.AddrError](err)
	return dns || unsuitable
}

// classifyTLS knows the errors of crypto/tls and crypto/x509; OK: none of these.
// Most have no type of their own: an alert comes in a net.OpError, the rest
// begin with the package's name.
func classifyTLS(err error) proxy.Class {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	alert := isOp && (op.Op == "remote error" || op.Op == "local error")
	for ; err != nil && !alert; err = errors.Unwrap(err) {
		text := err.Error()
		alert = strings.HasPrefix(text, "tls: ") || strings.HasPrefix(text, "x509: ")
	}
	if verify || record || host || authority || alert {
		return proxy.BadTLS
	}
	return proxy.OK
}
