package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// openFiles is how many descriptors the process has, 0 where that is not shown.
// Pipes are left out: package net keeps some for splice(2) until the garbage
// collector runs. Running it here would close connections that nobody closed, too.
func openFiles() (n int) {
	names, _ := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		if to, _ := os.Readlink("/proc/self/fd/" + name.Name()); !strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// troublesome are upstreams that leave a request at every stage.
func troublesome(t *testing.T) []proxy.Endpoint {
	t.Helper()
	drip := func(c *wire) {
		if lines := c.head(); len(lines) > 0 && strings.HasPrefix(lines[0], "CONNECT") {
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
		} else {
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		}
		for range 1000 {
			if _, err := io.WriteString(c.Conn, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, c.r)
	}
	// After an answer without an end to a client that sent its FIN, 60 s would pass: it may only have half-closed.
	tunnels := func(handle func(c *wire)) proxy.Endpoint {
		return upstream(t, proxy.HTTP, func(c *wire) {
			if lines := c.head(); len(lines) > 0 && strings.HasPrefix(lines[0], "CONNECT") {
				_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 Connection established\r\n\r\n")
				handle(c)
			}
		})
	}
	return []proxy.Endpoint{refused(t), silent(t), answering(t, proxy.HTTP, okAnswer), upstream(t, proxy.HTTP, drip),
		tunnels(func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }), tunnels(func(*wire) {}),
		upstream(t, proxy.HTTP, func(c *wire) { c.head() }), upstream(t, proxy.HTTP, func(c *wire) {
			c.head()
			_, _ = io.WriteString(c.Conn, "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nxx")
		})}
}

// conversations are what clients say, to be cut anywhere.
func conversations(hello string) []string {
	return []string{getExample, getExample + getExample, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
		"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3000\r\n\r\n" + strings.Repeat("b", 3000),
		"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3\r\nabc\r\n", 300) + "0\r\n\r\n",
		"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n" + hello,
		"CONNECT example.com:8443 HTTP/1.1\r\nHost: example.com\r\n\r\nnot TLS at all",
		"\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb" + hello, "\x05\x01\x02\x01\x01a\x01b\x05\x01\x00\x01\x01\x01\x01\x01\x00\x50" + getExample,
		"\x04\x01\x01\xbb\x01\x01\x01\x01a\x00" + hello, "\x04\x01\x00\x50\x00\x00\x00\x01a\x00example.com\x00hello"}
}

// cutAnywhere says a part of something and goes away in one of many ways.
func cutAnywhere(rng *rand.Rand, addr, text string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	for said := 0; said < rng.IntN(len(text)+len(text)/2); { // the whole in a third of all
		n := min(1+rng.IntN(len(text)), len(text)-said)
		if n == 0 {
			break
		}
		if _, err := io.WriteString(c, text[said:said+n]); err != nil {
			return nil // it was hung up on
		}
		said += n
	}
	if rng.IntN(3) == 0 {
		_ = c.(*net.TCPConn).CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(20)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c, int64(rng.IntN(5000)))
	if rng.IntN(2) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	return nil
}

// TestThreat105Cancels: clients go away at random points, thousands of times
// (FREEWAY_CANCELS), on every protocol, with upstreams that leave requests at
// every stage: nothing stays behind. It is alone, as it counts goroutines.
func TestThreat105Cancels(t *testing.T) {
	cancels, err := strconv.Atoi(os.Getenv("FREEWAY_CANCELS"))
	if err != nil {
		cancels = 2000
	}
	cert, key, _ := certificate(t, t.TempDir(), 1)
	p := &picker{changed: make(chan struct{}), shuffle: true}
	for i, ep := range troublesome(t) {
		p.entries = append(p.entries, entry(ep, i+1))
	}
	const short = 200 * time.Millisecond
	r := startRig(t, gateway.Config{TLS: gateway.TLS{Listen: "127.0.0.1:0", Cert: cert, Key: key}, Hedge: gateway.Hedge{Enabled: true, MinDelay: 5 * time.Millisecond, Budget: 1},
		Timeouts: gateway.Timeouts{Connect: short, Handshake: short, FirstByte: short, Total: 2 * short, Idle: 2 * short}}, p)
	hello := helloOf(t)
	said := conversations(hello)
	addrs := []string{r.addr, r.addr, r.addr, r.g.Addrs()[1].String()}
	some := func(n int, seed uint64) {
		var wg sync.WaitGroup
		const workers = 40
		for w := range workers {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			wg.Go(func() {
				for range n / workers {
					where, text := addrs[rng.IntN(len(addrs))], said[rng.IntN(len(said))]
					if where != r.addr && rng.IntN(2) == 0 {
						text = hello
					}
					if err := cutAnywhere(rng, where, text); err != nil {
						t.Errorf("dial: %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	quiet := func() bool {
		connections, tunnels, requests := r.g.Counts()
		p.mu.Lock()
		defer p.mu.Unlock()
		return connections == 0 && tunnels == 0 && requests == 0 && p.leased == 0
	}
	some(200, 0)
	until(t, "all is quiet at first", quiet)
	goroutines, files := settle()
	some(cancels, 1)
	until(t, "all is quiet", quiet)
	last := ""
	until(t, "nothing stays behind", func() bool {
		g, f := settle()
		last = fmt.Sprintf("%d goroutines, before %d; %d descriptors, before %d", g, goroutines, f, files)
		return g <= goroutines && f <= files
	})
	t.Logf("%d cancels; %s", cancels, last)
	if len(p.outs) < cancels/10 {
		t.Errorf("only %d upstreams were tried", len(p.outs))
	}
}

// settle counts goroutines and descriptors: the least of some looks.
func settle() (goroutines, files int) {
	goroutines, files = 1<<30, 1<<30
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 30 {
		goroutines, files = min(goroutines, runtime.NumGoroutine()), min(files, openFiles())
		<-tick.C
	}
	return goroutines, files
}
