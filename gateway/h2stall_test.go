package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"freeway/gateway"
	"freeway/proxy"
)

// TestH2ClientThatTakesNothing: a stream whose window the client never opens again
// is reset, and nothing that served it stays, which goleak sees.
func TestH2ClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	flood := serve(t, func(c *wire) {
		for b := bytes.Repeat([]byte("x"), 32<<10); ; {
			if _, err := c.Conn.Write(b); err != nil {
				return
			}
		}
	}).String()
	r, addr, roots := secured(t, gateway.Config{Timeouts: gateway.Timeouts{Idle: 200 * time.Millisecond}}, honest(t))
	conn := dialTLS(t, addr, roots, "h2")
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	fr := http2.NewFramer(conn, conn)
	_ = fr.WriteSettings()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	_ = enc.WriteField(hpack.HeaderField{Name: ":method", Value: "CONNECT"})
	_ = enc.WriteField(hpack.HeaderField{Name: ":authority", Value: flood})
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for n := 0; ; {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %d bytes, want that the stream is reset", err, n)
		}
		if d, ok := f.(*http2.DataFrame); ok {
			n += len(d.Data())
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			break
		}
	}
	if tr := r.p.trace(t, 1); tr.Status != 200 || tr.Down == 0 {
		t.Errorf("trace %+v", tr)
	}
}

// TestH2IdleMakesRoom: a connection is shed like others while it has no streams,
// and not while it has one.
func TestH2IdleMakesRoom(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	r, addr, roots := secured(t, gateway.Config{MaxConnections: 2}, honest(t))
	cc := overH2(t, addr, roots)
	p, in := connectH2(t, cc, echo, nil) // its connection and itself are two
	open := func() int {
		w := r.conn()
		defer w.Close()
		w.send("CONNECT " + echo + " HTTP/1.1\r\nHost: x\r\n\r\n")
		p, _ := w.answer("CONNECT")
		return p.StatusCode
	}
	if status := open(); status != 503 {
		t.Errorf("beside a busy connection: %d, want 503", status)
	}
	_ = in.Close()
	if rest, err := io.ReadAll(p.Body); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	until(t, "only the connection is left", func() bool { n, _, _ := r.g.Counts(); return n == 1 })
	w := r.conn()
	w.open(echo)
	until(t, "the idle connection makes room", func() bool { return open() == 200 })
	until(t, "it is closed", func() bool { return !cc.CanTakeNewRequest() })
}

// TestH2EndBeforeTheTunnel: a client may end its half of a stream before the tunnel
// is up, and gets what the target says.
func TestH2EndBeforeTheTunnel(t *testing.T) {
	t.Parallel()
	for _, early := range []string{"", "early"} {
		target := serve(t, func(c *wire) {
			b, _ := io.ReadAll(c.r)
			_, _ = io.WriteString(c.Conn, "got "+string(b))
		}).String()
		came, slow := make(chan struct{}), make(chan struct{})
		_, addr, roots := secured(t, gateway.Config{}, upstream(t, proxy.HTTP, func(c *wire) {
			close(came)
			<-slow
			forwardTo(c, "")
		}))
		go func() { // longer than it takes until the client is watched
			<-came
			<-time.After(300 * time.Millisecond)
			close(slow)
		}()
		q := &http.Request{Method: "CONNECT", URL: &url.URL{Host: target}, Host: target, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(early)), ContentLength: -1}
		p, err := overH2(t, addr, roots).RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p.Body)
		_ = p.Body.Close()
		if p.StatusCode != 200 || string(b) != "got "+early || err != nil {
			t.Errorf("early %q: %v %q, %v", early, p.Status, b, err)
		}
	}
}
