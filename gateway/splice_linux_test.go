package gateway_test

import (
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// plenty is more than all sockets on the way hold, so that the gateway has
// full buffers to read.
const plenty = 48 << 20

// pour writes so many random bytes and returns their hash.
func pour(w io.Writer, seed byte, n int64) [32]byte {
	h := sha256.New()
	_, _ = io.Copy(io.MultiWriter(w, h), io.LimitReader(rand.NewChaCha8([32]byte{seed}), n))
	return [32]byte(h.Sum(nil))
}

// hashOf reads so many bytes.
func hashOf(t *testing.T, r io.Reader, n int64) [32]byte {
	t.Helper()
	h := sha256.New()
	if got, err := io.CopyN(h, r, n); err != nil {
		t.Fatalf("%d of %d bytes: %v", got, n, err)
	}
	return [32]byte(h.Sum(nil))
}

// TestBusyTunnelIsSpliced: the system moves the bytes of a tunnel that is busy, again
// after a silence, in which it holds no pipe; nothing of them is lost or mixed up, both
// sides' words and ends get through, and the bytes are counted.
func TestBusyTunnelIsSpliced(t *testing.T) {
	t.Parallel()
	sums := make(chan [32]byte, 2)
	up := granting(t, func(c *wire) {
		c.expect("more")
		sums <- pour(c.Conn, 1, plenty)
		c.expect("again")
		sums <- pour(c.Conn, 2, plenty)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if s, err := io.ReadAll(c.r); string(s) != "thanks" || err != nil {
			t.Errorf("the upstream got %q, %v at the end", s, err)
		}
	})
	p := &picker{entries: []proxy.Entry{entry(up, 1)}, changed: make(chan struct{})}
	r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetSpliceTurn(20 * time.Millisecond) })
	w := r.conn()
	w.open("127.0.0.1:9")
	before := int64(0)
	for _, word := range []string{"more", "again"} {
		w.send(word)
		if got := hashOf(t, w.r, plenty); got != <-sums {
			t.Errorf("%s: other bytes", word)
		}
		until(t, "the pipe is given back", func() bool { n, _ := r.g.Splices(); return n == 0 })
		_, moved := r.g.Splices()
		if moved-before < plenty/2 {
			t.Errorf("%s: %d bytes were spliced of %d", word, moved-before, plenty)
		}
		before = moved
	}
	if n, err := w.r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end %d, %v", n, err)
	}
	w.send("thanks")
	_ = w.Close()
	if tr := r.p.trace(t, 1); tr.Down != 2*plenty || tr.Up != int64(len("moreagainthanks")) {
		t.Errorf("%d bytes up and %d down were counted", tr.Up, tr.Down)
	}
	if o := r.p.outcomes(t, 1); o[0].Class != proxy.OK {
		t.Errorf("outcome %v", o[0].Class)
	}
}

// TestSplicedTunnelBreaks: a reset on either side reaches the other one as what it is.
func TestSplicedTunnelBreaks(t *testing.T) {
	t.Parallel()
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }
	told := make(chan error, 1)
	up := granting(t, func(c *wire) {
		if b, _ := c.r.Peek(1); string(b) == "u" { // the upstream breaks off
			pour(c.Conn, 1, plenty)
			reset(c.Conn)
			return
		}
		_, err := io.CopyN(c.Conn, rand.NewChaCha8([32]byte{1}), 1<<30) // until the client does
		told <- err
	})
	r := newRig(t, gateway.Config{}, up)
	w := r.conn()
	w.open("127.0.0.1:9")
	w.send("u")
	if n, err := io.Copy(io.Discard, w.r); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client got %d bytes and %v, want a reset", n, err)
	}
	w = r.conn()
	w.open("127.0.0.1:9")
	w.send("c")
	hashOf(t, w.r, plenty)
	if n, _ := r.g.Splices(); n != 1 {
		t.Errorf("%d tunnels are spliced, want 1", n)
	}
	reset(w.Conn)
	if err := <-told; err == nil {
		t.Error("the upstream does not notice that the client is gone")
	}
	r.p.trace(t, 2)
	if n, _ := r.g.Splices(); n != 0 {
		t.Errorf("%d tunnels are spliced at the end", n)
	}
}

// TestNotSpliced: where bytes are counted out, where descriptors are few, and inside TLS,
// the gateway moves them itself.
func TestNotSpliced(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]gateway.Config{
		"bandwidth":       {Users: []gateway.User{{Name: "u", Password: password("p"), Bandwidth: 1 << 40}}},
		"daily bytes":     {Users: []gateway.User{{Name: "u", Password: password("p"), DailyBytes: 1 << 50}}},
		"few descriptors": {MaxConnections: 31},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := granting(t, func(c *wire) { c.expect("more"); pour(c.Conn, 1, plenty) })
			r := newRig(t, cfg, up)
			w := r.conn()
			w.send("CONNECT a.test:9 HTTP/1.1\r\nHost: a.test:9\r\nProxy-Authorization: Basic dTpw\r\n\r\n")
			if p, body := w.answer("CONNECT"); p.StatusCode != 200 {
				t.Fatalf("CONNECT: %v %s", p.Status, body)
			}
			w.send("more")
			hashOf(t, w.r, plenty)
			if _, moved := r.g.Splices(); moved != 0 {
				t.Errorf("%d bytes were spliced", moved)
			}
		})
	}
}
