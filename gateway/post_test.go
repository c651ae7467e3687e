package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// ledger is a target that counts how often each id came.
type ledger struct {
	mu    sync.Mutex // protects count
	count map[string]int
}

// mortal is an upstream, and the target behind it, whose connections die at
// random points: at once, in the head, in the body, after the target has taken
// the request, and in the answer.
func (l *ledger) mortal(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		for {
			death := rand.IntN(12) // from 5 on it lives
			if death == 0 {
				return
			}
			if _, err := c.r.Peek(1); err != nil || death == 1 {
				return
			}
			q, err := http.ReadRequest(c.r)
			if err != nil || death == 2 {
				return
			}
			body, err := io.ReadAll(q.Body)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.count[string(body)]++
			l.mu.Unlock()
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			switch death {
			case 3:
				return
			case 4:
				c.send(answer[:rand.IntN(len(answer))])
				return
			}
			if _, err := io.WriteString(c.Conn, answer); err != nil {
				return
			}
		}
	})
}

// TestPostOnce: of many POSTs through upstreams that die, none reaches the
// target twice, and none that did not reach it looks as if it had. POSTS sets how many.
func TestPostOnce(t *testing.T) {
	t.Parallel()
	posts, err := strconv.Atoi(os.Getenv("POSTS"))
	if err != nil {
		posts = 5000
	}
	l := &ledger{count: map[string]int{}}
	r := newRig(t, gateway.Config{}, l.mortal(t), l.mortal(t), l.mortal(t), l.mortal(t))
	const clients = 16
	good := make([]int, clients)
	var wg sync.WaitGroup
	for w := range clients {
		wg.Go(func() {
			p := &poster{addr: r.addr}
			defer p.close()
			for i := w; i < posts; i += clients {
				id := fmt.Sprintf("id-%d", i)
				if p.post(id, i%3 == 0) != id {
					p.close()
					continue
				}
				good[w]++
				l.mu.Lock()
				if n := l.count[id]; n != 1 {
					t.Errorf("%s was answered and came %d times", id, n)
				}
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range good {
		sum += n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.count {
		if n > 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	t.Logf("%d posts, %d answered, %d reached the target", posts, sum, len(l.count))
	if sum < posts/4 {
		t.Errorf("only %d of %d were answered", sum, posts)
	}
}

// poster sends POSTs over a connection that it keeps while that works.
type poster struct {
	addr string
	c    net.Conn
	r    *bufio.Reader
}

// post returns the body of a whole answer 200, else "".
func (p *poster) post(id string, chunked bool) string {
	if p.c == nil {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			return ""
		}
		_ = c.SetDeadline(time.Now().Add(10 * patience))
		p.c, p.r = c, bufio.NewReader(c)
	}
	const head = "POST http://127.0.0.1:81/ HTTP/1.1\r\nHost: 127.0.0.1:81\r\n"
	framed := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(id), id)
	if chunked {
		framed = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(id), id)
	}
	if _, err := io.WriteString(p.c, head+framed); err != nil {
		return ""
	}
	a, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return ""
	}
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != 200 || strings.EqualFold(a.Header.Get("Connection"), "close") {
		p.close()
	}
	if err != nil || a.StatusCode != 200 {
		return ""
	}
	return string(body)
}

func (p *poster) close() {
	if p.c != nil {
		_ = p.c.Close()
		p.c = nil
	}
}
