package lab_test

import (
	"strings"
	"testing"

	"freeway/lab"
)

func TestChunks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, content string
		ok                bool
	}{
		{"two", "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "hello world", true},
		{"trailer", "1\r\na\r\n0\r\nX: y\r\n\r\n", "a", true},
		{"cut in a chunk", "5\r\nhel", "", false},
		{"cut before the end", "5\r\nhello\r\n", "", false},
		{"cut in the trailer", "0\r\nX: y\r\n", "", false},
		{"no number", "x\r\n", "", false},
		{"too large", "fffffffffffffffff\r\n", "", false},
	} {
		wire, content, err := lab.CopyChunks(tt.in)
		if (err == nil) != tt.ok || tt.ok && (content != tt.content || wire != tt.in) {
			t.Errorf("%s: %q, %q, %v, want %q", tt.name, wire, content, err, tt.content)
		}
	}
}

func FuzzReadHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 200\n\n",
		"GET / HTTP/1.1\r\nConnection: a, b\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", "x", "a b\r\n:\r\n\r\n", " \n\n", "a b c \r\n\r\n", "0 \r \n\n", strings.Repeat("x", 5000) + " y\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := lab.ReadHead(s)
		if err != nil {
			return
		}
		twice, err := lab.ReadHead(once)
		if err != nil || twice != once {
			t.Errorf("%q prints as %q, which prints as %q, %v", s, once, twice, err)
		}
	})
}

func FuzzChunks(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\n\r\n")
	f.Add("ffffffff\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if wire, content, err := lab.CopyChunks(s); err == nil && len(content) > len(wire) {
			t.Errorf("%q: content %q is longer than %q", s, content, wire)
		}
	})
}

// record is a TLS record of a type with n bytes.
func record(kind byte, n int) string {
	return string([]byte{kind, 3, 3, byte(n >> 8), byte(n)}) + strings.Repeat("\x17", n)
}

func TestCutterWaitsForData(t *testing.T) {
	t.Parallel()
	hello := record(22, 500) + record(20, 1)
	for _, tt := range []struct {
		name, client string
		want         int // bytes that pass before the first of a record with data is complete
	}{
		{"handshake only", hello, -1},
		{"data behind it", hello + record(23, 50), len(hello) + 5},
		{"plain text", "GET / HTTP/1.1", 1},
	} {
		for _, n := range []int{1, 2, 3, 5, 7} {
			got := lab.CutterAsks(tt.client, n)
			if (got < 0) != (tt.want < 0) || got >= 0 && (got < tt.want || got > tt.want+n) {
				t.Errorf("%s, %d bytes at a time: data after %d, want %d", tt.name, n, got, tt.want)
			}
		}
	}
}

func TestTamperKeepsTheForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, kind, want string }{
		{"html", "<html><body>x</body></html>", "text/html; charset=utf-8", `<html><body>x<script src="http://ads.lab.test/a.js"></script></body></html>`},
		{"json", `{"origin": "127.0.0.1"}`, "application/json", ""},
		{"json literals", `[true, null, false, true, null]`, "application/json", ""},
		{"digits", "123456", "text/plain", ""},
		{"one byte", "x", "text/plain", ""},
		{"nothing", "", "text/plain", ""},
	} {
		got := lab.Tampered(tt.body, tt.kind)
		if tt.want != "" && got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if tt.want == "" && (len(got) != len(tt.body) || got == tt.body && got != "") {
			t.Errorf("%s: %q becomes %q, want something else of the same length", tt.name, tt.body, got)
		}
	}
}
