package lab_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"freeway/internal/socks"
	"freeway/lab"
	"freeway/proxy"
)

// sayer is a target that reads the head of a request and says something.
func sayer(t *testing.T, text string, reset bool) netip.AddrPort {
	t.Helper()
	return peer(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		io.WriteString(c, text)
		if reset {
			c.SetLinger(0)
		}
	})
}

// TestAnswersOfTargets: a healthy upstream hands on what targets say, with the framing in order.
func TestAnswersOfTargets(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	ep := add(t, l, lab.Upstream{})
	for _, tt := range []struct {
		name, says, want string
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
		{"until the end", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nhi", "HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\nhi"},
		{"chunks and a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n"},
		{"early hints", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"},
		{"hop by hop", "HTTP/1.1 200 OK\r\nConnection: X\r\nX: 1\r\nConnection: Y\r\nY: 2\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"no HTTP", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n"},
		{"nothing", "", "HTTP/1.1 502 Bad Gateway\r\n"},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n"},
	} {
		c := dialRaw(t, ep.Address())
		io.WriteString(c, "GET http://"+sayer(t, tt.says, false).String()+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(c); !strings.HasPrefix(string(got), tt.want) || strings.HasPrefix(tt.want, "HTTP/1.1 2") && string(got) != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestCutByTheTarget: what a target cuts does not look whole behind a healthy upstream.
func TestCutByTheTarget(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS} {
		c := through(t, l, add(t, l, lab.Upstream{Protocol: p}), "")
		for name, to := range map[string]netip.AddrPort{
			"a length":  sayer(t, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhi", false),
			"chunks":    sayer(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", false),
			"no length": sayer(t, "HTTP/1.1 200 OK\r\n\r\nhi", true),
		} {
			if _, body, err := get(c, "http://"+to.String()+"/"); err == nil {
				t.Errorf("%s, %s: %q comes as if it were whole", p, name, body)
			}
		}
		whole := sayer(t, "HTTP/1.1 200 OK\r\n\r\nhi", false)
		if _, body, err := get(c, "http://"+whole.String()+"/"); err != nil || string(body) != "hi" {
			t.Errorf("%s, until the end: %q, %v", p, body, err)
		}
	}
}

func TestOldClients(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	addr := add(t, l, lab.Upstream{}).Address()
	got, err := ask(t, addr, "GET http://www.lab.test/bytes/5?seed=o HTTP/1.0\r\n\r\n")
	if err != nil || !strings.HasSuffix(got, "\r\n\r\n"+string(lab.Bytes(5, "o"))) {
		t.Errorf("HTTP/1.0: %q, %v", got, err)
	}
	c := dialRaw(t, addr)
	br := bufio.NewReader(c)
	for range 2 {
		io.WriteString(c, "GET http://www.lab.test/bytes/5?seed=o HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("HTTP/1.0 with keep-alive: %v", err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != string(lab.Bytes(5, "o")) {
			t.Errorf("HTTP/1.0 with keep-alive: %q, %v", b, err)
		}
	}
}

func TestSOCKSBehaviours(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	page := socks.Addr{Name: "www.lab.test", Port: 80}
	secure := socks.Addr{Name: "www.lab.test", Port: 443}
	for _, tt := range []struct {
		as   lab.Behaviour
		to   socks.Addr
		want string // in the error of the handshake; "" for none
	}{
		{lab.ConnectForbidden, page, ""},
		{lab.ConnectForbidden, secure, "not allowed"},
		{lab.Only443, secure, ""},
		{lab.Only443, page, ""},
		{lab.HTMLAfter200, secure, ""},
		{lab.Healthy, socks.Addr{Name: "www.lab.test", Port: 22}, "host unreachable"},
	} {
		c := dialRaw(t, add(t, l, lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: tt.as}).Address())
		err := socks.Client5(c, tt.to, "", "")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: %v, want %q", tt.as, tt.to, err, tt.want)
		}
		if tt.as == lab.HTMLAfter200 && err == nil {
			io.WriteString(c, "\x16\x03\x01\x00\x05hello")
			if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 200 OK\r\n") {
				t.Errorf("the tunnel says %q, want a page", b)
			}
		}
	}
}

// TestSOCKSWrong: what is not a request of the node's protocol gets no tunnel.
func TestSOCKSWrong(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	five := add(t, l, lab.Upstream{Protocol: proxy.SOCKS5}).Address()
	four := add(t, l, lab.Upstream{Protocol: proxy.SOCKS4}).Address()
	locked := add(t, l, lab.Upstream{Protocol: proxy.SOCKS4, Behaviour: lab.Locked}).Address()
	page := add(t, l, lab.Upstream{Protocol: proxy.SOCKS4, Behaviour: lab.LoginPage}).Address()
	for _, tt := range []struct{ name, addr, send, want string }{
		{"http to socks5", five, "GET / HTTP/1.1\r\n\r\n", ""},
		{"socks4 to socks5", five, "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", ""},
		{"socks5 to socks4", four, "\x05\x01\x00", ""},
		{"bind by 5", five, "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07"},
		{"bind by 4", four, "\x04\x02\x00\x50\x7f\x00\x00\x01\x00", "\x00\x5b"},
		{"4 to a port outside", four, "\x04\x01\x00\x16\x7f\x00\x00\x01\x00", "\x00\x5b"},
		{"no method in common", five, "\x05\x01\x02", "\x05\xff"},
		{"locked 4", locked, "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "\x00\x5d"},
		{"a web server", page, "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "HTTP/1.1 200 OK\r\n"},
		{"cut greeting", five, "\x05\x03\x00", ""},
	} {
		c := dialRaw(t, tt.addr)
		io.WriteString(c, tt.send)
		c.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(got), tt.want) || tt.want == "" && len(got) > 0 {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if n := l.Hits().Connections; n != 0 {
		t.Errorf("%d connections reached a target", n)
	}
}
