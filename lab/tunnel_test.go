package lab_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"freeway/internal/socks"
	"freeway/lab"
	"freeway/proxy"
)

// peer is a server on loopback that treats each connection in a way; it returns its address.
func peer(t *testing.T, treat func(c *net.TCPConn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			treat(c.(*net.TCPConn))
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// halfCloser is a client's end that can half-close.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// tunnel opens a tunnel by any protocol.
func tunnel(t *testing.T, l *lab.Lab, ep proxy.Endpoint, to netip.AddrPort) halfCloser {
	t.Helper()
	c := dialRaw(t, ep.Address()).(*net.TCPConn)
	addr := socks.Addr{IP: to.Addr(), Port: to.Port()}
	var err error
	out := halfCloser(c)
	switch ep.Protocol {
	case proxy.SOCKS4:
		err = socks.Client4(c, addr, "")
	case proxy.SOCKS5:
		err = socks.Client5(c, addr, "", "")
	case proxy.HTTPS:
		out = tls.Client(c, &tls.Config{RootCAs: l.Roots(), ServerName: ep.Host})
		fallthrough
	default:
		fmt.Fprintf(out, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
		want := "HTTP/1.1 200 Connection established\r\n\r\n"
		got := make([]byte, len(want))
		if _, err = io.ReadFull(out, got); err == nil && string(got) != want {
			err = fmt.Errorf("answer %q", got)
		}
	}
	if err != nil {
		t.Fatalf("tunnel through %s: %v", ep, err)
	}
	return out
}

func TestTunnelHalfClose(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	to := peer(t, func(c *net.TCPConn) { // answers only after the client's end
		b, _ := io.ReadAll(c)
		c.Write(append([]byte("got "), b...))
	})
	for _, p := range proxy.Protocols() {
		c := tunnel(t, l, add(t, l, lab.Upstream{Protocol: p}), to)
		sent := lab.Bytes(200_000, p.String())
		if _, err := c.Write(sent); err != nil {
			t.Errorf("%s: write: %v", p, err)
		}
		c.CloseWrite()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, append([]byte("got "), sent...)) {
			t.Errorf("%s: %d bytes, %v, want %d", p, len(got), err, len(sent)+4)
		}
	}
}

// TestTunnelServerEnds: the target half-closes first and still gets what the client sends.
func TestTunnelServerEnds(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	late := make(chan string, 4)
	to := peer(t, func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		late <- string(b)
	})
	for _, p := range proxy.Protocols() {
		c := tunnel(t, l, add(t, l, lab.Upstream{Protocol: p}), to)
		got, err := io.ReadAll(c)
		if err != nil || string(got) != "bye" {
			t.Errorf("%s: read %q, %v, want bye and a clean end", p, got, err)
		}
		io.WriteString(c, "one more thing")
		c.CloseWrite()
		if s := <-late; s != "one more thing" {
			t.Errorf("%s: after its end the target got %q", p, s)
		}
	}
}

// TestTunnelReset: a target's reset must not look like a clean end.
func TestTunnelReset(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	to := peer(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		c.SetLinger(0)
	})
	for _, p := range proxy.Protocols() {
		c := tunnel(t, l, add(t, l, lab.Upstream{Protocol: p}), to)
		io.WriteString(c, "x")
		if b, err := io.ReadAll(c); err == nil {
			t.Errorf("%s: read %q and a clean end, want an error", p, b)
		}
	}
}

// TestTunnelTargetRefuses: what cannot be reached is answered as proxies do.
func TestTunnelTargetRefuses(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	nobody := add(t, l, lab.Upstream{Behaviour: lab.Refused})
	to := socks.Addr{IP: nobody.Addr(), Port: nobody.Port}
	err := socks.Client5(dialRaw(t, add(t, l, lab.Upstream{Protocol: proxy.SOCKS5}).Address()), to, "", "")
	if want := (&socks.ReplyError{Version: 5, Code: byte(socks.Refused)}).Error(); err == nil || err.Error() != want {
		t.Errorf("socks5: %v, want %s", err, want)
	}
	if _, _, status := connectVia(t, add(t, l, lab.Upstream{}), nobody.Address()); status != "502 Bad Gateway" {
		t.Errorf("connect: %s, want 502", status)
	}
}

// TestCurl: an independent client is served through every protocol.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("FREEWAY_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip("curl is not installed")
	}
	l := start(t, lab.Config{})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, l.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := lab.Bytes(50_000, "curl")
	for scheme, u := range map[string]lab.Upstream{
		"http": {}, "https": {Protocol: proxy.HTTPS}, "socks4": {Protocol: proxy.SOCKS4}, "socks4a": {Protocol: proxy.SOCKS4},
		"socks5": {Protocol: proxy.SOCKS5}, "socks5h": {Protocol: proxy.SOCKS5, User: "bob", Password: "pw"},
	} {
		ep := add(t, l, u)
		bases := []string{l.HTTPTarget(), l.HTTPSTarget()}
		if scheme != "socks4" && scheme != "socks5" { // with these curl resolves names itself
			bases = append(bases, l.HTTPName(), l.HTTPSName())
		}
		for _, base := range bases {
			cmd := exec.CommandContext(t.Context(), curl, "-sS", "--max-time", "20", "--proxy", scheme+"://"+ep.Address(), "--noproxy", "",
				"--proxy-cacert", ca, "--cacert", ca, base+"/bytes/50000?seed=curl")
			if u.User != "" {
				cmd.Args = append(cmd.Args, "--proxy-user", u.User+":"+u.Password)
			}
			got, err := cmd.Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("curl by %s to %s: %d bytes, %v, want %d", scheme, base, len(got), err, len(want))
			}
		}
	}
}
