package lab_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"freeway/lab"
	"freeway/proxy"
)

func TestForwardKeepsTheConnection(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	c := dialRaw(t, add(t, l, lab.Upstream{}).Address())
	br := bufio.NewReader(c)
	for i, tt := range []struct {
		method, path, body string
		want               []byte
	}{
		{"GET", "/bytes/3000?seed=k", "", lab.Bytes(3000, "k")},
		{"GET", "/bytes/70000?seed=k&chunked=1", "", lab.Bytes(70000, "k")},
		{"HEAD", "/bytes/3000?seed=k", "", nil},
		{"POST", "/echo?id=keep", "hello", []byte("hello")},
		{"GET", "/status/204", "", nil},
		{"GET", "?x=1", "", nil},
		{"GET", "/status/304", "", nil},
		{"GET", "/bytes/0", "", nil},
	} {
		fmt.Fprintf(c, "%s http://www.lab.test%s HTTP/1.1\r\nHost: wrong.example\r\nContent-Length: %d\r\n\r\n%s", tt.method, tt.path, len(tt.body), tt.body)
		res, err := http.ReadResponse(br, &http.Request{Method: tt.method})
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || tt.want != nil && !bytes.Equal(got, tt.want) {
			t.Errorf("%s %s: %d bytes, %v, want %d", tt.method, tt.path, len(got), err, len(tt.want))
		}
	}
	if n := l.Truth()[0].Uses; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestForwardPipelined(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	c := dialRaw(t, add(t, l, lab.Upstream{}).Address())
	for i := range 5 {
		fmt.Fprintf(c, "GET http://www.lab.test/bytes/100?seed=%d HTTP/1.1\r\nHost: www.lab.test\r\n\r\n", i)
	}
	br := bufio.NewReader(c)
	for i := range 5 {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(res.Body); !bytes.Equal(b, lab.Bytes(100, fmt.Sprint(i))) {
			t.Errorf("answer %d is wrong", i)
		}
	}
}

// TestForwardHeader: elite means byte for byte, but for what is hop by hop.
func TestForwardHeader(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	c := dialRaw(t, add(t, l, lab.Upstream{}).Address())
	io.WriteString(c, "GET http://www.lab.test/headers?a=%2f&b HTTP/1.1\r\nx-LOWER: 1\r\nHost: www.lab.test\r\nProxy-Authorization: Basic eDp5\r\n"+
		"Connection: X-Hop, close, Host\r\nX-Hop: gone\r\nProxy-Connection: close\r\nAccept: */*\r\nX-Lower: 2\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	var got [][2]string
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if s, want := fmt.Sprint(got), "[[x-LOWER 1] [Host www.lab.test] [Accept */*] [X-Lower 2]]"; s != want {
		t.Errorf("the target sees %s, want %s", s, want)
	}
	if !res.Close {
		t.Error("the answer does not say that the connection ends, as was asked")
	}
}

func TestForwardLargeBodies(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	sent := lab.Bytes(3<<20, "up")
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS5} {
		c := through(t, l, add(t, l, lab.Upstream{Protocol: p}), "")
		for _, base := range []string{l.HTTPTarget(), l.HTTPSTarget()} {
			for _, body := range []io.Reader{bytes.NewReader(sent), io.MultiReader(bytes.NewReader(sent))} { // the second is chunked
				req, _ := http.NewRequest("POST", base+"/echo", body)
				req.Header.Set("Expect", "100-continue")
				res, err := c.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", p, base, err)
					continue
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%s %s: %d bytes came back, %v, want %d", p, base, len(got), err, len(sent))
				}
			}
		}
	}
}

func TestForwardEarlyAnswer(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	c := dialRaw(t, add(t, l, lab.Upstream{}).Address())
	io.WriteString(c, "POST http://www.lab.test/status/413 HTTP/1.1\r\nHost: www.lab.test\r\nContent-Length: 1000000\r\n\r\nbegin")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 413 {
		t.Fatalf("answer = %v, %v, want 413 before the body is there", res, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	addr := add(t, l, lab.Upstream{}).Address()
	for _, tt := range []struct{ name, send, want string }{
		{"another name", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "502"},
		{"a name of a system", "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "502"},
		{"a public address", "GET http://192.0.2.1/ HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "502"},
		{"a loopback port that is not the lab's", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n", "502"},
		{"connect to another name", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "502"},
		{"a port without a service", "CONNECT www.lab.test:25 HTTP/1.1\r\nHost: x\r\n\r\n", "502"},
		{"origin form", "GET / HTTP/1.1\r\nHost: www.lab.test\r\n\r\n", "400"},
		{"https in absolute form", "GET https://www.lab.test/ HTTP/1.1\r\nHost: www.lab.test\r\n\r\n", "400"},
		{"user info", "GET http://u@www.lab.test/ HTTP/1.1\r\nHost: www.lab.test\r\n\r\n", "400"},
		{"no authority", "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"connect without a port", "CONNECT www.lab.test HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"bad length", "POST http://www.lab.test/echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", "400"},
		{"no head", "\x16\x03\x01\x00\x05\n\n", "400"},
		{"no colon", "GET http://www.lab.test/ HTTP/1.1\r\nnonsense\r\n\r\n", "400"},
		{"a huge head", "GET http://www.lab.test/ HTTP/1.1\r\nX: " + strings.Repeat("x", 70_000) + "\r\n\r\n", "400"},
	} {
		c := dialRaw(t, addr)
		io.WriteString(c, tt.send)
		c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		if !strings.HasPrefix(string(got), "HTTP/1.1 "+tt.want+" ") {
			t.Errorf("%s: answer %.60q, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	if n := l.DirectHits() + l.Hits().Connections; n != 0 {
		t.Errorf("%d connections reached the targets, want none", n)
	}
}

func TestAllowLoopback(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	other := start(t, lab.Config{}) // a neighbour on loopback
	c := through(t, l, add(t, l, lab.Upstream{}), "")
	if _, body, err := get(c, other.HTTPTarget()+"/bytes/10?seed=n"); err != nil || !bytes.Equal(body, lab.Bytes(10, "n")) {
		t.Errorf("a neighbour through the lab: %q, %v", body, err)
	}
	if res, _, err := get(c, "http://192.0.2.1/"); err != nil || res.StatusCode != 502 {
		t.Errorf("a documentation address: %v, %v, want 502", res, err)
	}
}

func TestTunnelEarlyBytesAndHalfClose(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() { // answers only after the client has half-closed
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		c.Write(append([]byte("got:"), b...))
	}()
	for _, p := range []proxy.Protocol{proxy.HTTP} {
		c := dialRaw(t, add(t, l, lab.Upstream{Protocol: p}).Address())
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\nearly", ln.Addr())
		io.WriteString(c, " late")
		c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		if want := "HTTP/1.1 200 Connection established\r\n\r\ngot:early late"; string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", p, got, err, want)
		}
	}
}

// TestTunnelServerFirst: protocols in which the server speaks first work.
func TestTunnelServerFirst(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			io.WriteString(c, "220 welcome\r\n")
			c.Close()
		}
	}()
	br, c, status := connectVia(t, add(t, l, lab.Upstream{}), ln.Addr().String())
	line, err := br.ReadString('\n')
	if err != nil || line != "220 welcome\r\n" {
		t.Errorf("%s, then %q, %v", status, line, err)
	}
	if _, err := br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the server's end: %v, want EOF", err)
	}
	c.Close()
}
