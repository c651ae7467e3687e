package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// clientHelloOf is the first record of Go's TLS client.
func clientHelloOf(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() { _ = tls.Client(ours, &tls.Config{ServerName: "a.test"}).Handshake() }()
	defer ours.Close()
	b := make([]byte, 4096)
	_ = theirs.SetDeadline(time.Now().Add(10 * time.Second))
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// inRecords puts a message into records of that size.
func inRecords(message []byte, size int) (out []byte) {
	for len(message) > 0 {
		n := min(size, len(message))
		out = append(out, recordHandshake, 3, 1, byte(n>>8), byte(n))
		out = append(out, message[:n]...)
		message = message[n:]
	}
	return out
}

// TestReadHello: a ClientHello is held whole, in however many records it comes, and
// whatever cannot be sent again is given back as far as it was read.
func TestReadHello(t *testing.T) {
	t.Parallel()
	one := clientHelloOf(t)
	message := one[recordHead:]
	large := bytes.Clone(message)
	for _, tt := range []struct {
		name string
		sent []byte
		ok   bool
	}{
		{"one record", one, true},
		{"two records", inRecords(message, len(message)-3), true},
		{"records of 20", inRecords(message, 20), true},
		{"the first holds nothing but a type", inRecords(message, 1), true},
		{"more behind it", append(inRecords(message, 50), one...), false},
		{"an alert between", append(inRecords(message, 50)[:55], 21, 3, 1, 0, 2, 1, 0), false},
		{"an empty record between", append(inRecords(message, 50)[:55], 22, 3, 1, 0, 0), false},
		{"it ends early", inRecords(message, 50)[:80], false},
		{"it ends in a record's head", inRecords(message, 50)[:57], false},
		{"too long", inRecords(append([]byte{clientHello, 0, 0x40, 0}, large...), 100), false},
		{"another message", inRecords(append([]byte{serverHello}, message[1:]...), 50), false},
	} {
		ours, theirs := net.Pipe()
		go func() {
			_, _ = theirs.Write(tt.sent)
			_ = theirs.Close()
		}()
		c := &client{raw: ours, conn: ours, r: bufio.NewReaderSize(ours, readSize)}
		h, ok := c.readHello()
		if got := h.bytes(); ok != tt.ok || !bytes.HasPrefix(tt.sent, got) || ok && len(got) != len(tt.sent) {
			t.Errorf("%s: ok %v with %d of %d bytes, want %v", tt.name, ok, len(got), len(tt.sent), tt.ok)
		}
		h.free()
		_ = ours.Close()
	}
}
