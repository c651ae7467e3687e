package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/proxy"
)

// turns is an upstream that numbers its connections and the requests on each,
// and answers as the script says; after a script's answer with "cut" it closes.
type turns struct {
	mu    sync.Mutex // protects seen
	seen  []string   // "connection.request method target"
	conns atomic.Int32
}

// forward makes the upstream an HTTP proxy with one answer for all requests.
func (u *turns) forward(t *testing.T, answer func(conn, request int) string) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) { u.serve(c, answer) })
}

func (u *turns) serve(c *wire, answer func(conn, request int) string) {
	conn := int(u.conns.Add(1))
	for n := 1; ; n++ {
		q, err := http.ReadRequest(c.r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, q.Body)
		u.mu.Lock()
		u.seen = append(u.seen, fmt.Sprintf("%d.%d %s %s", conn, n, q.Method, q.RequestURI))
		u.mu.Unlock()
		a := answer(conn, n)
		if a == "" {
			return
		}
		_, _ = io.WriteString(c.Conn, a)
	}
}

func (u *turns) list() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.seen, "\n")
}

const plainOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// ask sends one request over w and returns status and body.
func ask(w *wire, method, url, extra string) string {
	w.t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	w.send(method + " " + url + " HTTP/1.1\r\nHost: " + host + "\r\n" + extra + "\r\n")
	p, body := w.answer(method)
	return fmt.Sprint(p.StatusCode, " ", body)
}

func TestReuse(t *testing.T) {
	t.Parallel()
	const a, b = "http://127.0.0.1:81/x", "http://127.0.0.1:82/x"
	ok := func(int, int) string { return plainOK }
	always := func(answer string) func(int, int) string { return func(int, int) string { return answer } }
	type request struct{ method, url, extra string }
	get := request{"GET", a, ""}
	for _, tt := range []struct {
		name     string
		answer   func(conn, request int) string
		requests []request
		want     string // connections and requests that the upstream saw
	}{
		{"kept", ok, []request{get, get, get}, "1.1 1.2 1.3"},
		{"chunked", always("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), []request{get, get}, "1.1 1.2"},
		{"another target", ok, []request{get, {"GET", b, ""}, get}, "1.1 2.1 1.2"},
		{"POST is always alone", ok, []request{get, {"POST", a, "Content-Length: 0\r\n"}}, "1.1 2.1"},
		{"PUT is always alone", ok, []request{get, {"PUT", a, "Content-Length: 0\r\n"}}, "1.1 2.1"},
		{"connection close", always("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), []request{get, get}, "1.1 2.1"},
		{"proxy-connection close", always("HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok"), []request{get, get}, "1.1 2.1"},
		{"HTTP/1.0", always("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"), []request{get, get}, "1.1 2.1"},
		{"bytes behind", always(plainOK + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), []request{get, get}, "1.1 2.1"},
		{"a body behind 204", always("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), []request{get, get}, "1.1 2.1"},
		{"HEAD", always("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), []request{{"HEAD", a, ""}, {"HEAD", a, ""}}, "1.1 2.1"},
		{"NTLM", ok, []request{{"GET", "http://127.0.0.1:81/", "Authorization: NTLM abc\r\n"}, get}, "1.1 2.1"},
		{"401", always("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno"), []request{get, get}, "1.1 2.1"},
		{"an end between", func(_, n int) string {
			if n == 2 {
				return "" // closes in place of an answer
			}
			return plainOK
		}, []request{get, get}, "1.1 1.2 2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := &turns{}
			r := newRig(t, gateway.Config{PlaintextCredentials: "allow"}, u.forward(t, tt.answer))
			w := r.conn()
			for _, q := range tt.requests {
				if got := ask(w, q.method, q.url, q.extra); strings.Contains(got, "poison") || strings.HasPrefix(got, "5") {
					t.Errorf("%s %s = %q", q.method, q.url, got)
				}
			}
			var got []string
			for line := range strings.Lines(u.list()) {
				n, _, _ := strings.Cut(line, " ")
				got = append(got, n)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("the upstream saw %s, want %s", s, tt.want)
			}
		})
	}
}

// What an upstream says unasked while nobody waits must not answer the next
// client (threat: poisoned keep-alive connections).
func TestReuseUnasked(t *testing.T) {
	t.Parallel()
	spoken := make(chan struct{})
	var n atomic.Int32
	ep := upstream(t, proxy.HTTP, func(c *wire) {
		first := n.Add(1) == 1
		for len(c.head()) > 0 {
			c.send(plainOK)
			if first {
				time.AfterFunc(20*time.Millisecond, func() { // behind the answer, in a segment of its own
					_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
					close(spoken)
				})
			}
		}
	})
	r := newRig(t, gateway.Config{}, ep)
	if got := ask(r.conn(), "GET", "http://127.0.0.1:81/", ""); got != "200 ok" {
		t.Fatalf("first = %q", got)
	}
	<-spoken
	if got := ask(r.conn(), "GET", "http://127.0.0.1:81/", ""); got != "200 ok" {
		t.Errorf("second = %q, want its own answer", got)
	}
}

// An upstream that relays whatever follows to the first target is found out by
// the error that this gets, and not reused again.
func TestReuseRelay(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.RequestURI != "/x" {
			http.Error(w, "absolute", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, "right")
	}))
	t.Cleanup(origin.Close)
	host := strings.TrimPrefix(origin.URL, "http://")
	var conns atomic.Int32
	relay := upstream(t, proxy.HTTP, func(c *wire) {
		conns.Add(1)
		if lines := c.head(); len(lines) > 0 {
			lines[0] = "GET /x HTTP/1.1"
			splice(c, host, "", strings.Join(lines, "\r\n")+"\r\n\r\n")
		}
	})
	r := newRig(t, gateway.Config{}, relay)
	w := r.conn()
	for i := range 4 {
		if got := ask(w, "GET", origin.URL+"/x", ""); got != "200 right" {
			t.Errorf("request %d = %q, want 200 right", i+1, got)
		}
	}
	if n := conns.Load(); n != 4 {
		t.Errorf("%d connections, want one for each request", n)
	}
}

// Requests through a SOCKS tunnel to the same target share it; different
// credentials of the same upstream share nothing.
func TestReuseSOCKSAndCredentials(t *testing.T) {
	t.Parallel()
	u := &turns{}
	target := serve(t, func(c *wire) { u.serve(c, func(int, int) string { return plainOK }) })
	r := newRig(t, gateway.Config{}, socks5(t))
	w := r.conn()
	for range 3 {
		if got := ask(w, "GET", "http://"+target.String()+"/", ""); got != "200 ok" {
			t.Fatalf("answer %q", got)
		}
	}
	if n := u.conns.Load(); n != 1 {
		t.Errorf("%d tunnels, want 1", n)
	}
	f := &turns{}
	ep := f.forward(t, func(int, int) string { return plainOK })
	p := &picker{changed: make(chan struct{})}
	r = startRig(t, gateway.Config{}, p)
	w = r.conn()
	for i, user := range []string{"a", "b", "a", "b"} {
		ep.User = user
		e := entry(ep, 1)
		e.Password = proxy.NewSecret("of-" + user)
		p.note(func() { p.entries = []proxy.Entry{e} })
		if got := ask(w, "GET", "http://127.0.0.1:81/", ""); got != "200 ok" {
			t.Fatalf("request %d = %q", i, got)
		}
	}
	if n := f.conns.Load(); n != 2 {
		t.Errorf("%d connections for two logins, want 2", n)
	}
}

// socks5 is an upstream that connects to anywhere on loopback.
func socks5(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.SOCKS5, func(c *wire) {
		b := make([]byte, 3)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return
		}
		c.send("\x05\x00")
		b = make([]byte, 10)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return
		}
		to := net.TCPAddr{IP: b[4:8], Port: int(b[8])<<8 | int(b[9])}
		up, err := (&net.Dialer{Control: loopback.Control}).Dial("tcp", to.String())
		if err != nil {
			return
		}
		defer up.Close()
		c.send("\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(up, c.r); _ = up.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(c.Conn, up)
		_ = c.Close()
		<-done
	})
}
