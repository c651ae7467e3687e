package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// dripper answers GET with a head at once and then a byte now and then.
func dripper(t *testing.T, length string, first int) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		if len(c.head()) == 0 {
			return
		}
		c.send("HTTP/1.1 200 OK\r\nContent-Length: " + length + "\r\n\r\n" + strings.Repeat("x", first))
		for range 1000 {
			if _, err := io.WriteString(c.Conn, "x"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// A body that drips, or is cut, fails over while the client has nothing of it.
func TestDripFailsOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		bad  func(t *testing.T) proxy.Endpoint
		want proxy.Class
	}{
		{"drips", func(t *testing.T) proxy.Endpoint { return dripper(t, "100000", 10) }, proxy.Timeout},
		{"drips a short one", func(t *testing.T) proxy.Endpoint { return dripper(t, "3000", 0) }, proxy.Timeout},
		{"cut", func(t *testing.T) proxy.Endpoint {
			return upstream(t, proxy.HTTP, func(c *wire) {
				if len(c.head()) > 0 {
					c.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				}
			})
		}, proxy.Truncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := &turns{}
			good := u.forward(t, func(int, int) string { return plainOK })
			r := newRig(t, gateway.Config{Timeouts: gateway.Timeouts{FirstByte: 300 * time.Millisecond}}, tt.bad(t), good)
			if got := ask(r.conn(), "GET", "http://127.0.0.1:81/", ""); got != "200 ok" {
				t.Errorf("answer %q, want that of the second upstream", got)
			}
			if o := r.p.outcomes(t, 1)[0]; o.Class != tt.want || o.Stage != proxy.StageBody {
				t.Errorf("outcome %v %v, want body %v", o.Stage, o.Class, tt.want)
			}
		})
	}
}

// Once the client has something of it, a body that drips ends in an error.
func TestDripEnds(t *testing.T) {
	t.Parallel()
	p := &picker{changed: make(chan struct{})}
	p.entries = []proxy.Entry{entry(dripper(t, "1000000", 6000), 1)}
	r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetSlowWindow(50 * time.Millisecond) })
	w := r.conn()
	w.send("GET http://127.0.0.1:81/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\n\r\n")
	answer, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(answer.Body); err == nil || len(b) < 6000 {
		t.Errorf("%d bytes, %v, want at least 6000 and an error", len(b), err)
	}
	if o := p.outcomes(t, 1)[0]; o.Class != proxy.Truncated {
		t.Errorf("outcome %v, want truncated", o.Class)
	}
}
