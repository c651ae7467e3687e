package gateway_test

import (
	"io"
	"net"
	"testing"

	"freeway/gateway"
	"freeway/internal/socks"
	"freeway/proxy"
)

// running waits for n requests that have not ended.
func (r *rig) running(n int) []proxy.Trace {
	r.t.Helper()
	var got []proxy.Trace
	until(r.t, "requests under way", func() bool { got = r.g.Running(); return len(got) == n })
	return got
}

// TestRunning: whoever holds the head of an answer finds its request, and the upstream
// that serves it, before the request has ended; afterwards it is recorded, once.
func TestRunning(t *testing.T) {
	t.Parallel()
	target := echo(t)
	seen := make(chan struct{})
	slow := serve(t, func(c *wire) {
		c.head()
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
		<-seen
		_, _ = io.WriteString(c.Conn, "0\r\n\r\n")
	})
	for _, tt := range []struct {
		name   string
		begin  func(w *wire)
		method string
		status int
		code   string
		tries  int
	}{
		{"CONNECT", func(w *wire) { w.open(target.String()) }, "CONNECT", 200, "", 2},
		{"SOCKS5", func(w *wire) {
			if err := socks.Client5(w, addrOf(target), "bob-tag-x", ""); err != nil {
				t.Error(err)
			}
		}, "SOCKS5", 0, "", 2},
		{"plain, the body comes", func(w *wire) {
			w.send("GET http://" + slow.String() + "/ HTTP/1.1\r\nHost: a\r\n\r\n")
			w.expect("HTTP/1.1 200 OK\r\n")
		}, "GET", 200, "", 2},
		{"refused, the client lingers", func(w *wire) {
			w.send("CONNECT 127.0.0.1:25 HTTP/1.1\r\nHost: a\r\n\r\n")
			w.expect("HTTP/1.1 403 Forbidden\r\n")
		}, "CONNECT", 403, "forbidden_target", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := refused(t)
			r := newRig(t, gateway.Config{}, first, honest(t))
			w := r.conn()
			w.t = t
			tt.begin(w)
			got := r.running(1)[0]
			if !got.Running || got.Method != tt.method || got.Status != tt.status || got.Code != tt.code || len(got.Attempts) != tt.tries || got.ID == "" {
				t.Errorf("Running = %+v", got)
			}
			if tt.tries > 0 {
				by := got.Attempts[tt.tries-1]
				if got.Attempts[0].Endpoint != first || by.Endpoint != r.p.entries[1].Endpoint || by.Class != proxy.OK {
					t.Errorf("attempts %+v", got.Attempts)
				}
			}
			if tt.method == "GET" {
				close(seen)
			}
			_ = w.Close()
			ended := r.p.trace(t, 1)
			r.running(0)
			if ended.Running || ended.ID != got.ID || len(ended.Attempts) != tt.tries {
				t.Errorf("recorded %+v, was %+v", ended, got)
			}
		})
	}
}

// TestRunningAfterReplay: a tunnel whose first flight went on to another upstream is
// that one's.
func TestRunningAfterReplay(t *testing.T) {
	t.Parallel()
	server := serve(t, func(c *wire) {
		_, _ = c.r.Peek(1)
		_, _ = io.WriteString(c.Conn, serverHello)
		_, _ = io.Copy(io.Discard, c.r)
	}).String()
	silentTunnel := granting(t, func(c *wire) { _, _ = c.r.Peek(1) }) // takes the hello and closes
	r := newRig(t, gateway.Config{}, silentTunnel, honest(t))
	w := r.conn()
	w.open(server)
	if got := r.running(1)[0]; len(got.Attempts) != 1 || got.Attempts[0].Endpoint != silentTunnel {
		t.Errorf("before the hello: %+v", got.Attempts)
	}
	w.send(helloOf(t))
	if _, err := w.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	got := r.running(1)[0]
	if n := len(got.Attempts); n != 2 || got.Attempts[1].Endpoint != r.p.entries[1].Endpoint {
		t.Errorf("after the replay: %+v", got.Attempts)
	}
	_ = w.Conn.(*net.TCPConn).Close()
	r.p.trace(t, 1)
	r.running(0)
}
