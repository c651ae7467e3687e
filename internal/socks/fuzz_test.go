package socks_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"freeway/internal/socks"
)

// same fails when a reader depends on how its input is cut into pieces, or
// reads past the message. It returns the value when there is one.
func same[T comparable](t *testing.T, in []byte, f func(io.Reader) (T, error)) (T, bool) {
	t.Helper()
	whole, bytewise := bytes.NewReader(in), bytes.NewReader(in)
	a, errA := f(whole)
	b, errB := f(iotest.OneByteReader(bytewise))
	if a != b || (errA == nil) != (errB == nil) {
		t.Fatalf("whole %+v, %v; byte-wise %+v, %v", a, errA, b, errB)
	}
	if errA == nil && whole.Len() != bytewise.Len() {
		t.Fatalf("whole leaves %d bytes, byte-wise %d", whole.Len(), bytewise.Len())
	}
	return a, errA == nil
}

func FuzzGreeting5(f *testing.F) {
	for _, s := range []string{"\x05\x01\x00", "\x05\x02\x00\x02", "\x05\x00", "\x04\x01\x00\x50", "GET / HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		methods, ok := same(t, in, func(r io.Reader) (string, error) {
			m, err := socks.ReadGreeting5(r)
			return string(m), err
		})
		if want := "\x05" + string([]byte{byte(len(methods))}) + methods; ok && !bytes.HasPrefix(in, []byte(want)) {
			t.Fatalf("%q read as methods %q", in, methods)
		}
	})
}

func FuzzLogin5(f *testing.F) {
	for _, s := range []string{"\x01\x03bob\x02pw", "\x01\x00\x00", "\x01\xff", "\x05\x01a\x01b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l, ok := same(t, in, readLogin)
		want := "\x01" + string([]byte{byte(len(l.User))}) + l.User + string([]byte{byte(len(l.Password))}) + l.Password
		if ok && !bytes.HasPrefix(in, []byte(want)) {
			t.Fatalf("%q read as %+v", in, l)
		}
	})
}

// roundTrip demands that the client's own request for what was read is read as the same again.
func roundTrip(t *testing.T, q socks.Request, prefix int, client func(io.ReadWriter) error, reader func(io.Reader) (socks.Request, error)) {
	t.Helper()
	p := &peer{Reader: strings.NewReader("\x05\x00")}
	if err := client(p); errors.Is(err, socks.ErrAddress) || errors.Is(err, socks.ErrAuth) {
		t.Fatalf("%+v was read but cannot be sent: %v", q, err)
	}
	again, err := reader(bytes.NewReader(p.told.Bytes()[prefix:]))
	q.Command = socks.CmdConnect
	if err != nil || again != q {
		t.Fatalf("%+v was sent and read as %+v, %v", q, again, err)
	}
}

func FuzzRequest5(f *testing.F) {
	for _, s := range []string{want5, "\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50", "\x05\x09\x00\x02", "\x05\x01\x00\x03\x00\x00\x50",
		"\x05\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07\x00\x50"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if q, ok := same(t, in, socks.ReadRequest5); ok {
			roundTrip(t, q, len("\x05\x01\x00"), func(rw io.ReadWriter) error { return socks.Client5(rw, q.Addr, "", "") }, socks.ReadRequest5)
		}
	})
}

func FuzzRequest4(f *testing.F) {
	for _, s := range []string{"\x04\x01\x00\x50\xc0\x00\x02\x07bob\x00", "\x04\x01\x01\xbb\x00\x00\x00\x01\x00a.example\x00", "\x04\x01\x00\x50\x00\x00\x00\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if q, ok := same(t, in, socks.ReadRequest4); ok {
			roundTrip(t, q, 0, func(rw io.ReadWriter) error { return socks.Client4(rw, q.Addr, q.User) }, socks.ReadRequest4)
		}
	})
}

// answer runs a client over the bytes of a server and returns the kind of its error as text.
func answer(client func(io.ReadWriter) error) func(io.Reader) (string, error) {
	return func(r io.Reader) (string, error) {
		p := &peer{Reader: r}
		if err := client(p); err != nil {
			return err.Error(), err
		}
		return "ok", nil
	}
}

func FuzzClient5(f *testing.F) {
	for _, s := range []string{"\x05\x00" + ok5, "\x05\x02\x01\x00" + ok5, "\x05\x02\x01\x01", "\x05\xff", "\x05\x00\x05\x04", "HTTP/1.1 400 Bad\r\n", "\x05\x00\x05\x00\x00\x03\x02ab\x00\x00"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, credentials bool) {
		user := ""
		if credentials {
			user = "user"
		}
		same(t, in, answer(func(rw io.ReadWriter) error { return socks.Client5(rw, byName, user, user) }))
	})
}

func FuzzClient4(f *testing.F) {
	for _, s := range []string{ok4, "\x00\x5b", "\x00\x5d\x00\x00\x00\x00\x00\x00", "\x05\x00", "HTTP/1.1 400 Bad\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		same(t, in, answer(func(rw io.ReadWriter) error { return socks.Client4(rw, byName, "user") }))
	})
}
