package socks_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freeway/internal/socks"
)

var sameAddr = cmpopts.EquateComparable(netip.Addr{})

// read runs a reader over input, whole and byte by byte, and over every cut of it.
func read[T any](t *testing.T, input string, want T, wantErr error, f func(io.Reader) (T, error)) {
	t.Helper()
	for how, wrap := range deliveries {
		r := wrap(strings.NewReader(input + after))
		got, err := f(r)
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: error %v, want %v", how, err, wantErr)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(want, got, sameAddr); diff != "" {
			t.Errorf("%s: -want +got\n%s", how, diff)
		}
		if rest, _ := io.ReadAll(r); string(rest) != after {
			t.Errorf("%s: %q is left, want %q", how, rest, after)
		}
	}
	for n := 0; n < len(input) && wantErr == nil; n++ {
		_, err := f(strings.NewReader(input[:n]))
		if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: error %v", n, err)
		}
	}
}

func TestReadGreeting5(t *testing.T) {
	t.Parallel()
	all := make([]byte, 255)
	for i := range all {
		all[i] = byte(i)
	}
	for _, tt := range []struct {
		name, in string
		want     []byte
		err      error
	}{
		{"one", "\x05\x01\x00", []byte{0}, nil},
		{"two", "\x05\x02\x00\x02", []byte{0, 2}, nil},
		{"all", "\x05\xff" + string(all), all, nil},
		{"none", "\x05\x00", nil, socks.ErrProtocol},
		{"SOCKS4", "\x04\x01", nil, socks.ErrProtocol},
		{"HTTP", "GET / HTTP/1.1\r\n", nil, socks.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read(t, tt.in, tt.want, tt.err, socks.ReadGreeting5)
		})
	}
}

type login struct{ User, Password string }

func readLogin(r io.Reader) (login, error) {
	u, p, err := socks.ReadLogin5(r)
	return login{u, p}, err
}

func TestReadLogin5(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, tt := range []struct {
		name, in string
		want     login
		err      error
	}{
		{"both", "\x01\x03bob\x02pw", login{"bob", "pw"}, nil},
		{"no password", "\x01\x03bob\x00", login{"bob", ""}, nil},
		{"nothing", "\x01\x00\x00", login{}, nil},
		{"any bytes", "\x01\x02\x00\xff\x01\n", login{"\x00\xff", "\n"}, nil},
		{"longest", "\x01\xff" + long + "\xff" + long, login{long, long}, nil},
		{"version 5", "\x05\x01a\x01b", login{}, socks.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read(t, tt.in, tt.want, tt.err, readLogin)
		})
	}
}

func TestReadRequest5(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	connect := func(a socks.Addr) socks.Request { return socks.Request{Version: 5, Command: socks.CmdConnect, Addr: a} }
	for _, tt := range []struct {
		name, in string
		want     socks.Request
		err      error
	}{
		{"name", want5, connect(byName), nil},
		{"IPv4", "\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50", connect(byIPv4), nil},
		{"IPv6", "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", connect(byIPv6), nil},
		{"mapped IPv4", "\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07\x00\x50", connect(byIPv4), nil},
		{"longest name", "\x05\x01\x00\x03\xff" + long + "\xff\xff", connect(socks.Addr{Name: long, Port: 65535}), nil},
		{"UDP", "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", socks.Request{Version: 5, Command: socks.CmdUDP, Addr: socks.Addr{IP: netip.IPv4Unspecified()}}, nil},
		{"unknown command", "\x05\x09\x00\x03\x01a\x00\x50", socks.Request{Version: 5, Command: 9, Addr: socks.Addr{Name: "a", Port: 80}}, nil},
		{"unknown type", "\x05\x01\x00\x02\x01", socks.Request{}, socks.ErrAddressType},
		{"type 0", "\x05\x01\x00\x00\x01", socks.Request{}, socks.ErrProtocol},
		{"reserved byte set", "\x05\x01\x01\x01", socks.Request{}, socks.ErrProtocol},
		{"empty name", "\x05\x01\x00\x03\x00\x00\x50", socks.Request{}, socks.ErrProtocol},
		{"zero byte in name", "\x05\x01\x00\x03\x03a\x00b\x00\x50", socks.Request{}, socks.ErrProtocol},
		{"line end in name", "\x05\x01\x00\x03\x04a\r\nb\x00\x50", socks.Request{}, socks.ErrProtocol},
		{"blank in name", "\x05\x01\x00\x03\x03a b\x00\x50", socks.Request{}, socks.ErrProtocol},
		{"version 4", "\x04\x01\x00\x50", socks.Request{}, socks.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read(t, tt.in, tt.want, tt.err, socks.ReadRequest5)
		})
	}
}

func TestReadRequest4(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	connect := func(a socks.Addr, user string) socks.Request {
		return socks.Request{Version: 4, Command: socks.CmdConnect, Addr: a, User: user}
	}
	for _, tt := range []struct {
		name, in string
		want     socks.Request
		err      error
	}{
		{"IPv4", "\x04\x01\x00\x50\xc0\x00\x02\x07\x00", connect(byIPv4, ""), nil},
		{"user", "\x04\x01\x00\x50\xc0\x00\x02\x07bob-country-us\x00", connect(byIPv4, "bob-country-us"), nil},
		{"name", "\x04\x01\x01\xbb\x00\x00\x00\x01bob\x00a.example\x00", connect(byName, "bob"), nil},
		{"name, another mark", "\x04\x01\x01\xbb\x00\x00\x00\xff\x00a.example\x00", connect(byName, ""), nil},
		{"0.0.0.0 is an address", "\x04\x01\x00\x50\x00\x00\x00\x00\x00", connect(socks.Addr{IP: netip.IPv4Unspecified(), Port: 80}, ""), nil},
		{"longest", "\x04\x01\x00\x50\x00\x00\x00\x01" + long + "\x00" + long + "\x00", connect(socks.Addr{Name: long, Port: 80}, long), nil},
		{"bind", "\x04\x02\x00\x50\xc0\x00\x02\x07\x00", socks.Request{Version: 4, Command: socks.CmdBind, Addr: byIPv4}, nil},
		{"user without end", "\x04\x01\x00\x50\xc0\x00\x02\x07" + long + "x", socks.Request{}, socks.ErrProtocol},
		{"name without end", "\x04\x01\x00\x50\x00\x00\x00\x01\x00" + long + "x", socks.Request{}, socks.ErrProtocol},
		{"empty name", "\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00", socks.Request{}, socks.ErrProtocol},
		{"line end in name", "\x04\x01\x00\x50\x00\x00\x00\x01\x00a\nb\x00", socks.Request{}, socks.ErrProtocol},
		{"version 5", "\x05\x01\x00", socks.Request{}, socks.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read(t, tt.in, tt.want, tt.err, socks.ReadRequest4)
		})
	}
}

func TestWriters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		write func(io.Writer) error
		want  string
	}{
		{"method", func(w io.Writer) error { return socks.WriteMethod5(w, socks.UserPass) }, "\x05\x02"},
		{"login ok", func(w io.Writer) error { return socks.WriteLogin5(w, true) }, "\x01\x00"},
		{"login refused", func(w io.Writer) error { return socks.WriteLogin5(w, false) }, "\x01\x01"},
		{"reply", func(w io.Writer) error { return socks.WriteReply5(w, socks.Succeeded, byIPv4) }, "\x05\x00\x00\x01\xc0\x00\x02\x07\x00\x50"},
		{"reply without address", func(w io.Writer) error { return socks.WriteReply5(w, socks.HostUnreachable, socks.Addr{}) },
			"\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"reply 4", func(w io.Writer) error { return socks.WriteReply4(w, socks.Rejected) }, "\x00\x5b\x00\x00\x00\x00\x00\x00"},
	} {
		var b bytes.Buffer
		if err := tt.write(&b); err != nil || b.String() != tt.want {
			t.Errorf("%s: wrote %q, %v, want %q", tt.name, b.String(), err, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{socks.Refused.String(), "connection refused"},
		{socks.Reply(77).String(), "reply 77"},
		{socks.NoIdentd.String(), "no identd"},
		{socks.Reply4(0).String(), "reply 0"},
		{(&socks.ReplyError{Version: 5, Code: 4}).Error(), "socks5: host unreachable"},
		{(&socks.ReplyError{Version: 4, Code: 91}).Error(), "socks4: rejected or failed"},
		{byIPv6.String(), "[2001:db8::1]:80"},
		{byName.String(), "a.example:443"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
