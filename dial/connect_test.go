package dial_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"freeway/dial"
	"freeway/proxy"
)

func TestConnectRequest(t *testing.T) {
	t.Parallel()
	const auth = "Proxy-Authorization: Basic Ym9iOnB3OndpdGg6Y29sb25z\r\n" // bob:pw:with:colons
	for _, tt := range []struct{ name, user, password, to, want string }{
		{"name", "", "", "www.example:443", "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n\r\n"},
		{"IPv4", "", "", "192.0.2.1:80", "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"},
		{"IPv6", "", "", "[2001:db8::1]:443", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"},
		{"credentials", "bob", "pw:with:colons", "a.example:443", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n" + auth + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			at := listen(t, func(c net.Conn) {
				got <- readHead(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				gone(c)
			})
			via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, tt.user), proxy.NewSecret(tt.password))
			c, err := via.Tunnel(t.Context(), target(t, tt.to))
			closing(t, c, err)
			if head := within(t, got, "request"); head != tt.want {
				t.Errorf("the proxy got %q, want %q", head, tt.want)
			}
		})
	}
}

// TestConnectAnswers has every answer in one write and byte by byte. Whatever
// is no success must also close the connection.
func TestConnectAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, says string
		end        func(net.Conn) // what the proxy does behind its answer
		class      proxy.Class
		status     int
		behind     string // what must come out of the tunnel
	}{
		{"200", "HTTP/1.1 200 Connection established\r\n\r\n", gone, proxy.OK, 0, ""},
		{"bytes behind", "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n", gone, proxy.OK, 0, "SSH-2.0-x\r\n"},
		{"many bytes behind", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("0123456789", 10_000), gone, proxy.OK, 0, strings.Repeat("0123456789", 10_000)},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n", gone, proxy.OK, 0, ""},
		{"no reason", "HTTP/1.1 200\r\n\r\nx", gone, proxy.OK, 0, "x"},
		{"bare line feeds", "HTTP/1.1 200 OK\nA: b\n\nx", gone, proxy.OK, 0, "x"},
		{"201", "HTTP/1.1 201 Created\r\n\r\n", gone, proxy.OK, 0, ""},
		{"framing of a 200 means nothing", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab", gone, proxy.OK, 0, "2\r\nab"},
		{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", gone, proxy.OK, 0, "x"},
		{"empty line in front", "\r\nHTTP/1.1 200 OK\r\n\r\nx", gone, proxy.OK, 0, "x"},
		{"header over the buffer", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 20_000) + "\r\n\r\nx", gone, proxy.OK, 0, "x"},

		{"401", "HTTP/1.1 401 Unauthorized\r\n\r\n", gone, proxy.AuthRequired, 401, ""},
		{"407", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nabc", gone, proxy.AuthRequired, 407, ""},
		{"405", "HTTP/1.1 405 Method Not Allowed\r\n\r\n", gone, proxy.NoConnect, 405, ""},
		{"501", "HTTP/1.1 501 Not Implemented\r\n\r\n", gone, proxy.NoConnect, 501, ""},
		{"403", "HTTP/1.1 403 Forbidden\r\n\r\n<html>", gone, proxy.PortDenied, 403, ""},
		{"500", "HTTP/1.1 500 Unable to connect\r\n\r\n", gone, proxy.BadGateway, 500, ""},
		{"502", "HTTP/1.1 502 Bad Gateway\r\n\r\n", gone, proxy.BadGateway, 502, ""},
		{"503", "HTTP/1.1 503 Service Unavailable\r\n\r\n", gone, proxy.BadGateway, 503, ""},
		{"504", "HTTP/1.1 504 Gateway Timeout\r\n\r\n", gone, proxy.BadGateway, 504, ""},
		{"login page", "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", gone, proxy.Rejected, 302, ""},
		{"400", "HTTP/1.1 400 Bad Request\r\n\r\n", gone, proxy.Rejected, 400, ""},
		{"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", gone, proxy.Rejected, 101, ""},

		{"SSH banner", "SSH-2.0-OpenSSH_9.2\r\n", gone, proxy.Garbage, 0, ""},
		{"SOCKS answer", "\x05\xff", gone, proxy.Garbage, 0, ""},
		{"TLS alert", "\x15\x03\x01\x00\x02\x02\x46", gone, proxy.Garbage, 0, ""},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", gone, proxy.Garbage, 0, ""},
		{"HTML", "<html>", gone, proxy.Garbage, 0, ""},
		{"no status", "HTTP/1.1 OK\r\n\r\n", gone, proxy.Garbage, 0, ""},
		{"control character in a header", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", gone, proxy.Garbage, 0, ""},
		{"endless interim answers", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), gone, proxy.Garbage, 0, ""},
		{"endless head", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 40_000), gone, proxy.Garbage, 0, ""},
		{"nothing, closed", "", nil, proxy.EOF, 0, ""},
		{"closed in the version", "HTTP", nil, proxy.EOF, 0, ""},
		{"closed in the head", "HTTP/1.1 200 OK\r\nA: b\r\n", nil, proxy.EOF, 0, ""},
		{"reset", "", reset, proxy.Reset, 0, ""},
	} {
		for how, chunk := range map[string]int{"whole": 1 << 20, "in pieces": 1} {
			if len(tt.says) > 1000 {
				chunk = max(chunk, 777)
			}
			t.Run(tt.name+" "+how, func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{}, 1)
				at := listen(t, func(c net.Conn) {
					readHead(c)
					writePieces(c, tt.says, chunk)
					if tt.end != nil {
						tt.end(c)
					}
					ended <- struct{}{}
				})
				c, err := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
				if tt.class != proxy.OK {
					wantError(t, err, proxy.StageHandshake, tt.class, tt.status)
					within(t, ended, "end of the connection")
					return
				}
				closing(t, c, err)
				if got := readN(c, len(tt.behind)); got != tt.behind {
					t.Errorf("the tunnel gave %.50q, want %.50q", got, tt.behind)
				}
			})
		}
	}
}

// writePieces stops when the other side has had enough.
func writePieces(c net.Conn, s string, chunk int) {
	for len(s) > 0 {
		n := min(chunk, len(s))
		if _, err := io.WriteString(c, s[:n]); err != nil {
			return
		}
		s = s[n:]
	}
}

// TestPlainPortGetsNoTLS is mistake 2 of the field: "https" lists are full of
// plain proxies, so an http endpoint is spoken to in plain text whatever the
// target, and an https endpoint on a plain port fails as what it is.
func TestPlainPortGetsNoTLS(t *testing.T) {
	t.Parallel()
	at := listen(t, func(c net.Conn) {
		if first := readN(c, 1); first != "C" {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
			return
		}
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		gone(c)
	})
	d := dial.New(slow, env(t))
	c, err := d.Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
	closing(t, c, err)
	_, err = d.Via(endpoint(t, proxy.HTTPS, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
	e := err.(*dial.Error)
	if e.Stage != proxy.StageTLS || e.Class != proxy.BadTLS && e.Class != proxy.Reset {
		t.Errorf("TLS to a plain port: %v", err)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	at := listen(t, func(c net.Conn) {
		got <- readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, "bob"), proxy.NewSecret("pw"))
	c, err := via.Forward(t.Context())
	closing(t, c, err)
	const request = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if head := within(t, got, "request"); head != request {
		t.Errorf("the proxy got %q, want %q", head, request)
	}
	if b, _ := io.ReadAll(c); string(b) != "HTTP/1.1 204 No Content\r\n\r\n" {
		t.Errorf("the answer is %q", b)
	}
	if c.RemoteAddrPort() != at {
		t.Errorf("RemoteAddrPort() = %v, want %v", c.RemoteAddrPort(), at)
	}
}

func TestProxyAuthorization(t *testing.T) {
	t.Parallel()
	d := dial.New(slow, dial.Env{})
	for _, tt := range []struct{ endpoint, password, want string }{
		{"http://127.0.0.1:1", "", ""},
		{"http://bob@127.0.0.1:1", "", "Basic Ym9iOg=="},
		{"https://bob@127.0.0.1:1", "pw", "Basic Ym9iOnB3"},
		{"http://127.0.0.1:1", "pw", "Basic OnB3"},
		{"socks5://bob@127.0.0.1:1", "pw", ""}, // what goes through its tunnel is for the target
		{"socks4://bob@127.0.0.1:1", "", ""},
	} {
		ep, err := proxy.Parse(tt.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Via(ep, proxy.NewSecret(tt.password)).ProxyAuthorization(); got != tt.want {
			t.Errorf("%s: ProxyAuthorization() = %q, want %q", tt.endpoint, got, tt.want)
		}
	}
}
