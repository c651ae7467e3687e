package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/internal/socks"
	"freeway/lab"
	"freeway/proxy"
)

// dialRaw connects to an upstream.
func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second, Control: loopback.Guard(t)}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// hostPort returns what is behind the scheme of a base URL.
func hostPort(base string) string {
	_, hp, _ := strings.Cut(base, "://")
	return hp
}

// ask sends text and returns all that comes back.
func ask(t *testing.T, addr, text string) (string, error) {
	t.Helper()
	c := dialRaw(t, addr)
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// connectVia opens a tunnel and returns it with the head of the answer.
func connectVia(t *testing.T, ep proxy.Endpoint, target string) (*bufio.Reader, net.Conn, string) {
	t.Helper()
	c := dialRaw(t, ep.Address())
	io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatalf("CONNECT %s: %v", target, err)
	}
	return br, c, res.Status
}

func TestDeadOnes(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode})
		t.Run(mode.String()+" refused", func(t *testing.T) {
			t.Parallel()
			ep := add(t, l, lab.Upstream{Behaviour: lab.Refused})
			c, err := net.DialTimeout("tcp", ep.Address(), 10*time.Second)
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("dial %s = %v, want refused", ep, err)
			}
		})
		t.Run(mode.String()+" silent connect", func(t *testing.T) {
			t.Parallel()
			for range 3 { // in Wildcard they share a backlog
				ep := add(t, l, lab.Upstream{Behaviour: lab.SilentConnect})
				c, err := net.DialTimeout("tcp", ep.Address(), 300*time.Millisecond)
				if err == nil {
					c.Close()
				}
				var ne net.Error
				if !errors.As(err, &ne) || !ne.Timeout() {
					t.Errorf("dial %s = %v, want a timeout", ep, err)
				}
			}
		})
		t.Run(mode.String()+" silent", func(t *testing.T) {
			t.Parallel()
			c := dialRaw(t, add(t, l, lab.Upstream{Behaviour: lab.Silent}).Address())
			io.WriteString(c, "GET http://www.lab.test/ HTTP/1.1\r\nHost: www.lab.test\r\n\r\n")
			c.SetDeadline(time.Now().Add(200 * time.Millisecond))
			var ne net.Error
			if _, err := c.Read(make([]byte, 1)); !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("read = %v, want a timeout", err)
			}
		})
	}
}

func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	const request = "GET http://www.lab.test/html HTTP/1.1\r\nHost: www.lab.test\r\n\r\n"
	const connect = "CONNECT www.lab.test:443 HTTP/1.1\r\nHost: www.lab.test:443\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct {
		as         lab.Behaviour
		send, want string
	}{
		{lab.LoginPage, request, "HTTP/1.1 200 OK\r\nServer: micro_httpd\r\n"},
		{lab.LoginPage, connect, "HTTP/1.1 200 OK\r\nServer: micro_httpd\r\n"},
		{lab.ConnectForbidden, connect, "HTTP/1.1 403 "},
		{lab.ConnectNotAllowed, connect, "HTTP/1.1 405 "},
		{lab.HTMLAfter200, connect + "\x16\x03\x01", "HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK"},
		{lab.Locked, connect, "HTTP/1.1 407 "},
		{lab.Only443, strings.ReplaceAll(connect, "443", "8443"), "HTTP/1.1 403 "},
	} {
		got, err := ask(t, add(t, l, lab.Upstream{Behaviour: tt.as}).Address(), tt.send)
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %.40q is answered %q, %v, want %q...", tt.as, tt.send, got, err, tt.want)
		}
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	seen := map[string]bool{}
	for range 20 {
		got, err := ask(t, add(t, l, lab.Upstream{Behaviour: lab.Garbage}).Address(), "\x05\x01\x00")
		if err != nil || got == "" || got[0] == 0 || got[0] == 4 || got[0] == 5 || strings.HasPrefix(got, "HTTP") {
			t.Errorf("garbage is %q, %v", got, err)
		}
		seen[got] = true
	}
	if len(seen) < 4 {
		t.Errorf("20 upstreams say only %d different things", len(seen))
	}
}

func TestCutBodies(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, tt := range []struct {
		as    lab.Behaviour
		shows bool
	}{{lab.CutBody, false}, {lab.CutBodyFramed, true}, {lab.ResetMidBody, true}} {
		for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS5} {
			c := through(t, l, add(t, l, lab.Upstream{Protocol: p, Behaviour: tt.as}), "")
			_, body, err := get(c, l.HTTPName()+"/bytes/5000?seed=x")
			shows := tt.shows || p == proxy.SOCKS5 // there the target's own framing shows it
			if len(body) >= 5000 || (err != nil) != shows {
				t.Errorf("%s %s: %d bytes, %v, want fewer than 5000 and an error: %v", p, tt.as, len(body), err, shows)
			}
			if _, body, err = get(c, l.HTTPSName()+"/bytes/5000?seed=x"); err == nil {
				t.Errorf("%s %s: %d bytes of https without an error", p, tt.as, len(body))
			}
		}
	}
}

func TestHeaderBehaviours(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for as, want := range map[lab.Behaviour]string{
		lab.Healthy: "", lab.Anonymous: "Via=1.1 lab (squid/4.10) X-Forwarded-For=unknown", lab.Transparent: "Via=1.1 lab (squid/4.10) X-Forwarded-For=127.0.0.1",
	} {
		c := through(t, l, add(t, l, lab.Upstream{Behaviour: as}), "")
		_, body, err := get(c, l.HTTPTarget()+"/headers")
		var pairs [][2]string
		if err != nil || json.Unmarshal(body, &pairs) != nil {
			t.Fatalf("%s: %s, %v", as, body, err)
		}
		var got []string
		for _, p := range pairs {
			if p[0] != "Host" && p[0] != "User-Agent" {
				got = append(got, p[0]+"="+p[1])
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: the target sees %q, want %q", as, s, want)
		}
	}
}

func TestTamper(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5} {
		c := through(t, l, add(t, l, lab.Upstream{Protocol: p, Behaviour: lab.Tamper}), "")
		if _, body, err := get(c, l.HTTPName()+"/html"); err != nil || !bytes.Contains(body, []byte("ads.lab.test")) {
			t.Errorf("%s: html is %q, %v, want an advertisement in it", p, body, err)
		}
		_, body, err := get(c, l.HTTPName()+"/headers")
		var v any
		if err != nil || json.Unmarshal(body, &v) != nil {
			t.Errorf("%s: json is %q, %v, want well-formed JSON", p, body, err)
		}
		if _, body, err := get(c, l.HTTPName()+"/bytes/999?seed=t"); err != nil || len(body) != 999 || bytes.Equal(body, lab.Bytes(999, "t")) {
			t.Errorf("%s: %d bytes, %v, want 999 wrong ones", p, len(body), err)
		}
		if _, body, err := get(c, l.HTTPSName()+"/bytes/999?seed=t"); err != nil || !bytes.Equal(body, lab.Bytes(999, "t")) {
			t.Errorf("%s: https: %d bytes, %v, want 999 right ones", p, len(body), err)
		}
	}
}

func TestIntercept(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5} {
		ep := add(t, l, lab.Upstream{Protocol: p, Behaviour: lab.Intercept})
		c := through(t, l, ep, "")
		var unknown x509.UnknownAuthorityError
		if _, _, err := get(c, l.HTTPSName()+"/"); !errors.As(err, &unknown) {
			t.Errorf("%s: err = %v, want an unknown authority", p, err)
		}
		if _, body, err := get(c, l.HTTPName()+"/bytes/99?seed=i"); err != nil || !bytes.Equal(body, lab.Bytes(99, "i")) {
			t.Errorf("%s: plain http: %q, %v", p, body, err)
		}
		tr := c.Transport.(*http.Transport).Clone()
		t.Cleanup(tr.CloseIdleConnections)
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} // a careless client is served, by the wrong issuer
		res, body, err := get(&http.Client{Transport: tr}, l.HTTPSName()+"/bytes/70000?seed=i")
		if err != nil || !bytes.Equal(body, lab.Bytes(70000, "i")) || res.TLS.PeerCertificates[0].Issuer.CommonName != "Other CA" {
			t.Errorf("%s: a careless client gets %d bytes, %v", p, len(body), err)
		}
	}
}

func TestExits(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode})
		exit := netip.MustParseAddr("127.210.1.2")
		c := through(t, l, add(t, l, lab.Upstream{Exit: exit}), "")
		if _, ip, err := get(c, l.HTTPSTarget()+"/ip"); err != nil || string(ip) != exit.String()+"\n" {
			t.Errorf("%s: exit is %q, %v, want %s", mode, ip, err, exit)
		}
		ep := add(t, l, lab.Upstream{Behaviour: lab.LyingExit})
		c = through(t, l, ep, "")
		_, plain, _ := get(c, l.HTTPTarget()+"/ip")
		_, secure, err := get(c, l.HTTPSTarget()+"/ip")
		if err != nil || len(plain) < 8 || bytes.Equal(plain, secure) || string(secure) != exitOf(l, ep)+"\n" {
			t.Errorf("%s: liar says %q, through TLS it is %q, %v", mode, plain, secure, err)
		}
		c = through(t, l, add(t, l, lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: lab.RotatingExit}), "")
		c.Transport.(*http.Transport).DisableKeepAlives = true
		seen := map[string]bool{}
		for range 30 {
			_, ip, _ := get(c, l.HTTPTarget()+"/ip")
			seen[string(ip)] = true
		}
		if len(seen) < 3 {
			t.Errorf("%s: 30 connections left from %d addresses only", mode, len(seen))
		}
	}
}

func TestFlaky(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Seed: 3})
	c := through(t, l, add(t, l, lab.Upstream{Behaviour: lab.Flaky}), "")
	c.Transport.(*http.Transport).DisableKeepAlives = true
	failed := 0
	for range 100 {
		if _, _, err := get(c, l.HTTPTarget()+"/bytes/100"); err != nil {
			failed++
		}
	}
	if failed < 15 || failed > 50 {
		t.Errorf("%d of 100 requests failed, want about 30", failed)
	}
}

func TestSlowEndsWithTheLab(t *testing.T) {
	t.Parallel()
	l, err := lab.Start(t.Context(), lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, as := range []lab.Behaviour{lab.Slow, lab.Silent} {
		c := dialRaw(t, add(t, l, lab.Upstream{Behaviour: as}).Address())
		io.WriteString(c, "GET http://www.lab.test/ HTTP/1.1\r\nHost: www.lab.test\r\n\r\n")
	}
	begun := time.Now()
	l.Close()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestSOCKS(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	target, _ := netip.ParseAddrPort(hostPort(l.HTTPTarget()))
	name := socks.Addr{Name: "www.lab.test", Port: 80}
	literal := socks.Addr{IP: target.Addr(), Port: target.Port()}
	for _, tt := range []struct {
		label          string
		u              lab.Upstream
		to             socks.Addr
		user, password string
		want           string // "" for success
	}{
		{"4", lab.Upstream{Protocol: proxy.SOCKS4}, literal, "", "", ""},
		{"4a", lab.Upstream{Protocol: proxy.SOCKS4}, name, "", "", ""},
		{"4 without names", lab.Upstream{Protocol: proxy.SOCKS4, RefuseNames: true}, name, "", "", "reject"},
		{"4 user", lab.Upstream{Protocol: proxy.SOCKS4, User: "bob"}, name, "bob", "", ""},
		{"4 wrong user", lab.Upstream{Protocol: proxy.SOCKS4, User: "bob"}, name, "eve", "", "disagrees"},
		{"5", lab.Upstream{Protocol: proxy.SOCKS5}, name, "", "", ""},
		{"5 literal", lab.Upstream{Protocol: proxy.SOCKS5, RefuseNames: true}, literal, "", "", ""},
		{"5 without names", lab.Upstream{Protocol: proxy.SOCKS5, RefuseNames: true}, name, "", "", "host unreachable"},
		{"5 outside", lab.Upstream{Protocol: proxy.SOCKS5}, socks.Addr{Name: "example.com", Port: 80}, "", "", "host unreachable"},
		{"5 login", lab.Upstream{Protocol: proxy.SOCKS5, User: "bob", Password: "pw"}, name, "bob", "pw", ""},
		{"5 wrong password", lab.Upstream{Protocol: proxy.SOCKS5, User: "bob", Password: "pw"}, name, "bob", "px", "login"},
		{"5 no login", lab.Upstream{Protocol: proxy.SOCKS5, User: "bob", Password: "pw"}, name, "", "", "credentials"},
		{"5 locked", lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: lab.Locked}, name, "", "", "credentials"},
		{"5 not allowed", lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: lab.ConnectNotAllowed}, name, "", "", "not supported"},
		{"5 only 443", lab.Upstream{Protocol: proxy.SOCKS5, Behaviour: lab.Only443}, literal, "", "", "not allowed"},
	} {
		c := dialRaw(t, add(t, l, tt.u).Address())
		var err error
		if tt.u.Protocol == proxy.SOCKS4 {
			err = socks.Client4(c, tt.to, tt.user)
		} else {
			err = socks.Client5(c, tt.to, tt.user, tt.password)
		}
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: err = %v, want one about %q", tt.label, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.label, err)
			continue
		}
		io.WriteString(c, "GET /status/204 HTTP/1.1\r\nHost: www.lab.test\r\nConnection: close\r\n\r\n")
		if b, _ := io.ReadAll(c); !bytes.HasPrefix(b, []byte("HTTP/1.1 204 ")) {
			t.Errorf("%s: the tunnel gives %q", tt.label, b)
		}
	}
}

func TestCredentialsHTTP(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS} {
		ep := add(t, l, lab.Upstream{Protocol: p, User: "bob", Password: "p:w"})
		if _, body, err := get(through(t, l, ep, "p:w"), l.HTTPSTarget()+"/bytes/9?seed=c"); err != nil || !bytes.Equal(body, lab.Bytes(9, "c")) {
			t.Errorf("%s with credentials: %q, %v", p, body, err)
		}
		res, _, err := get(through(t, l, ep, "wrong"), l.HTTPTarget()+"/")
		if err != nil || res.StatusCode != http.StatusProxyAuthRequired || res.Header.Get("Proxy-Authenticate") == "" {
			t.Errorf("%s with a wrong password: %v, %v, want 407", p, res, err)
		}
	}
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	ep := add(t, l, lab.Upstream{})
	c := through(t, l, ep, "")
	for _, tt := range []struct {
		as lab.Behaviour
		ok bool
	}{{lab.Refused, false}, {lab.Healthy, true}, {lab.LoginPage, false}, {lab.Anonymous, true}} {
		if err := l.Switch(ep, tt.as); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		req, _ := http.NewRequestWithContext(ctx, "POST", l.HTTPTarget()+"/echo", strings.NewReader("x"))
		res, err := c.Do(req)
		var body []byte
		if err == nil {
			body, _ = io.ReadAll(res.Body)
			res.Body.Close()
		}
		cancel()
		if ok := string(body) == "x"; ok != tt.ok {
			t.Errorf("as %s it works: %v, %v, want %v", tt.as, ok, err, tt.ok)
		}
	}
	for _, as := range []lab.Behaviour{lab.OnOff, 99} {
		if err := l.Switch(ep, as); err == nil {
			t.Errorf("Switch to %s passes", as)
		}
	}
	if err := l.Switch(add(t, l, lab.Upstream{Behaviour: lab.Refused}), lab.Healthy); err == nil {
		t.Error("Switch brings a socket into being")
	}
}
