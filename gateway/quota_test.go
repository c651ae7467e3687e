package gateway_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// limited is a configuration with a user of so many bytes a day.
func limited(n proxy.Size) gateway.Config {
	return gateway.Config{Users: []gateway.User{{Name: "bob", Password: password(""), DailyBytes: n}}}
}

// TestDailyBytesAreExact: many transfers at a time get what there is between them,
// to the byte, in plain requests and in tunnels.
func TestDailyBytesAreExact(t *testing.T) {
	t.Parallel()
	const most, many = 300_000, 8
	for _, kind := range []string{"GET", "CONNECT"} {
		var here sync.WaitGroup
		here.Add(many)
		up := upstream(t, proxy.HTTP, func(c *wire) {
			c.head()
			if kind == "CONNECT" {
				c.send("HTTP/1.1 200 OK\r\n\r\n")
			}
			here.Done()
			here.Wait() // all are admitted
			if kind == "GET" {
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
			}
			_, _ = c.Conn.Write(make([]byte, 1_000_000))
			_, _ = c.r.ReadByte()
		})
		r := newRig(t, limited(most), up)
		var wg sync.WaitGroup
		var mu sync.Mutex
		total := 0
		for range many {
			w := r.conn()
			if kind == "GET" {
				w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOg==\r\n\r\n")
			} else {
				w = r.openAs("Ym9iOg==")
			}
			wg.Go(func() {
				n, _ := io.Copy(io.Discard, w.r)
				mu.Lock()
				defer mu.Unlock()
				total += int(n)
			})
		}
		wg.Wait()
		usage := r.g.Usage() // of a tunnel, the reset at the end takes with it what the client has not read
		if total > most || kind == "GET" && total < most || len(usage) != 1 || usage[0].Bytes != most {
			t.Errorf("%s: %d bytes came, counted as %v; want %d", kind, total, usage, most)
		}
	}
}

// TestDailyBytesOfHeldBodies: a body that is held to be sent again counts, once, and
// one that there are not enough bytes for is not sent at all.
func TestDailyBytesOfHeldBodies(t *testing.T) {
	t.Parallel()
	cfg := limited(100_000)
	cfg.Retry.Methods = []string{"PUT"}
	r := newRig(t, cfg, refused(t), answering(t, proxy.HTTP, okAnswer))
	body := strings.Repeat("x", 60_000)
	for i, want := range []int{200, 429} {
		w := r.conn()
		w.send(fmt.Sprintf("PUT http://example.com/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic Ym9iOg==\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if p, _ := w.answer("PUT"); p.StatusCode != want {
			t.Errorf("PUT %d: %v, want %d", i, p.Status, want)
		}
	}
	if u := r.g.Usage(); len(u) != 1 || u[0].Bytes < 60_000 || u[0].Bytes > 60_000+int64(len(okAnswer)) {
		t.Errorf("usage %v", u)
	}
	if status, _ := r.ask("http://example.com/", "bob:", ""); status != 200 {
		t.Errorf("a request that needs little: %d", status)
	}
}

// TestDailyBytesCutIsSeen: a client of HTTP/1.0 does not take a cut for the end.
func TestDailyBytesCutIsSeen(t *testing.T) {
	t.Parallel()
	up := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		c.send("HTTP/1.1 200 OK\r\n\r\n")
		_, _ = c.Conn.Write(make([]byte, 1_000_000))
		_ = c.Close()
	})
	r := newRig(t, limited(100_000), up)
	w := r.conn()
	w.send("GET http://example.com/ HTTP/1.0\r\nProxy-Authorization: Basic Ym9iOg==\r\n\r\n")
	if n, err := io.Copy(io.Discard, w.r); err == nil {
		t.Errorf("%d bytes came and then the end", n)
	}
}
