package gateway_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// endings is an upstream that grants tunnels, sends back what first comes and
// tells how the tunnel ended, nil for a clean end.
func endings(t *testing.T) (proxy.Endpoint, chan error) {
	t.Helper()
	how := make(chan error, 4)
	return granting(t, func(c *wire) {
		b, err := c.r.Peek(1)
		if err == nil {
			c.send(string(b))
			_, err = io.Copy(io.Discard, c.r)
		}
		if err == io.EOF {
			err = nil
		}
		how <- err
	}), how
}

// TestResetOfTheClient: the target must not take a tunnel that was broken off for
// one that ended (RFC 9113 section 8.5), nor an end for a reset.
func TestResetOfTheClient(t *testing.T) {
	t.Parallel()
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }
	for _, tt := range []struct {
		name  string
		speak bool
		end   func(c *net.TCPConn)
		cut   bool
	}{
		{"reset", true, reset, true},
		{"reset before a word", false, reset, true},
		{"close", true, func(c *net.TCPConn) { _ = c.Close() }, false},
		{"half-close", true, func(c *net.TCPConn) { _ = c.CloseWrite() }, false},
		{"close before a word", false, func(c *net.TCPConn) { _ = c.Close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			up, how := endings(t)
			r := newRig(t, gateway.Config{}, up)
			w := r.conn()
			w.open("127.0.0.1:9")
			if tt.speak {
				w.send("x")
				w.expect("x")
			}
			tt.end(w.Conn.(*net.TCPConn))
			if err := <-how; (err != nil) != tt.cut {
				t.Errorf("the upstream saw %v, want a cut: %v", err, tt.cut)
			}
		})
	}
}

// TestResetOfAStream is the same for a tunnel in HTTP/2.
func TestResetOfAStream(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *http.Response, in *io.PipeWriter){
		"reset": func(p *http.Response, in *io.PipeWriter) { _ = p.Body.Close() },
		"end":   func(_ *http.Response, in *io.PipeWriter) { _ = in.Close() },
	} {
		up, how := endings(t)
		_, addr, roots := secured(t, gateway.Config{}, up)
		p, in := connectH2(t, overH2(t, addr, roots), "127.0.0.1:9", nil)
		if _, err := io.WriteString(in, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(p.Body, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		end(p, in)
		if err := <-how; (err != nil) != (name == "reset") {
			t.Errorf("%s: the upstream saw %v", name, err)
		}
	}
}
