package dial_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"freeway/dial"
	"freeway/proxy"
)

// secureProxy listens with TLS, reports the server names of the clients, and runs handle inside.
func secureProxy(t *testing.T, cert tls.Certificate, handle func(c *tls.Conn)) (netip.AddrPort, <-chan string) {
	names := make(chan string, 1)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		}}
	return listen(t, func(c net.Conn) {
		s := tls.Server(c, cfg)
		if s.Handshake() == nil {
			handle(s)
		}
		s.Close()
	}), names
}

// TestTunnelInsideTLS has the server name of mistake 3 of the field too: the
// proxy's name is sent, its address never.
func TestTunnelInsideTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ host, sni string }{{"127.0.0.1", ""}, {"localhost", "localhost"}} {
		t.Run(tt.host, func(t *testing.T) {
			t.Parallel()
			cert, roots := certificate(t)
			heads := make(chan string, 1)
			at, names := secureProxy(t, cert, func(c *tls.Conn) {
				heads <- readHead(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nbehind") // one record
				_, _ = io.Copy(c, c)
			})
			e := env(t)
			e.Roots, e.Resolver = roots, nil // localhost is in every hosts file
			ep, err := proxy.NewEndpoint(proxy.HTTPS, tt.host, at.Port(), "bob")
			if err != nil {
				t.Fatal(err)
			}
			c, err := dial.New(slow, e).Via(ep, proxy.NewSecret("pw")).Tunnel(t.Context(), target(t, "a.example:443"))
			closing(t, c, err)
			if got := within(t, names, "ClientHello"); got != tt.sni {
				t.Errorf("server name %q, want %q", got, tt.sni)
			}
			const want = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic Ym9iOnB3\r\n\r\n"
			if got := within(t, heads, "request"); got != want {
				t.Errorf("the proxy got %q, want %q", got, want)
			}
			halfClose(t, c, "behind", "echo")
			if p := c.Phases(); p.Connect <= 0 || p.TLS <= 0 || p.Handshake <= 0 || p.FirstByte != 0 {
				t.Errorf("Phases() = %+v", p)
			}
		})
	}
}

// halfClose expects greeting, sends text, ends its own direction and expects text back.
func halfClose(t *testing.T, c *dial.Conn, greeting, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatalf("CloseWrite: %v", err)
	}
	b, err := io.ReadAll(c)
	if want := greeting + text; err != nil || string(b) != want {
		t.Errorf("read %q, %v, want %q", b, err, want)
	}
}

func TestHalfCloseOverTCP(t *testing.T) {
	t.Parallel()
	at := listen(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nbehind")
		all, _ := io.ReadAll(c) // the answer comes only after the client has ended
		_, _ = c.Write(all)
	})
	c, err := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:80"))
	halfClose(t, closing(t, c, err), "behind", "echo")
}

func TestHalfCloseUnsupported(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer b.Close()
	c := dial.NewConn(a)
	defer c.Close()
	if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CloseWrite over a pipe = %v", err)
	}
	if c.RemoteAddrPort().IsValid() {
		t.Errorf("RemoteAddrPort of a pipe = %v", c.RemoteAddrPort())
	}
}

// TestCertificatesAreVerified shows that there is no way around it.
func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	_, others := certificate(t)
	for _, tt := range []struct {
		name, host string
		env        func(*dial.Env)
	}{
		{"another authority", "127.0.0.1", func(e *dial.Env) { e.Roots = others }},
		{"the system's authorities", "127.0.0.1", func(*dial.Env) {}},
		{"another address", "127.0.0.2", func(e *dial.Env) { e.Roots = roots }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at, _ := secureProxy(t, cert, func(*tls.Conn) { t.Error("the handshake passed") })
			e := env(t)
			tt.env(&e)
			if tt.host != "127.0.0.1" {
				at = redirect(t, tt.host, at)
			}
			_, err := dial.New(slow, e).Via(endpoint(t, proxy.HTTPS, at, ""), proxy.Secret{}).Forward(t.Context())
			wantError(t, err, proxy.StageTLS, proxy.BadTLS, 0)
		})
	}
}

// redirect makes another loopback address lead to at.
func redirect(t *testing.T, host string, at netip.AddrPort) netip.AddrPort {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no second loopback address here: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s, err := net.Dial("tcp", at.String())
		if err != nil {
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(s, c); s.Close() })
		_, _ = io.Copy(c, s)
		c.Close()
		wg.Wait()
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		says  string
		end   func(net.Conn)
		class proxy.Class
	}{
		{"alert", "\x15\x03\x03\x00\x02\x02\x28", gone, proxy.BadTLS},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", gone, proxy.BadTLS},
		{"closed", "", nil, proxy.EOF},
		{"reset", "", reset, proxy.Reset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			at := listen(t, func(c net.Conn) {
				head := []byte(readN(c, 5)) // the record's header, then the rest of the ClientHello
				readN(c, int(head[3])<<8|int(head[4]))
				_, _ = io.WriteString(c, tt.says)
				if tt.end != nil {
					tt.end(c)
				}
			})
			_, err := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTPS, at, ""), proxy.Secret{}).Tunnel(t.Context(), target(t, "a.example:443"))
			wantError(t, err, proxy.StageTLS, tt.class, 0)
		})
	}
}

// TestStepsOverOneConnection is how the checker probes: TCP first, then what it finds.
func TestStepsOverOneConnection(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	at, _ := secureProxy(t, cert, func(c *tls.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nbehind")
		_, _ = io.Copy(c, c)
	})
	e := env(t)
	e.Roots = roots
	via := dial.New(slow, e).Via(endpoint(t, proxy.HTTPS, at, ""), proxy.Secret{})
	c, err := via.Connect(t.Context())
	closing(t, c, err)
	if p := c.Phases(); p.Connect <= 0 || p.TLS != 0 || p.Handshake != 0 {
		t.Errorf("Phases() after Connect = %+v", p)
	}
	if _, err = via.ForwardOver(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	tls := c.Phases().TLS
	if c, err = via.TunnelOver(t.Context(), c, target(t, "a.example:443")); err != nil {
		t.Fatal(err)
	}
	if p := c.Phases(); tls <= 0 || p.TLS != tls || p.Handshake <= 0 {
		t.Errorf("Phases() after TunnelOver = %+v, TLS before %v", p, tls)
	}
	halfClose(t, c, "behind", "echo")
}

func TestOverClosesOnRefusal(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 2)
	at := listen(t, func(c net.Conn) { gone(c); ended <- struct{}{} })
	d := dial.New(slow, env(t))
	socks := d.Via(endpoint(t, proxy.SOCKS4, at, ""), proxy.Secret{})
	c, err := socks.Connect(t.Context())
	closing(t, c, err)
	_, err = socks.ForwardOver(t.Context(), c)
	wantError(t, err, proxy.StageHandshake, proxy.Rejected, 0)
	within(t, ended, "end after ForwardOver")
	c, err = socks.Connect(t.Context())
	closing(t, c, err)
	_, err = socks.TunnelOver(t.Context(), c, target(t, "[2001:db8::1]:443"))
	wantError(t, err, proxy.StageHandshake, proxy.PortDenied, 0)
	within(t, ended, "end after TunnelOver")
}
