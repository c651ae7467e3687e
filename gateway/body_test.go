package gateway_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

const getExample = "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"

// TestAnswersInNormalForm shows what a client gets for what an upstream sends.
func TestAnswersInNormalForm(t *testing.T) {
	t.Parallel()
	const get10 = "GET http://example.com/ HTTP/1.0\r\n\r\n"
	head := strings.Replace(getExample, "GET", "HEAD", 1)
	for _, c := range []struct{ name, request, answer, want string }{
		{"length", getExample, "HTTP/1.1 200 OK\r\nx-a:  b \r\ncontent-length: 2\r\n\r\nokEXTRA", "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok"},
		{"chunks", getExample, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n02 ;x\r\nok\r\n0\r\nTrailer: x\r\n\r\nEXTRA",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"until close", getExample, "HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"until close to 1.0", get10, "HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"},
		{"chunks to 1.0", get10, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"},
		{"204 with a body", getExample, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nEXTRA", "HTTP/1.1 204 No Content\r\n\r\n"},
		{"304 with a body", getExample, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\nEXTRA", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n"},
		{"HEAD with a body", head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEXTRA", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
		{"HEAD, two lengths", head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
		{"HEAD, no number", head, "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
		{"304, no number", getExample, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5, 5\r\nETag: x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"},
		{"leading zeros", getExample, "HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"hop by hop", getExample, "HTTP/1.1 200 OK\r\nConnection: close, X-Hop, content-length\r\nX-Hop: 1\r\nKeep-Alive: x\r\nUpgrade: y\r\nProxy-Authenticate: Basic\r\nProxy-Connection: close\r\n" +
			"Proxy-Status: cdn; received-status=200\r\nVia: 1.1 cdn\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nProxy-Status: cdn; received-status=200\r\nVia: 1.1 cdn\r\nContent-Length: 0\r\n\r\n"},
		{"lenient lines", getExample, "HTTP/1.1 200\nA : b\n c\nContent-Length: 2\n\nok", "HTTP/1.1 200 \r\nA: b c\r\nContent-Length: 2\r\n\r\nok"},
		{"interim", getExample, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{}, answering(t, proxy.HTTP, c.answer))
			w := r.conn()
			w.send(c.request)
			w.expect(c.want)
			_ = w.Conn.(*net.TCPConn).CloseWrite()
			if rest := w.rest(); rest != "" {
				t.Errorf("behind the answer: %q", rest)
			}
			if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.OK {
				t.Errorf("outcome %v", o.Class)
			}
		})
	}
}

// TestCutBodies: a body that is cut never looks whole, is not tried again once
// the client has something of it, and counts against the upstream as cut.
func TestCutBodies(t *testing.T) {
	t.Parallel()
	ends := func(text string) func(*testing.T) proxy.Endpoint {
		return func(t *testing.T) proxy.Endpoint { return answering(t, proxy.HTTP, text) }
	}
	for _, c := range []struct {
		name    string
		make    func(*testing.T) proxy.Endpoint
		version string
	}{
		{"length", ends("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("half", 1500)), "1.1"},
		{"length, 1.0", ends("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + strings.Repeat("half", 1500)), "1.0"},
		{"chunk", ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf"), "1.1"},
		{"between chunks", ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), "1.1"},
		{"chunks to 1.0", ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), "1.0"},
		{"no last chunk's end", ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"), "1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{}, c.make(t), honest(t))
			w := r.conn()
			w.send("GET http://example.com/ HTTP/" + c.version + "\r\nHost: example.com\r\n\r\n")
			if _, body, err := w.tryAnswer("GET"); err == nil {
				t.Errorf("a clean end after %q", body)
			}
			if o := r.p.outcomes(t, 1); len(o) != 1 || o[0].Class != proxy.Truncated || o[0].Stage != proxy.StageBody {
				t.Errorf("outcomes %+v", o)
			}
			if tr := r.p.trace(t, 1); len(tr.Attempts) != 1 {
				t.Errorf("%d attempts", len(tr.Attempts))
			}
		})
	}
}

// TestResetInsteadOfAnEnd: without framing only a reset tells a cut from an
// end, and HTTP/1.1 clients see it as a missing last chunk.
func TestResetInsteadOfAnEnd(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "1.0"} {
		cut := make(chan struct{})
		up := upstream(t, proxy.HTTP, func(c *wire) {
			c.head()
			_, _ = io.WriteString(c.Conn, "HTTP/1.0 200 OK\r\n\r\nhalf")
			<-cut
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		})
		r := newRig(t, gateway.Config{}, up)
		w := r.conn()
		w.send("GET http://example.com/ HTTP/" + version + "\r\nHost: example.com\r\n\r\n")
		w.head()
		if version == "1.1" {
			w.expect("4\r\n")
		}
		w.expect("half")
		close(cut)
		rest, err := io.ReadAll(w.r)
		if version == "1.0" && err == nil || strings.Contains(string(rest), "0\r\n") {
			t.Errorf("HTTP/%s: a clean end: %q, %v", version, rest, err)
		}
	}
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	o := origin(t)
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	w.send("POST " + o.URL + "/e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n")
	w.expect("HTTP/1.1 100 Continue\r\n\r\n")
	w.send("hello")
	if p, body := w.answer("POST"); p.StatusCode != 200 || body != "POST /e hello" {
		t.Errorf("answer %v %q", p.Status, body)
	}
	w.send("GET " + o.URL + "/next HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, body := w.answer("GET"); body != "GET /next " {
		t.Errorf("the next answer %q", body)
	}
	w.send("POST " + o.URL + "/e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: the-unexpected\r\n\r\n")
	if p, _ := w.answer("POST"); p.StatusCode != 417 {
		t.Errorf("answer %v, want 417", p.Status)
	}

	// With no upstream the client is not asked for the body at all.
	w = newRig(t, gateway.Config{}).conn()
	w.send("POST http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if p, _ := w.answer("POST"); p.StatusCode != 503 {
		t.Errorf("answer %v, want 503", p.Status)
	}
}

// TestEarlyAnswerDuringUpload: the target's 413 reaches a client that is still sending.
func TestEarlyAnswerDuringUpload(t *testing.T) {
	t.Parallel()
	up := upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		_, _ = io.ReadFull(c.r, make([]byte, 1000))
		_, _ = io.WriteString(c.Conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
		_, _ = c.r.Peek(1)
	})
	r := newRig(t, gateway.Config{}, up)
	w := r.conn()
	w.send("POST http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for {
			if _, err := w.Conn.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	p, body := w.answer("POST")
	if p.StatusCode != 413 || body != "big" || !p.Close {
		t.Errorf("answer %v %q, close %v", p.Status, body, p.Close)
	}
	<-sent
}

// TestStreamedUpload: a body larger than the buffer goes through as it comes.
func TestStreamedUpload(t *testing.T) {
	t.Parallel()
	o := origin(t)
	r := newRig(t, gateway.Config{Retry: gateway.Retry{Methods: []string{"PUT"}, BodyBuffer: 1000}}, honest(t))
	body := strings.Repeat("0123456789", 50_000)
	for _, method := range []string{"POST", "PUT"} {
		w := r.conn()
		go func() {
			_, _ = io.WriteString(w.Conn, method+" "+o.URL+"/u HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := 0; i < len(body); i += 5000 {
				_, _ = io.WriteString(w.Conn, "1388\r\n"+body[i:i+5000]+"\r\n")
			}
			_, _ = io.WriteString(w.Conn, "0\r\n\r\nGET "+o.URL+"/next HTTP/1.1\r\nHost: x\r\n\r\n")
		}()
		if p, got := w.answer(method); got != method+" /u "+body {
			t.Errorf("%s: %v, %d bytes, want %d", method, p.Status, len(got), len(body)+8)
		}
		if _, got := w.answer("GET"); got != "GET /next " {
			t.Errorf("the next answer %q", got)
		}
	}
}

// TestChunksFlow: a chunk goes on before the next one comes.
func TestChunksFlow(t *testing.T) {
	t.Parallel()
	here := make(chan struct{})
	r := newRig(t, gateway.Config{}, upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		_, _ = io.ReadFull(c.r, make([]byte, len("3\r\none\r\n")))
		close(here)
		_, _ = io.ReadFull(c.r, make([]byte, len("3\r\ntwo\r\n0\r\n\r\n")))
		_, _ = io.WriteString(c.Conn, okAnswer)
	}))
	w := r.conn()
	w.send("POST http://example.com/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
	select {
	case <-here:
	case <-time.After(patience):
		t.Fatal("the first chunk waits for the second")
	}
	w.send("3\r\ntwo\r\n0\r\n\r\n")
	if p, body := w.answer("POST"); p.StatusCode != 200 || body != "ok" {
		t.Errorf("%v %q", p.Status, body)
	}
}

// TestLongUpload: the time that a client takes for its body is not that of the
// upstream, whose answer is waited for as long as after a short one.
func TestLongUpload(t *testing.T) {
	t.Parallel()
	const total = 200 * time.Millisecond
	r := newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Total: total, FirstByte: patience}}, upstream(t, proxy.HTTP, func(c *wire) {
		c.head()
		_, _ = io.CopyN(io.Discard, c.r, 10)
		_, _ = io.WriteString(c.Conn, okAnswer)
	}))
	w := r.conn()
	w.send("POST http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
	for range 10 {
		<-time.After(total / 5)
		w.send("x")
	}
	if p, body := w.answer("POST"); p.StatusCode != 200 || body != "ok" {
		t.Errorf("after an upload of twice timeouts.total: %v %q, want the answer", p.Status, body)
	}
}

// TestCutUpload: a client that stops half-way does not make a whole request.
func TestCutUpload(t *testing.T) {
	t.Parallel()
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	for _, head := range []string{"Content-Length: 50\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		w := r.conn()
		w.send("POST http://example.com/ HTTP/1.1\r\nHost: x\r\n" + head)
		_ = w.Conn.(*net.TCPConn).CloseWrite()
		if got := w.rest(); strings.Contains(got, "200 OK") {
			t.Errorf("%q: answer %q", head, got)
		}
	}
	for _, raw := range rec.all() {
		if strings.HasSuffix(raw, "0\r\n\r\n") {
			t.Errorf("the upstream got an end: %q", raw)
		}
	}
	if o := r.p.outcomes(t, 2); o[0].Class != proxy.Canceled || o[1].Class != proxy.Canceled {
		t.Errorf("outcomes %v %v", o[0].Class, o[1].Class)
	}
}

// TestInterimFlood forwards a few interim answers and then gives up.
func TestInterimFlood(t *testing.T) {
	t.Parallel()
	up := answering(t, proxy.HTTP, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)+okAnswer)
	r := newRig(t, gateway.Config{}, up, honest(t))
	w := r.conn()
	w.send(strings.Replace(getExample, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
	got := w.rest()
	if n := strings.Count(got, " 103 "); n != 8 || strings.Count(got, "HTTP/1.1 502 ") != 1 || strings.Contains(got, "200 OK") {
		t.Errorf("%d interim answers, then %.60q", n, got[strings.LastIndex(got, " 103 "):])
	}
	if o := r.p.outcomes(t, 1); len(o) != 1 || o[0].Class != proxy.Garbage {
		t.Errorf("outcomes %+v", o)
	}
}
