package gateway

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"freeway/internal/http1"
)

// deadlines is a connection that counts how often it got time to read.
type deadlines struct {
	net.Conn
	r io.Reader
	n int
}

func (d *deadlines) Read(p []byte) (int, error) { return d.r.Read(p) }

func (d *deadlines) SetReadDeadline(time.Time) error { d.n++; return nil }

// TestEachWaitHasItsTime: whenever a body has to wait for the client the time begins
// anew, also when the end of the chunk before is still in the buffer.
func TestEachWaitHasItsTime(t *testing.T) {
	t.Parallel()
	for _, parts := range [][]string{
		{"3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"},
		{"3\r\none", "\r\n3\r\ntwo", "\r\n0\r\n\r\n"},
		{"3\r", "\none\r\n3\r\ntwo\r\n", "0\r\n\r\n"},
	} {
		conn := &deadlines{r: io.MultiReader(strings.NewReader(parts[0]), strings.NewReader(parts[1]), strings.NewReader(parts[2]))}
		c := &client{raw: conn, r: bufio.NewReader(conn)}
		if _, err := c.r.Peek(1); err != nil {
			t.Fatal(err)
		}
		s := &stallReader{c: c, r: http1.NewBody(c.r, http1.Framing{Kind: http1.Chunked})}
		if got, err := io.ReadAll(s); string(got) != "onetwo" || err != nil {
			t.Fatalf("%q: %q, %v", parts, got, err)
		}
		if conn.n < 2 {
			t.Errorf("%q: time was given %d times, want it before each of two waits", parts, conn.n)
		}
	}
}
