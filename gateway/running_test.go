package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"freeway/gateway"
	"freeway/internal/socks"
	"freeway/proxy"
)

// all wants every request.
func all(*proxy.Trace) bool { return true }

// recorded returns the record of a request, if it was made.
func (p *picker) recorded(id string) (tr proxy.Trace, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.traces {
		if t.ID == id {
			tr = t
			n++
		}
	}
	return tr, n
}

// runs waits for the requests that run.
func (r *rig) runs(n int) []proxy.Trace {
	r.t.Helper()
	var out []proxy.Trace
	until(r.t, fmt.Sprintf("%d requests run", n), func() bool { out = r.g.Running(100, all); return len(out) == n })
	return out
}

// echoing is an upstream whose tunnels lead back.
func echoing(t *testing.T) proxy.Endpoint {
	return granting(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r); _ = c.Conn.(*net.TCPConn).CloseWrite() })
}

// TestRunning: whoever has the head of an answer finds the request, until it is
// recorded.
func TestRunning(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	ends := sync.OnceFunc(func() { close(more) })
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		_, _ = io.WriteString(w, "once")
		w.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(w, " upon")
	}))
	t.Cleanup(func() { ends(); slow.Close() })
	tagged := "Freeway-Options: tag-job7\r\n"
	for name, c := range map[string]struct {
		up     proxy.Endpoint
		begin  func(w *wire) // until the client has the head
		finish func(w *wire)
		want   string // method, status and stage at the end
	}{
		"CONNECT": {refused(t), func(w *wire) {
			w.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: x\r\n" + tagged + "\r\n")
			w.answer("CONNECT")
		}, func(w *wire) { w.send("ping"); w.expect("ping") }, "CONNECT 200 tunnel"},
		"SOCKS5": {refused(t), func(w *wire) {
			if err := socks.Client5(w, addrOf(netip.MustParseAddrPort("127.0.0.1:9")), "bob-tag-job7", ""); err != nil {
				w.t.Error(err)
			}
		}, func(w *wire) { w.send("ping"); w.expect("ping") }, "SOCKS5 0 tunnel"},
		"plain": {honest(t), func(w *wire) {
			w.send("GET " + slow.URL + "/ HTTP/1.1\r\nHost: x\r\n" + tagged + "\r\n")
			w.head()
		}, func(w *wire) { ends(); w.expect("once upon") }, "GET 200 body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := c.up
			if name != "plain" {
				last = echoing(t)
			}
			r := newRig(t, gateway.Config{ExposeUpstream: true}, c.up, last)
			w := r.conn()
			c.begin(w)
			got := r.g.Running(10, all)
			if len(got) != 1 || len(got[0].Attempts) == 0 {
				t.Fatalf("with the head of the answer at hand there run %+v, want one", got)
			}
			now := got[0]
			use := now.Attempts[len(now.Attempts)-1]
			if !now.Running || now.Tag != "job7" || now.Took <= 0 || use.Endpoint != last || use.Class != proxy.OK || !use.Exit.IsValid() {
				t.Errorf("it runs as %+v", now)
			}
			if len(r.g.Running(10, func(t *proxy.Trace) bool { return t.ID == now.ID && t.Tag == "job7" })) != 1 || len(r.g.Running(10, func(*proxy.Trace) bool { return false })) != 0 {
				t.Error("what is wanted makes no difference")
			}
			c.finish(w)
			_ = w.Close()
			end := r.p.trace(t, 1)
			if _, n := r.p.recorded(now.ID); n != 1 {
				t.Errorf("it is recorded %d times under its id", n)
			}
			use = end.Attempts[len(end.Attempts)-1]
			if text := fmt.Sprintf("%s %d %s", end.Method, end.Status, use.Stage); text != c.want || end.Down < 4 || end.Running || len(end.Attempts) != len(now.Attempts) {
				t.Errorf("it ended as %q %+v, want %q", text, end, c.want)
			}
			if now.Method != end.Method || now.Status != end.Status || now.Target != end.Target || now.At != end.At || now.Client != end.Client {
				t.Errorf("it ran as %+v and ended as %+v", now, end)
			}
			r.runs(0)
		})
	}
}

// TestRunningTellsOfTunnels: bytes until now, the newest first, and no more than
// are asked for.
func TestRunningTellsOfTunnels(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{}, echoing(t))
	const tunnels = 9
	for i := range tunnels {
		w := r.conn()
		w.open(fmt.Sprintf("127.0.0.1:%d", 1000+i))
		w.send("ping")
		w.expect("ping")
	}
	got := r.g.Running(2, all)
	if len(got) != 2 || got[0].Target.Port != 1000+tunnels-1 || got[1].Target.Port != 1000+tunnels-2 {
		t.Fatalf("the latest two are %+v", got)
	}
	until(t, "the bytes are counted", func() bool { x := r.g.Running(1, all)[0]; return x.Up == 4 && x.Down == 4 })
	if n := len(r.g.Running(tunnels+1, all)); n != tunnels {
		t.Errorf("%d run, want %d", n, tunnels)
	}
}

// TestRunningFollowsReplay: after the first flight was sent again the upstream
// that answered is the one in use.
func TestRunningFollowsReplay(t *testing.T) {
	t.Parallel()
	page := granting(t, func(c *wire) {
		_, _ = c.r.Peek(1)
		_, _ = io.WriteString(c.Conn, "<html>log in</html>")
	})
	good := granting(t, func(c *wire) {
		_, _ = c.r.Peek(1)
		c.send(serverHello)
		_, _ = io.Copy(io.Discard, c.r)
	})
	r := newRig(t, gateway.Config{}, page, good)
	w := r.conn()
	w.open("127.0.0.1:443")
	if got := r.g.Running(10, all); len(got) != 1 || len(got[0].Attempts) != 1 || got[0].Attempts[0].Endpoint != page {
		t.Errorf("before the client speaks there run %+v", got)
	}
	w.send(helloOf(t))
	w.expect(serverHello)
	got := r.g.Running(10, all)
	if len(got) != 1 || len(got[0].Attempts) != 2 || got[0].Attempts[0].Class == proxy.OK || got[0].Attempts[1].Endpoint != good || got[0].Attempts[1].Class != proxy.OK {
		t.Errorf("after the replay there run %+v", got)
	}
}

// TestRecordedBeforeTheEnd: when the connection ends with an answer, or the
// answer is the gateway's own, the record is there as soon as the client sees that.
func TestRecordedBeforeTheEnd(t *testing.T) {
	t.Parallel()
	o := origin(t)
	const close = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct {
		up   proxy.Endpoint
		ask  string
		read func(w *wire)
	}{
		"answer":            {honest(t), "GET " + o.URL + "/" + close, func(w *wire) { w.rest() }},
		"own answer":        {refused(t), "GET " + o.URL + "/" + close, func(w *wire) { w.head() }},
		"own answer, kept":  {refused(t), "GET " + o.URL + "/ HTTP/1.1\r\nHost: x\r\n\r\n", func(w *wire) { w.head() }},
		"forbidden":         {honest(t), "GET http://10.0.0.1/" + close, func(w *wire) { w.head() }},
		"CONNECT":           {refused(t), "CONNECT 127.0.0.1:9" + close, func(w *wire) { w.head() }},
		"forbidden CONNECT": {refused(t), "CONNECT 127.0.0.1:25" + close, func(w *wire) { w.head() }},
		"SOCKS4":            {refused(t), "\x04\x01\x00\x09\x7f\x00\x00\x01bob\x00", func(w *wire) { w.expect("\x00\x5b") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{}, c.up)
			w := r.conn()
			w.send(c.ask)
			c.read(w)
			r.p.mu.Lock()
			n := len(r.p.traces)
			r.p.mu.Unlock()
			if n != 1 {
				t.Errorf("%d records, want one", n)
			}
		})
	}
}

// TestNoRequestIsMissed: while many come and go, whoever has an answer finds its
// request among those that run or else, asked afterwards, among the records.
func TestNoRequestIsMissed(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{ExposeUpstream: true}, answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := r.conn()
			for range 50 {
				w.send("GET http://127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n")
				p, body, err := w.tryAnswer("GET")
				if err != nil || body != "ok" {
					t.Errorf("%q, %v", body, err)
					return
				}
				id := p.Header.Get("Freeway-Request-Id")
				running := r.g.Running(1, func(t *proxy.Trace) bool { return t.ID == id })
				if _, n := r.p.recorded(id); len(running) == 0 && n != 1 || n > 1 {
					t.Errorf("%q is not running and has %d records", id, n)
				}
			}
		})
	}
	wg.Wait()
	r.runs(0)
}

// TestRunningOverH2: a stream is a request like others.
func TestRunningOverH2(t *testing.T) {
	t.Parallel()
	r, addr, roots := secured(t, gateway.Config{}, echoing(t))
	_, in := connectH2(t, overH2(t, addr, roots), "127.0.0.1:9", nil)
	got := r.g.Running(10, all)
	if len(got) != 1 || got[0].Method != "CONNECT" || !strings.HasSuffix(got[0].Target.String(), ":9") {
		t.Errorf("there run %+v", got)
	}
	_ = in.Close()
	r.runs(0)
	r.p.trace(t, 1)
}
