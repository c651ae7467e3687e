package socks_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"

	"freeway/internal/socks"
)

// A server reads the greeting, chooses a method, reads the request and answers.
func Example() {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		r := bufio.NewReader(server)
		_, _ = socks.ReadGreeting5(r)
		_ = socks.WriteMethod5(server, socks.NoAuth)
		q, _ := socks.ReadRequest5(r)
		_ = socks.WriteReply5(server, socks.Succeeded, socks.Addr{})
		fmt.Fprintf(server, "this would be %s", q.Addr)
	}()
	if err := socks.Client5(client, socks.Addr{Name: "www.example", Port: 80}, "", ""); err != nil {
		fmt.Println(err)
	}
	b, _ := io.ReadAll(client)
	fmt.Println(string(b))
	// Output: this would be www.example:80
}

// serve5 and serve4 answer every handshake on c until it is closed.
func serve5(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		if _, err := socks.ReadGreeting5(r); err != nil {
			return
		}
		_ = socks.WriteMethod5(c, socks.UserPass)
		_, _, _ = socks.ReadLogin5(r)
		_ = socks.WriteLogin5(c, true)
		_, _ = socks.ReadRequest5(r)
		_ = socks.WriteReply5(c, socks.Succeeded, socks.Addr{})
	}
}

func serve4(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		if _, err := socks.ReadRequest4(r); err != nil {
			return
		}
		_ = socks.WriteReply4(c, socks.Granted)
	}
}

func BenchmarkClient5(b *testing.B) {
	handshakes(b, serve5, func(c net.Conn) error { return socks.Client5(c, byName, "user", "password") })
}

func BenchmarkClient4(b *testing.B) {
	handshakes(b, serve4, func(c net.Conn) error { return socks.Client4(c, byName, "user") })
}

// handshakes measures both sides together, over a pipe.
func handshakes(b *testing.B, serve func(net.Conn), client func(net.Conn) error) {
	b.ReportAllocs()
	c, s := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); serve(s) }()
	for b.Loop() {
		if err := client(c); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
	<-done
}
