package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"freeway/dial"
	"freeway/gateway"
	"freeway/proxy"
)

// BenchmarkKeepAliveGET is one request over a kept client connection through a
// kept connection of a loopback upstream.
func BenchmarkKeepAliveGET(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1024))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if n, _ := c.Read(buf); n == 0 {
						return
					}
					_, _ = c.Write(answer)
				}
			}()
		}
	}()
	ap := l.Addr().(*net.TCPAddr).AddrPort()
	ep, _ := proxy.NewEndpoint(proxy.HTTP, ap.Addr().String(), ap.Port(), "")
	g, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: onePicker{entry(ep, 1)}, Dialer: dial.New(dial.Config{}, dial.Env{Policy: policy})})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Listen(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	defer func() { cancel(); <-done }()
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	buf := make([]byte, len(answer))
	request := []byte(getExample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// onePicker always gives the same upstream.
type onePicker struct{ e proxy.Entry }

func (p onePicker) Pick(context.Context, proxy.Want) (proxy.Lease, error) {
	return proxy.Lease{Entry: p.e, Report: func(proxy.Outcome) {}, Close: func() {}}, nil
}
func (onePicker) Record(proxy.Trace) {}
