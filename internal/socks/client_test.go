package socks_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"freeway/internal/socks"
)

// peer is the other side of a client: what it says, and what it was told.
type peer struct {
	io.Reader
	told bytes.Buffer
}

func (p *peer) Write(b []byte) (int, error) { return p.told.Write(b) }

// after stands behind every scripted answer: a client that reads one byte too many takes it.
const after = "TARGET"

var (
	byName = socks.Addr{Name: "a.example", Port: 443}
	byIPv4 = socks.Addr{IP: netip.MustParseAddr("192.0.2.7"), Port: 80}
	byIPv6 = socks.Addr{IP: netip.MustParseAddr("2001:db8::1"), Port: 80}
)

const (
	ok5   = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	want5 = "\x05\x01\x00\x03\x09a.example\x01\xbb"
)

func TestClient5(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		name, user, password string
		to                   socks.Addr
		says, told           string
		err                  error
	}{
		{"name", "", "", byName, "\x05\x00" + ok5, "\x05\x01\x00" + want5, nil},
		{"IPv4", "", "", byIPv4, "\x05\x00" + ok5, "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50", nil},
		{"mapped IPv4", "", "", socks.Addr{IP: netip.MustParseAddr("::ffff:192.0.2.7"), Port: 80}, "\x05\x00" + ok5,
			"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50", nil},
		{"IPv6", "", "", byIPv6, "\x05\x00" + ok5,
			"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", nil},
		{"bound IPv6", "", "", byName, "\x05\x00\x05\x00\x00\x04" + strings.Repeat("\x01", 18), "\x05\x01\x00" + want5, nil},
		{"bound name", "", "", byName, "\x05\x00\x05\x00\x00\x03\xff" + long + "\x01\x02", "\x05\x01\x00" + want5, nil},
		{"bound empty name", "", "", byName, "\x05\x00\x05\x00\x00\x03\x00\x01\x02", "\x05\x01\x00" + want5, nil},
		{"login", "bob", "pw", byName, "\x05\x02\x01\x00" + ok5, "\x05\x02\x00\x02\x01\x03bob\x02pw" + want5, nil},
		{"login answered with version 5", "bob", "pw", byName, "\x05\x02\x05\x00" + ok5, "\x05\x02\x00\x02\x01\x03bob\x02pw" + want5, nil},
		{"longest login", long, long, byName, "\x05\x02\x01\x00" + ok5, "\x05\x02\x00\x02\x01\xff" + long + "\xff" + long + want5, nil},
		{"empty password", "bob", "", byName, "\x05\x02\x01\x00" + ok5, "\x05\x02\x00\x02\x01\x03bob\x00" + want5, nil},
		{"credentials not asked for are not sent", "bob", "pw", byName, "\x05\x00" + ok5, "\x05\x02\x00\x02" + want5, nil},

		{"login refused", "bob", "pw", byName, "\x05\x02\x01\x01", "\x05\x02\x00\x02\x01\x03bob\x02pw", socks.ErrAuth},
		{"login garbage", "bob", "pw", byName, "\x05\x02HT", "\x05\x02\x00\x02\x01\x03bob\x02pw", socks.ErrProtocol},
		{"nothing acceptable", "", "", byName, "\x05\xff", "\x05\x01\x00", socks.ErrAuth},
		{"login demanded, none there", "", "", byName, "\x05\x02", "\x05\x01\x00", socks.ErrAuth},
		{"GSSAPI", "", "", byName, "\x05\x01", "\x05\x01\x00", socks.ErrProtocol},
		{"an HTTP server", "", "", byName, "H", "\x05\x01\x00", socks.ErrProtocol},
		{"a SOCKS4 server", "", "", byName, "\x00\x5b\x00\x00\x00\x00\x00\x00", "\x05\x01\x00", socks.ErrProtocol},
		{"reply of another version", "", "", byName, "\x05\x00\x04\x00\x00\x01", "\x05\x01\x00" + want5, socks.ErrProtocol},
		{"reserved byte set", "", "", byName, "\x05\x00\x05\x00\x01\x01", "\x05\x01\x00" + want5, socks.ErrProtocol},
		{"bound type unknown", "", "", byName, "\x05\x00\x05\x00\x00\x02", "\x05\x01\x00" + want5, socks.ErrProtocol},
		{"user too long", long + "x", "", byName, "", "", socks.ErrAuth},
		{"password too long", "", long + "x", byName, "", "", socks.ErrAuth},
		{"name too long", "", "", socks.Addr{Name: long + "x"}, "", "", socks.ErrAddress},
		{"no name", "", "", socks.Addr{}, "", "", socks.ErrAddress},
		{"name with a line end", "", "", socks.Addr{Name: "a\r\nb"}, "", "", socks.ErrAddress},
		{"zone", "", "", socks.Addr{IP: netip.MustParseAddr("fe80::1%eth0")}, "", "", socks.ErrAddress},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script(t, tt.says, tt.told, tt.err, func(rw io.ReadWriter) error {
				return socks.Client5(rw, tt.to, tt.user, tt.password)
			})
		})
	}
}

// script runs a client against an answer, whole and byte by byte, and checks
// what it said, what it made of it, and that it left alone what follows a success.
func script(t *testing.T, says, told string, want error, client func(io.ReadWriter) error) {
	t.Helper()
	for how, wrap := range deliveries {
		p := &peer{Reader: wrap(strings.NewReader(says + after))}
		err := client(p)
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", how, err, want)
		}
		if got := p.told.String(); got != told {
			t.Errorf("%s: sent %q, want %q", how, got, told)
		}
		if rest, _ := io.ReadAll(p); err == nil && string(rest) != after {
			t.Errorf("%s: %q is left for the target, want %q", how, rest, after)
		}
	}
	if want != nil {
		return
	}
	for n := range len(says) { // cut anywhere, never a success and never a hang
		err := client(&peer{Reader: strings.NewReader(says[:n])})
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: error %v, want an EOF", n, err)
		}
	}
}

var deliveries = map[string]func(io.Reader) io.Reader{
	"whole":        func(r io.Reader) io.Reader { return r },
	"byte-wise":    iotest.OneByteReader,
	"halves":       iotest.HalfReader,
	"data and EOF": iotest.DataErrReader,
}

func TestClient5Refusals(t *testing.T) {
	t.Parallel()
	for code := 1; code < 256; code++ {
		for _, tail := range []string{"", "\x00\x01\x00\x00\x00\x00\x00\x00"} { // some servers send no more than two bytes
			err := socks.Client5(&peer{Reader: strings.NewReader("\x05\x00\x05" + string([]byte{byte(code)}) + tail)}, byName, "", "")
			if r, ok := errors.AsType[*socks.ReplyError](err); !ok || r.Version != 5 || int(r.Code) != code {
				t.Errorf("reply %d: error %v", code, err)
			}
		}
	}
}

const ok4 = "\x00\x5a\x00\x00\x00\x00\x00\x00"

func TestClient4(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		name, user string
		to         socks.Addr
		says, told string
		err        error
	}{
		{"IPv4", "", byIPv4, ok4, "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", nil},
		{"user", "bob", byIPv4, ok4, "\x04\x01\x00\x50\xc0\x00\x02\x07bob\x00", nil},
		{"name", "", byName, ok4, "\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.example\x00", nil},
		{"bound address given", "", byIPv4, "\x00\x5a\x12\x34\x01\x02\x03\x04", "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", nil},
		{"0.0.0.0", "", socks.Addr{IP: netip.IPv4Unspecified(), Port: 80}, ok4, "\x04\x01\x00\x50\x00\x00\x00\x00\x00", nil},
		{"longest", long, socks.Addr{Name: long}, ok4, "\x04\x01\x00\x00\x00\x00\x00\x01" + long + "\x00" + long + "\x00", nil},

		{"IPv6", "", byIPv6, "", "", socks.ErrAddress},
		{"0.0.0.9 means a name", "", socks.Addr{IP: netip.MustParseAddr("0.0.0.9")}, "", "", socks.ErrAddress},
		{"name with a zero byte", "", socks.Addr{Name: "a\x00b"}, "", "", socks.ErrAddress},
		{"user with a zero byte", "a\x00b", byIPv4, "", "", socks.ErrAuth},
		{"user too long", long + "x", byIPv4, "", "", socks.ErrAuth},
		{"a SOCKS5 server", "", byIPv4, "\x05", "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", socks.ErrProtocol},
		{"an HTTP server", "", byIPv4, "HTTP/1.1 400 Bad Request\r\n", "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", socks.ErrProtocol},
		{"unknown code", "", byIPv4, "\x00\x00", "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", socks.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script(t, tt.says, tt.told, tt.err, func(rw io.ReadWriter) error {
				return socks.Client4(rw, tt.to, tt.user)
			})
		})
	}
}

func TestClient4Refusals(t *testing.T) {
	t.Parallel()
	for code := byte(91); code <= 93; code++ {
		for _, tail := range []string{"", "\x00\x00\x00\x00\x00\x00"} {
			err := socks.Client4(&peer{Reader: strings.NewReader("\x00" + string([]byte{code}) + tail)}, byIPv4, "")
			if r, ok := errors.AsType[*socks.ReplyError](err); !ok || r.Version != 4 || r.Code != code {
				t.Errorf("reply %d: error %v", code, err)
			}
		}
	}
}

func TestClientsPassOnErrorsOfTheConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, says := range []string{"", "\x05", "\x05\x02", "\x05\x02\x01\x00", "\x05\x02\x01\x00\x05\x00\x00\x01"} {
		p := &peer{Reader: io.MultiReader(strings.NewReader(says), iotest.ErrReader(broken))}
		if err := socks.Client5(p, byName, "u", "p"); !errors.Is(err, broken) {
			t.Errorf("Client5 after %q = %v, want the connection's error", says, err)
		}
	}
	for _, says := range []string{"", "\x00", "\x00\x5a\x00"} {
		p := &peer{Reader: io.MultiReader(strings.NewReader(says), iotest.ErrReader(broken))}
		if err := socks.Client4(p, byName, "u"); !errors.Is(err, broken) {
			t.Errorf("Client4 after %q = %v, want the connection's error", says, err)
		}
	}
}

// TestErrorsNameNoCredentials holds for every way in which a handshake can fail.
func TestErrorsNameNoCredentials(t *testing.T) {
	t.Parallel()
	const user, password = "topsecretuser", "topsecretword"
	for _, says := range []string{"\x05\x02\x01\x01", "\x05\xff", "HTTP", "\x05\x02" + user, "\x05\x02\x01\x00\x05\x01", "\x05\x02\x01\x00" + password} {
		err := socks.Client5(&peer{Reader: strings.NewReader(says)}, byName, user, password)
		if err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("after %q: error %v", says, err)
		}
	}
}
