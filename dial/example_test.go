package dial_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"freeway/dial"
	"freeway/internal/socks"
	"freeway/proxy"
)

// The zero Env dials public addresses only.
func Example() {
	ep, err := proxy.Parse("http://127.0.0.1:3128")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := dial.New(dial.Config{}, dial.Env{})
	_, err = d.Via(ep, proxy.Secret{}).DialContext(context.Background(), "tcp", "www.example:443")
	if e, ok := errors.AsType[*dial.Error](err); ok {
		fmt.Println(e.Stage, e.Class)
	}
	// Output: connect forbidden
}

// serveConnect and serveSOCKS5 answer one handshake and wait for the end.
func serveConnect(c net.Conn) {
	readHead(c)
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	gone(c)
}

func serveSOCKS5(c net.Conn) {
	if _, err := socks.ReadGreeting5(c); err != nil {
		return
	}
	_ = socks.WriteMethod5(c, socks.NoAuth)
	_, _ = socks.ReadRequest5(c)
	_ = socks.WriteReply5(c, socks.Succeeded, socks.Addr{})
	gone(c)
}

func BenchmarkTunnel(b *testing.B) {
	for _, bb := range []struct {
		name     string
		protocol proxy.Protocol
		serve    func(net.Conn)
	}{{"CONNECT", proxy.HTTP, serveConnect}, {"SOCKS5", proxy.SOCKS5, serveSOCKS5}} {
		b.Run(bb.name+"/pipe", func(b *testing.B) { pipes(b, bb.protocol, bb.serve) })
		b.Run(bb.name+"/loopback", func(b *testing.B) { loopbacks(b, bb.protocol, bb.serve) })
	}
}

// pipes measures the handshake of both sides, without the network.
func pipes(b *testing.B, p proxy.Protocol, serve func(net.Conn)) {
	b.ReportAllocs()
	ep, err := proxy.NewEndpoint(p, "127.0.0.1", 9, "")
	if err != nil {
		b.Fatal(err)
	}
	via, to := dial.New(slow, env(b)).Via(ep, proxy.Secret{}), target(b, "www.example:443")
	for b.Loop() {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); serve(server) }()
		c, err := via.TunnelOver(b.Context(), dial.NewConn(client), to)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
		<-done
		server.Close()
	}
}

// loopbacks measures a whole tunnel with its TCP connection.
func loopbacks(b *testing.B, p proxy.Protocol, serve func(net.Conn)) {
	b.ReportAllocs()
	via, to := dial.New(slow, env(b)).Via(endpoint(b, p, listen(b, serve), ""), proxy.Secret{}), target(b, "www.example:443")
	for b.Loop() {
		c, err := via.Tunnel(b.Context(), to)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
