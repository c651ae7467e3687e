package gateway_test

import (
	"io"
	"runtime"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// TestEndlessBody: a body without end flows at the client's pace, takes no
// memory, and ends with the client.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	block := make([]byte, 64<<10)
	endless := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\n\r\n")
		for {
			if _, err := c.Conn.Write(block); err != nil {
				return
			}
		}
	})
	r := newRig(t, gateway.Config{}, endless)
	p, err := r.client("").Get("http://example.com/")
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n, err := io.CopyN(io.Discard, p.Body, 64<<20); err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 48<<20 { // tests run beside it
		t.Errorf("the heap grew by %d bytes", grown)
	}
	_ = p.Body.Close()
	until(t, "everything has ended", func() bool {
		conns, tunnels, requests := r.g.Counts()
		r.p.mu.Lock()
		defer r.p.mu.Unlock()
		return conns+tunnels+requests+r.p.leased == 0
	})
	if out := r.p.outcomes(t, 1)[0]; out.Class != proxy.Canceled {
		t.Errorf("outcome %v, want canceled", out.Class)
	}
}
