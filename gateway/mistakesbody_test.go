package gateway_test

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// TestMistake11RetriedBodyIsWhole: where a POST may be sent again, it is sent
// again with its whole body.
func TestMistake11RetriedBodyIsWhole(t *testing.T) {
	t.Parallel()
	for _, framed := range []string{"Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"} {
		dies := upstream(t, proxy.HTTP, func(c *wire) {
			if q, err := http.ReadRequest(c.r); err == nil {
				_, _ = io.Copy(io.Discard, q.Body)
			}
		})
		echo := upstream(t, proxy.HTTP, func(c *wire) {
			if q, err := http.ReadRequest(c.r); err == nil {
				b, _ := io.ReadAll(q.Body)
				c.send("HTTP/1.1 200 OK\r\nContent-Length: " + string(rune('0'+len(b))) + "\r\n\r\n" + string(b))
			}
		})
		r := newRig(t, gateway.Config{Retry: gateway.Retry{Methods: []string{"POST"}}}, dies, echo)
		w := r.conn()
		w.send("POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\n" + framed)
		if p, body := w.answer("POST"); p.StatusCode != 200 || body != "body" {
			t.Errorf("%q: %v %q, want the whole body", framed, p.Status, body)
		}
	}
}

// TestMistake12NoSwitchAfterBytes: once the client has bytes of an answer, no
// other upstream is asked.
func TestMistake12NoSwitchAfterBytes(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	cut := answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"+strings.Repeat("x", 8000))
	other := upstream(t, proxy.HTTP, func(c *wire) { asked.Add(1) })
	r := newRig(t, gateway.Config{}, cut, other)
	w := r.conn()
	w.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
	if _, body, err := w.tryAnswer("GET"); err == nil || len(body) != 8000 {
		t.Errorf("%d bytes, %v, want 8000 and an error", len(body), err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("another upstream was asked %d times", n)
	}
}

// upstreamSees returns the head that an upstream gets for a request.
func upstreamSees(t *testing.T, request string) string {
	t.Helper()
	got := make(chan string, 1)
	up := upstream(t, proxy.HTTP, func(c *wire) {
		var b strings.Builder
		for _, line := range c.head() {
			b.WriteString(line + "\n")
		}
		rest := make([]byte, c.r.Buffered())
		_, _ = io.ReadFull(c.r, rest)
		got <- b.String() + "\n" + string(rest)
		c.send(plainOK)
	})
	w := newRig(t, gateway.Config{}, up).conn()
	w.send(request)
	w.answer("GET")
	return <-got
}

// TestMistake13ClientsLoginStays: the client's login never leaves.
func TestMistake13ClientsLoginStays(t *testing.T) {
	t.Parallel()
	head := upstreamSees(t, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: Basic Ym9iOng=\r\n\r\n")
	if strings.Contains(strings.ToLower(head), "proxy-authorization") || strings.Contains(head, "Ym9iOng=") {
		t.Errorf("the upstream got %q", head)
	}
}

// TestMistake14ListedFieldsGo: what Connection lists is read before it goes.
func TestMistake14ListedFieldsGo(t *testing.T) {
	t.Parallel()
	head := upstreamSees(t, "GET http://example.com/ HTTP/1.1\r\nConnection: X-Hop, close\r\nHost: example.com\r\nX-Hop: 1\r\nX-Stays: 2\r\n\r\n")
	if strings.Contains(head, "X-Hop") || strings.Contains(head, "Connection") || !strings.Contains(head, "X-Stays: 2") {
		t.Errorf("the upstream got %q", head)
	}
}

// TestMistake15FramingMatchesBody: a chunked body travels with a framing that says so.
func TestMistake15FramingMatchesBody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4, 400 << 10} { // held, and streamed
		got := make(chan int, 1)
		up := upstream(t, proxy.HTTP, func(c *wire) {
			q, err := http.ReadRequest(c.r)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(q.Body)
			got <- len(b)
			c.send(plainOK)
		})
		r := newRig(t, gateway.Config{}, up)
		q, _ := http.NewRequest("PUT", "http://example.com/", io.MultiReader(strings.NewReader(strings.Repeat("x", size)))) // of no known length
		p, err := r.client("").Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Body.Close()
		if n := <-got; n != size {
			t.Errorf("the upstream got a body of %d bytes, want %d", n, size)
		}
	}
}

// TestMistake21NothingPerRequestStays: requests leave no goroutines behind.
func TestMistake21NothingPerRequestStays(t *testing.T) {
	u := &turns{}
	r := newRig(t, gateway.Config{}, u.forward(t, func(int, int) string { return plainOK }))
	w := r.conn()
	ask(w, "GET", "http://127.0.0.1:81/", "")
	before := runtime.NumGoroutine()
	for range 500 {
		ask(w, "GET", "http://127.0.0.1:81/", "")
	}
	until(t, "as few goroutines as before", func() bool { return runtime.NumGoroutine() <= before+10 })
	if n := u.conns.Load(); n != 1 {
		t.Errorf("%d upstream connections for 501 requests, want 1", n)
	}
}

// TestMistake22BodiesAreStreamed: a client that stops reading stops the upstream,
// and memory stays where it is.
func TestMistake22BodiesAreStreamed(t *testing.T) {
	const offered = 1 << 30
	var sent atomic.Int64
	up := upstream(t, proxy.HTTP, func(c *wire) {
		if len(c.head()) == 0 {
			return
		}
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
		block := make([]byte, 64<<10)
		for sent.Load() < offered {
			n, err := c.Conn.Write(block)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	r := newRig(t, gateway.Config{}, up)
	w := r.conn()
	_ = w.Conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	w.send("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
	w.expect("HTTP/1.1 200")
	last, still := int64(-1), 0
	until(t, "back-pressure", func() bool { // nothing moves for many looks
		if n := sent.Load(); n != last {
			last, still = n, 0
		}
		still++
		return still > 200 || last >= offered
	})
	runtime.GC()
	runtime.ReadMemStats(&m)
	if grown := int64(m.HeapAlloc) - int64(before); grown > 32<<20 || last >= offered {
		t.Errorf("%d bytes were taken for a client that does not read, the heap grew by %d", last, grown)
	}
}
