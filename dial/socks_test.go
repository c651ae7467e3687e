package dial_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"freeway/dial"
	"freeway/proxy"
)

const (
	greet   = "\x05\x00"
	granted = "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
)

// turns plays a proxy of fixed lines: it reads as many bytes as each turn wants, then says its piece.
type turn struct {
	read int
	says string
}

func play(turns []turn, got chan<- string, end func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		told := ""
		for _, tn := range turns {
			told += readN(c, tn.read)
			if _, err := io.WriteString(c, tn.says); err != nil {
				break
			}
		}
		got <- told
		if end != nil {
			end(c)
		}
	}
}

func TestSOCKS(t *testing.T) {
	t.Parallel()
	const (
		name5  = "\x05\x01\x00\x03\x0bwww.example\x01\xbb"
		name4  = "\x04\x01\x01\xbb\x00\x00\x00\x01bob\x00www.example\x00"
		quad5  = "\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x50"
		six5   = "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"
		quad4  = "\x04\x01\x00\x50\xc0\x00\x02\x07\x00"
		ok4    = "\x00\x5a\x00\x00\x00\x00\x00\x00"
		target = "www.example:443"
	)
	for _, tt := range []struct {
		name     string
		protocol proxy.Protocol
		user     string
		to       string
		turns    []turn
		told     string
	}{
		{"5, name", proxy.SOCKS5, "", target, []turn{{3, greet}, {len(name5), granted + "behind"}}, "\x05\x01\x00" + name5},
		{"5, IPv4", proxy.SOCKS5, "", "192.0.2.7:80", []turn{{3, greet}, {len(quad5), granted + "behind"}}, "\x05\x01\x00" + quad5},
		{"5, IPv6", proxy.SOCKS5, "", "[2001:db8::1]:80", []turn{{3, greet}, {len(six5), granted + "behind"}}, "\x05\x01\x00" + six5},
		{"5, login", proxy.SOCKS5, "bob", target, []turn{{4, "\x05\x02"}, {8, "\x01\x00"}, {len(name5), granted + "behind"}},
			"\x05\x02\x00\x02" + "\x01\x03bob\x02pw" + name5},
		{"4a, name", proxy.SOCKS4, "bob", target, []turn{{len(name4), ok4 + "behind"}}, name4},
		{"4, IPv4", proxy.SOCKS4, "", "192.0.2.7:80", []turn{{len(quad4), ok4 + "behind"}}, quad4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			at := listen(t, play(tt.turns, got, gone))
			password := proxy.Secret{}
			if tt.user != "" {
				password = proxy.NewSecret("pw")
			}
			c, err := dial.New(slow, env(t)).Via(endpoint(t, tt.protocol, at, tt.user), password).DialContext(t.Context(), "tcp", tt.to)
			if err != nil {
				t.Fatal(err)
			}
			closing(t, c.(*dial.Conn), nil)
			if told := within(t, got, "handshake"); told != tt.told {
				t.Errorf("the proxy got %q, want %q", told, tt.told)
			}
			if behind := readN(c, len("behind")); behind != "behind" {
				t.Errorf("the tunnel gave %q", behind)
			}
		})
	}
}

func TestSOCKSFailures(t *testing.T) {
	t.Parallel()
	reply := func(code byte) []turn {
		return []turn{{3, greet}, {18, string([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})}}
	}
	reply4 := func(code byte) []turn {
		return []turn{{21, string([]byte{0, code, 0, 0, 0, 0, 0, 0})}}
	}
	for _, tt := range []struct {
		name     string
		protocol proxy.Protocol
		user     string
		turns    []turn
		end      func(net.Conn)
		class    proxy.Class
		status   int
	}{
		{"general failure", proxy.SOCKS5, "", reply(1), gone, proxy.BadGateway, 1},
		{"not allowed", proxy.SOCKS5, "", reply(2), gone, proxy.PortDenied, 2},
		{"network unreachable", proxy.SOCKS5, "", reply(3), gone, proxy.BadGateway, 3},
		{"host unreachable", proxy.SOCKS5, "", reply(4), gone, proxy.BadGateway, 4},
		{"refused", proxy.SOCKS5, "", reply(5), gone, proxy.BadGateway, 5},
		{"TTL expired", proxy.SOCKS5, "", reply(6), gone, proxy.BadGateway, 6},
		{"command not supported", proxy.SOCKS5, "", reply(7), gone, proxy.Rejected, 7},
		{"address not supported", proxy.SOCKS5, "", reply(8), gone, proxy.Rejected, 8},
		{"reply out of range", proxy.SOCKS5, "", reply(200), gone, proxy.Rejected, 200},
		{"nothing acceptable", proxy.SOCKS5, "", []turn{{3, "\x05\xff"}}, gone, proxy.AuthRequired, 0},
		{"login refused", proxy.SOCKS5, "bob", []turn{{4, "\x05\x02"}, {8, "\x01\x01"}}, gone, proxy.AuthRequired, 0},
		{"HTTP server", proxy.SOCKS5, "", []turn{{3, "HTTP/1.1 400 Bad Request\r\n\r\n"}}, gone, proxy.Garbage, 0},
		{"reserved byte set", proxy.SOCKS5, "", []turn{{3, greet}, {18, "\x05\x00\x01\x01"}}, gone, proxy.Garbage, 0},
		{"closed at once", proxy.SOCKS5, "", nil, nil, proxy.EOF, 0},
		{"closed behind the greeting", proxy.SOCKS5, "", []turn{{3, greet}, {18, ""}}, nil, proxy.EOF, 0},
		{"reset", proxy.SOCKS5, "", []turn{{3, ""}}, reset, proxy.Reset, 0},
		{"4: rejected", proxy.SOCKS4, "", reply4(91), gone, proxy.BadGateway, 91},
		{"4: no identd", proxy.SOCKS4, "", reply4(92), gone, proxy.AuthRequired, 92},
		{"4: bad ident", proxy.SOCKS4, "", reply4(93), gone, proxy.AuthRequired, 93},
		{"4: a SOCKS5 server", proxy.SOCKS4, "", []turn{{21, "\x05\xff"}}, gone, proxy.Garbage, 0},
		{"4: closed", proxy.SOCKS4, "", []turn{{21, ""}}, nil, proxy.EOF, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			ended := make(chan struct{}, 1)
			handle := play(tt.turns, got, tt.end)
			at := listen(t, func(c net.Conn) {
				handle(c)
				ended <- struct{}{}
			})
			via := dial.New(slow, env(t)).Via(endpoint(t, tt.protocol, at, tt.user), proxy.NewSecret(strings.Repeat("pw", len(tt.user)/3)))
			c, err := via.DialContext(t.Context(), "tcp", "www.example:443")
			if c != nil {
				t.Errorf("a connection beside the error")
			}
			if tt.class == proxy.EOF && tt.turns == nil { // closing with unread data may show as a reset
				if got := dial.Classify(err); got != proxy.EOF && got != proxy.Reset {
					t.Errorf("error %v, want an early end", err)
				}
				return
			}
			wantError(t, err, proxy.StageHandshake, tt.class, tt.status)
			within(t, ended, "end of the connection")
		})
	}
}

func TestSOCKSHasNoForward(t *testing.T) {
	t.Parallel()
	ep, err := proxy.Parse("socks5://127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	_, err = dial.New(slow, env(t)).Via(ep, proxy.Secret{}).Forward(t.Context())
	wantError(t, err, proxy.StageHandshake, proxy.Rejected, 0)
}
