package gateway_test

import (
	"io"
	"sync/atomic"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// mortal is an upstream that resets everything once it is dead, or for as many
// connections as hiccups says.
type mortal struct {
	dead    atomic.Bool
	hiccups atomic.Int32
	served  atomic.Int32
}

func (m *mortal) upstream(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		if m.dead.Load() || m.hiccups.Add(-1) >= 0 {
			resetOf(c)
			return
		}
		if len(c.head()) > 0 {
			m.served.Add(1)
			_, _ = io.WriteString(c.Conn, okAnswer)
		}
	})
}

// TestSessionIsLostOnce: the request that finds the exit dead says so, the next
// one has another exit. A hiccup costs nothing.
func TestSessionIsLostOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options string
		want    []int // statuses once the exit is dead
	}{
		{"session-a", []int{502, 200, 200}},
		{"session-a-soft", []int{200, 200, 200}},
		{"session-a-strict", []int{502, 502, 502}},
	} {
		for _, method := range []string{"GET", "CONNECT"} {
			t.Run(tt.options+" "+method, func(t *testing.T) {
				t.Parallel()
				ms := []*mortal{{}, {}}
				_, r := overPool(t, gateway.Config{}, ms[0].upstream(t), ms[1].upstream(t))
				ask := func() (int, string) {
					target := "http://127.0.0.1:81/"
					if method == "CONNECT" {
						target = "127.0.0.1:81"
					}
					w := r.conn()
					w.send(method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1:81\r\nFreeway-Options: " + tt.options + "\r\n\r\n")
					p, _ := w.answer(method)
					_ = w.Close()
					return p.StatusCode, p.Header.Get("Freeway-Error")
				}
				if status, code := ask(); status != 200 {
					t.Fatalf("the first answer is %d %s", status, code)
				}
				mine := ms[0]
				if ms[1].served.Load() > 0 {
					mine = ms[1]
				}
				mine.hiccups.Store(1)
				if status, code := ask(); status != 200 || mine.served.Load() != 2 {
					t.Errorf("after a hiccup: %d %s, %d uses of the exit, want 2", status, code, mine.served.Load())
				}
				mine.dead.Store(true)
				for i, want := range tt.want {
					status, code := ask()
					if status != want || status == 502 && code != "session_lost" {
						t.Errorf("answer %d: %d %s, want %d", i+1, status, code, want)
					}
				}
			})
		}
	}
}
