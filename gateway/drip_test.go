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

// slowly sends the pieces one after the other, each when the client has the one
// before or, with a pause, after it.
func slowly(t *testing.T, pause time.Duration, given <-chan struct{}, pieces ...string) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		if len(c.head()) == 0 {
			return
		}
		for _, piece := range pieces {
			c.send(piece)
			if given != nil {
				<-given
			}
			time.Sleep(pause)
		}
	})
}

// A body that is cut, or wrong, fails over while the client has nothing of it.
func TestCutFailsOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer string
		want         proxy.Class
	}{
		{"cut", "Content-Length: 10\r\n\r\nhalf", proxy.Truncated},
		{"bad chunk", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", proxy.Garbage},
		{"bad event", "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", proxy.Garbage},
		{"bad second chunk", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalfX\r\n0\r\n\r\n", proxy.Garbage},
		{"no chunk", "Transfer-Encoding: chunked\r\n\r\n", proxy.Truncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			methods := []string{"GET", "POST"}
			if tt.name == "cut" {
				methods = methods[:1] // nothing would be gained by waiting
			}
			for _, method := range methods {
				p := &picker{changed: make(chan struct{})}
				p.entries = []proxy.Entry{entry(answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\n"+tt.answer), 1), entry(answering(t, proxy.HTTP, plainOK), 2)}
				r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetHoldTime(patience) })
				got := ask(r.conn(), method, "http://127.0.0.1:81/", "")
				switch {
				case method == "GET" && got != "200 ok":
					t.Errorf("answer %q, want that of the second upstream", got)
				case method == "POST" && tt.want == proxy.Garbage && !strings.HasPrefix(got, "502 "):
					t.Errorf("POST: answer %q, want 502", got)
				}
				if o := p.outcomes(t, 1)[0]; o.Class != tt.want || o.Stage != proxy.StageBody {
					t.Errorf("%s: outcome %v %v, want body %v", method, o.Stage, o.Class, tt.want)
				}
			}
		})
	}
}

// What is slow arrives whole, though it takes longer than the head may.
func TestSlowBodiesArrive(t *testing.T) {
	t.Parallel()
	const pause = 40 * time.Millisecond
	var length, chunks, events, until []string
	length, chunks = append(length, "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"), append(chunks, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	events = append(events, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	until = append(until, "HTTP/1.1 200 OK\r\n\r\n")
	for range 30 {
		length = append(length, strings.Repeat("x", 100))
		until = append(until, strings.Repeat("x", 100))
		chunks = append(chunks, "7d0\r\n"+strings.Repeat("x", 2000)+"\r\n")
		events = append(events, "9\r\ndata: x\n\n\r\n")
	}
	chunks, events = append(chunks, "0\r\n\r\n"), append(events, "0\r\n\r\n")
	for _, tt := range []struct {
		name   string
		method string
		pieces []string
		want   int
	}{
		{"length", "GET", length, 3000}, {"chunks", "GET", chunks, 60_000}, {"events", "GET", events, 270},
		{"until close", "GET", until, 3000}, {"chunks", "POST", chunks, 60_000}, {"length", "POST", length, 3000},
	} {
		t.Run(tt.name+" "+tt.method, func(t *testing.T) {
			t.Parallel()
			cfg := gateway.Config{Timeouts: gateway.Timeouts{FirstByte: 300 * time.Millisecond, Total: 600 * time.Millisecond}}
			r := newRig(t, cfg, slowly(t, pause, nil, tt.pieces...))
			w := r.conn()
			w.send(tt.method + " http://127.0.0.1:81/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\nContent-Length: 0\r\n\r\n")
			if p, body, err := w.tryAnswer(tt.method); err != nil || len(body) != tt.want {
				t.Errorf("%d bytes of %+v, %v, want %d", len(body), p, err, tt.want)
			}
		})
	}
}

// Each piece reaches the client before the next one comes.
func TestPiecesAreGivenAtOnce(t *testing.T) {
	t.Parallel()
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	const events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name   string
		pieces []string
	}{
		{"events", []string{events, "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"}},
		{"chunks", []string{chunked + "1\r\na\r\n", "1\r\nb\r\n", "1\r\nc\r\n", "0\r\n\r\n"}},
		{"late chunks", []string{chunked, "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"}},
		{"length", []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "a", "b", "c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			given := make(chan struct{}, len(tt.pieces))
			w := newRig(t, gateway.Config{}, slowly(t, 0, given, tt.pieces...)).conn()
			w.send("GET http://127.0.0.1:81/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\n\r\n")
			for _, piece := range tt.pieces {
				w.expect(piece)
				given <- struct{}{}
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

// A body that falls silent is cut after timeouts.idle, and the client can tell.
func TestSilentBodyIsCut(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"length":    "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nx\r\n",
		"chunks":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"no length": "HTTP/1.0 200 OK\r\n\r\nx",
		"events":    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := upstream(t, proxy.HTTP, func(c *wire) {
				c.head()
				c.send(head)
				_, _ = io.Copy(io.Discard, c.r)
			})
			w := newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Idle: 500 * time.Millisecond}}, up).conn()
			w.send("GET http://127.0.0.1:81/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\n\r\n")
			answer, err := http.ReadResponse(w.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(answer.Body); err == nil || len(b) == 0 || b[0] != 'x' {
				t.Errorf("%q, %v, want an x and an error", b, err)
			}
		})
	}
}
