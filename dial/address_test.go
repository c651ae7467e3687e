package dial_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"freeway/dial"
	"freeway/proxy"
)

// resolver answers every question for IPv4 addresses with these, or with "no such name".
func resolver(addrs ...string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() { // ends when the resolver closes its end
			defer server.Close()
			for answerDNS(server, addrs) == nil {
			}
		}()
		return client, nil
	}}
}

// answerDNS reads a question and writes the answer, as over TCP (RFC 1035 section 4.2.2).
func answerDNS(c net.Conn, addrs []string) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	if len(addrs) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addrs {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type, TTL: 1},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()}})
		}
	}
	out, err := m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(out, uint16(len(out)-2))
	_, err = c.Write(out)
	return err
}

// TestForbiddenAddresses dials nothing: the hook refuses the address that is final.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, host string
		resolver   *net.Resolver
	}{
		{"loopback", "127.0.0.1", nil},
		{"private", "10.1.2.3", nil},
		{"metadata", "169.254.169.254", nil},
		{"mapped", "::ffff:192.168.0.1", nil},
		{"unspecified", "0.0.0.0", nil},
		{"IPv6 loopback", "::1", nil},
		{"localhost", "localhost", nil},
		{"name of a private address", "proxy.example", resolver("10.1.2.3")},
		{"name of several", "proxy.example", resolver("127.0.0.1", "169.254.169.254")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ep, err := proxy.NewEndpoint(proxy.HTTP, tt.host, 9, "")
			if err != nil {
				t.Fatal(err)
			}
			e := dial.Env{Resolver: tt.resolver, Control: env(t).Control}
			_, err = dial.New(slow, e).Via(ep, proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
			wantError(t, err, proxy.StageConnect, proxy.Forbidden, 0)
		})
	}
}

func TestForbidOwnListeners(t *testing.T) {
	t.Parallel()
	at := listen(t, func(c net.Conn) { t.Error("a loop was dialled") })
	e := env(t)
	e.Forbid = func(ap netip.AddrPort) bool { return ap == at }
	_, err := dial.New(slow, e).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Connect(t.Context())
	wantError(t, err, proxy.StageConnect, proxy.Forbidden, 0)
}

func TestControlOfTheCaller(t *testing.T) {
	t.Parallel()
	e := dial.Env{Policy: proxy.NewAddrPolicy(netip.MustParsePrefix("192.0.2.0/24")), Control: env(quiet{t}).Control}
	ep, err := proxy.Parse("http://192.0.2.1:9")
	if err != nil {
		t.Fatal(err)
	}
	_, err = dial.New(slow, e).Via(ep, proxy.Secret{}).Connect(t.Context())
	wantError(t, err, proxy.StageConnect, proxy.Forbidden, 0)
}

// quiet is a test that expects its guard to speak up.
type quiet struct{ testing.TB }

func (quiet) Error(...any) {}

func TestProxyNames(t *testing.T) {
	t.Parallel()
	at := listen(t, gone)
	ep, err := proxy.NewEndpoint(proxy.HTTP, "proxy.example", at.Port(), "")
	if err != nil {
		t.Fatal(err)
	}
	e := env(t)
	e.Resolver = resolver("10.1.2.3", "127.0.0.1") // the first is refused, the second is allowed
	c, err := dial.New(slow, e).Via(ep, proxy.Secret{}).Connect(t.Context())
	closing(t, c, err)
	if c.RemoteAddrPort() != at {
		t.Errorf("connected to %v, want %v", c.RemoteAddrPort(), at)
	}
	e.Resolver = resolver()
	_, err = dial.New(slow, e).Via(ep, proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
	wantError(t, err, proxy.StageResolve, proxy.DNS, 0)
	e.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }}
	_, err = dial.New(slow, e).Via(ep, proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
	wantError(t, err, proxy.StageResolve, proxy.DNS, 0)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	_, err = dial.New(slow, env(t)).Via(endpoint(t, proxy.SOCKS5, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
	wantError(t, err, proxy.StageConnect, proxy.Refused, 0)
}

// TestBadTargets dials nothing and blames no proxy.
func TestBadTargets(t *testing.T) {
	t.Parallel()
	at := listen(t, func(net.Conn) { t.Error("the proxy was dialled") })
	d := dial.New(slow, env(t))
	for _, p := range proxy.Protocols() {
		via := d.Via(endpoint(t, p, at, ""), proxy.Secret{})
		for _, to := range []proxy.Target{{}, {Host: "a.example"}, {Port: 1}, {Host: "a b", Port: 1}, {Host: "a\r\nX: y", Port: 1},
			{Host: "a\x00", Port: 1}, {Host: "fe80::1%eth0", Port: 1}, {Host: strings.Repeat("a.", 200), Port: 1}, {Host: "a:1", Port: 1}} {
			_, err := via.Tunnel(t.Context(), to)
			wantError(t, err, proxy.StageHandshake, proxy.TargetFailed, 0)
		}
		for _, tt := range [][2]string{{"udp", "a.example:1"}, {"tcp4", "a.example:1"}, {"tcp", "a.example"}, {"tcp", ":1"}, {"tcp", "a.example:x"}} {
			c, err := via.Dial(tt[0], tt[1])
			wantError(t, err, proxy.StageHandshake, proxy.TargetFailed, 0)
			if c != nil {
				t.Errorf("Dial(%q, %q) gives a connection beside the error", tt[0], tt[1])
			}
		}
	}
	_, err := d.Via(endpoint(t, proxy.SOCKS4, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "[2001:db8::1]:443"))
	wantError(t, err, proxy.StageHandshake, proxy.PortDenied, 0)
}

// TestErrorsNameNoCredentials has proxies that repeat what they were sent.
func TestErrorsNameNoCredentials(t *testing.T) {
	t.Parallel()
	const secret = "topsecret"
	echo := func(c net.Conn) {
		head := readHead(c)
		_, auth, _ := strings.Cut(head, "Basic ")
		auth, _, _ = strings.Cut(auth, "\r\n")
		_, _ = io.WriteString(c, "HTTP/1.1 407 "+secret+" "+auth+"\r\nX: "+secret+"\r\n\r\n")
	}
	babble := func(c net.Conn) { readN(c, 4); _, _ = io.WriteString(c, secret) }
	for name, tt := range map[string]struct {
		protocol proxy.Protocol
		handle   func(net.Conn)
	}{
		"status": {proxy.HTTP, echo}, "garbage": {proxy.HTTP, babble}, "SOCKS5": {proxy.SOCKS5, babble}, "SOCKS4": {proxy.SOCKS4, babble}, "TLS": {proxy.HTTPS, babble},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			via := dial.New(slow, env(t)).Via(endpoint(t, tt.protocol, listen(t, tt.handle), secret+"user"), proxy.NewSecret(secret+"word"))
			_, err := via.Tunnel(t.Context(), target(t, "a.example:443"))
			for ; err != nil; err = errors.Unwrap(err) {
				for _, s := range []string{secret, "dG9wc2VjcmV0"} {
					if strings.Contains(err.Error(), s) {
						t.Errorf("error %q holds %q", err, s)
					}
				}
			}
		})
	}
}
