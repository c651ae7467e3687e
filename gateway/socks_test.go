package gateway_test

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	"freeway/gateway"
	"freeway/internal/socks"
	"freeway/proxy"
)

func addrOf(ap netip.AddrPort) socks.Addr { return socks.Addr{IP: ap.Addr(), Port: ap.Port()} }

// echo is a target that gives back what it gets.
func echo(t *testing.T) netip.AddrPort {
	return serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) })
}

func TestSOCKSServes(t *testing.T) {
	t.Parallel()
	target := echo(t)
	r := newRig(t, gateway.Config{}, refused(t), honest(t))
	for name, connect := range map[string]func(w *wire) error{
		"5":         func(w *wire) error { return socks.Client5(w, addrOf(target), "", "") },
		"5, user":   func(w *wire) error { return socks.Client5(w, addrOf(target), "bob-country-de", "") },
		"4":         func(w *wire) error { return socks.Client4(w, addrOf(target), "bob-country-de") },
		"4, nobody": func(w *wire) error { return socks.Client4(w, addrOf(target), "") },
	} {
		w := r.conn()
		if err := connect(w); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w.send("ping")
		w.expect("ping")
		_ = w.Close()
	}
}

// TestSOCKSBytewise sends a whole SOCKS5 conversation byte by byte, with data
// behind it that must arrive, and the name of the target unresolved.
func TestSOCKSBytewise(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	up := upstream(t, proxy.HTTP, func(c *wire) {
		asked <- c.head()[0]
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(c.Conn, c.r)
	})
	r := newRig(t, gateway.Config{}, up)
	w := r.conn()
	for _, b := range []byte("\x05\x02\x00\x02" + "\x01\x03bob\x00" + "\x05\x01\x00\x03\x0bexample.com\x01\xbb" + "data") {
		w.send(string([]byte{b}))
	}
	w.expect("\x05\x02\x01\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00data")
	if got := <-asked; got != "CONNECT example.com:443 HTTP/1.1" {
		t.Errorf("the upstream was asked %q", got)
	}
}

// TestSOCKSRefusals: each conversation ends with these bytes and a closed connection.
func TestSOCKSRefusals(t *testing.T) {
	t.Parallel()
	const hello, ok = "\x05\x01\x00", "\x05\x00"
	reply := func(code string) string { return ok + "\x05" + code + "\x00\x01\x00\x00\x00\x00\x00\x00" }
	const v4 = "\x00\x00\x00\x00\x00\x00"
	open, locked := gateway.Config{}, gateway.Config{Users: []gateway.User{{Name: "bob", Password: password("pw")}}}
	for _, c := range []struct {
		name string
		cfg  gateway.Config
		send string
		want string
	}{
		{"BIND", open, hello + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x09", reply("\x07")},
		{"UDP", open, hello + "\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x09", reply("\x07")},
		{"command 9", open, hello + "\x05\x09\x00\x01\x7f\x00\x00\x01\x00\x09", reply("\x07")},
		{"address type 2", open, hello + "\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x09", reply("\x08")},
		{"empty name", open, hello + "\x05\x01\x00\x03\x00\x00\x09", reply("\x01")},
		{"NUL in name", open, hello + "\x05\x01\x00\x03\x03a\x00b\x00\x09", reply("\x01")},
		{"CRLF in name", open, hello + "\x05\x01\x00\x03\x04a\r\nb\x00\x09", reply("\x01")},
		{"long name", open, hello + "\x05\x01\x00\x03\xff" + strings.Repeat("a", 255) + "\x00\x09", reply("\x01")},
		{"port 0", open, hello + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00", reply("\x01")},
		{"private", open, hello + "\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50", reply("\x02")},
		{"mail", open, hello + "\x05\x01\x00\x01\x08\x08\x08\x08\x00\x19", reply("\x02")},
		{"no upstream", open, hello + "\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50", reply("\x03")},
		{"no method", open, "\x05\x00", "\x05\xff"},
		{"unknown methods", open, "\x05\x02\x01\x80", "\x05\xff"},
		{"login needed", locked, hello, "\x05\xff"},
		{"request without login", locked, "\x05\x01\x02" + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x09", "\x05\x02\x01\x01"},
		{"wrong password", locked, "\x05\x01\x02\x01\x03bob\x02px", "\x05\x02\x01\x01"},
		{"wrong user", locked, "\x05\x01\x02\x01\x03bib\x02pw", "\x05\x02\x01\x01"},
		{"login version 5", locked, "\x05\x01\x02\x05\x03bob\x02pw", "\x05\x02\x01\x01"},
		{"longest login", locked, "\x05\x01\x02\x01\xff" + strings.Repeat("u", 255) + "\xff" + strings.Repeat("p", 255), "\x05\x02\x01\x01"},
		{"bad options", locked, "\x05\x01\x02\x01\x09bob-x-1-1\x02pw", "\x05\x02\x01\x01"},
		{"SOCKS4 with a password needed", locked, "\x04\x01\x00\x09\x7f\x00\x00\x01bob\x00", "\x00\x5d" + v4},
		{"SOCKS4 BIND", open, "\x04\x02\x00\x09\x7f\x00\x00\x01\x00", "\x00\x5b" + v4},
		{"SOCKS4 private", open, "\x04\x01\x00\x50\x0a\x00\x00\x01\x00", "\x00\x5b" + v4},
		{"SOCKS4a bad name", open, "\x04\x01\x00\x50\x00\x00\x00\x01\x00a b\x00", "\x00\x5b" + v4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newRig(t, c.cfg).conn()
			w.send(c.send)
			if got := w.rest(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSOCKSManyMethods(t *testing.T) {
	t.Parallel()
	w := newRig(t, gateway.Config{}).conn()
	all := []byte{5, 255}
	for i := range 255 {
		all = append(all, byte(i))
	}
	w.send(string(all))
	w.expect("\x05\x02")
}

// TestSOCKSErrorsInTrace keeps the reply that was sent.
func TestSOCKSErrorsInTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{}, refused(t))
	w := r.conn()
	err := socks.Client5(w, socks.Addr{Name: "example.com", Port: 443}, "", "")
	tr := r.p.trace(t, 1)
	if err == nil || tr.Method != "SOCKS5" || tr.Status != int(socks.HostUnreachable) || tr.Code != "upstreams_failed" || tr.Target.Host != "example.com" {
		t.Errorf("%v, trace %+v", err, tr)
	}
}
