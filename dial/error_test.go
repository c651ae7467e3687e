package dial_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"freeway/dial"
	"freeway/internal/http1"
	"freeway/internal/socks"
	"freeway/proxy"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	call := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for _, tt := range []struct {
		err  error
		want proxy.Class
	}{
		{nil, proxy.OK},
		{&dial.Error{Class: proxy.Banned, Err: io.EOF}, proxy.Banned},
		{context.Canceled, proxy.Canceled},
		{context.DeadlineExceeded, proxy.Timeout},
		{os.ErrDeadlineExceeded, proxy.Timeout},
		{net.ErrClosed, proxy.Canceled},
		{io.EOF, proxy.EOF},
		{io.ErrUnexpectedEOF, proxy.EOF},
		{call(syscall.ECONNREFUSED), proxy.Refused},
		{call(syscall.ECONNRESET), proxy.Reset},
		{call(syscall.EPIPE), proxy.Reset},
		{call(syscall.ETIMEDOUT), proxy.Timeout},
		{call(syscall.EHOSTUNREACH), proxy.Unreachable},
		{call(syscall.ENETUNREACH), proxy.Unreachable},
		{call(syscall.EMFILE), proxy.Canceled}, // ours, not the peer's
		{call(syscall.EADDRNOTAVAIL), proxy.Canceled},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, proxy.DNS},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, proxy.DNS},
		{&net.AddrError{Err: "no suitable address found"}, proxy.DNS},
		{&http1.Error{Status: 502, Msg: "x"}, proxy.Garbage},
		{http1.ErrTruncated, proxy.Truncated},
		{socks.ErrProtocol, proxy.Garbage},
		{socks.ErrAuth, proxy.AuthRequired},
		{socks.ErrAddress, proxy.PortDenied},
		{&socks.ReplyError{Version: 5, Code: byte(socks.HostUnreachable)}, proxy.BadGateway},
		{&socks.ReplyError{Version: 4, Code: byte(socks.Rejected)}, proxy.BadGateway},
		{tls.RecordHeaderError{Msg: "x"}, proxy.BadTLS},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, proxy.BadTLS},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, proxy.BadTLS},
		{errors.New("tls: server selected unsupported protocol version 300"), proxy.BadTLS},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, proxy.BadTLS},
		{errors.New("something else"), proxy.Unreachable},
	} {
		if got := dial.Classify(tt.err); got != tt.want {
			t.Errorf("Classify(%v) = %v, want %v", tt.err, got, tt.want)
		}
		if got := dial.Classify(fmt.Errorf("read: %w", tt.err)); tt.err != nil && got != tt.want {
			t.Errorf("Classify(wrapped %v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := &dial.Error{Stage: proxy.StageTLS, Class: proxy.EOF, Err: io.EOF}
	if got := e.Error(); !strings.HasPrefix(got, "tls: eof: ") {
		t.Errorf("Error() = %q", got)
	}
	if !errors.Is(e, io.EOF) {
		t.Error("the cause is lost")
	}
}
