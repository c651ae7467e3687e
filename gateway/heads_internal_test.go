package gateway

import (
	"strings"
	"testing"
)

// TestHeads: the field is found where it is one, however the bytes are cut, and
// nowhere else.
func TestHeads(t *testing.T) {
	t.Parallel()
	const get, post = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "POST / HTTP/1.1\r\nHost: a.example\r\n"
	const secret = "GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic eDp5\r\n\r\n"
	for _, tt := range []struct {
		name, text string
		found      bool
	}{
		{"first request", secret, true},
		{"first field", "GET / HTTP/1.0\r\nauthorization:x\r\n\r\n", true},
		{"bare line ends", "GET / HTTP/1.1\nAUTHORIZATION: x\n\n", true},
		{"space before the colon", "GET / HTTP/1.1\r\nAuthorization : x\r\n\r\n", true},
		{"empty lines before", "\r\n\r\n" + secret, true},
		{"second request", get + secret, true},
		{"behind a body", post + "Content-Length: 5\r\n\r\nhello" + secret, true},
		{"behind an empty body", post + "Content-Length: 0\r\n\r\n" + secret, true},
		{"behind chunks", post + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n" + secret, true},
		{"behind no chunks", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + secret, true},
		{"long fields before", "GET / HTTP/1.1\r\nCookie: " + strings.Repeat("c", 5000) + "\r\nAuthorization: x\r\n\r\n", true},
		{"long target", "GET /" + strings.Repeat("c", 5000) + " HTTP/1.1\r\nAuthorization: x\r\n\r\n", true},
		{"a very long target", "GET /" + strings.Repeat("c", 70_000) + " HTTP/1.1\r\nAuthorization: x\r\n\r\n", true},
		{"a very long field before", "GET / HTTP/1.1\r\nCookie: " + strings.Repeat("c", 70_000) + "\r\nAuthorization: x\r\n\r\n", true},

		{"behind an upgrade that was not granted", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + secret, true},
		{"behind an unknown coding", post + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello" + secret, true},
		{"behind two codings", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + secret, true},
		{"in a tunnel in the tunnel", "CONNECT a.example:80 HTTP/1.1\r\n\r\n" + secret, true},

		{"none", get + get, false},
		{"another field", "GET / HTTP/1.1\r\nX-Authorization: x\r\nAuthorizations: x\r\nAuthor: x\r\n\r\n", false},
		{"a value", "GET / HTTP/1.1\r\nX: Authorization: x\r\n\r\n", false},
		{"in a body", post + "Content-Length: 21\r\n\r\n\r\nAuthorization: abc\r\n", false},
		{"in a chunk", post + "Transfer-Encoding: chunked\r\n\r\n15\r\n\r\nAuthorization: abc\r\n\r\n0\r\n\r\n", false},
		{"in a trailer", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n", false},
		{"in the target", "GET /?Authorization: HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
		{"another protocol", "EHLO me\r\nAuthorization: x\r\n\r\n", false},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nAuthorization: x\r\n", false},
		{"TLS", "\x16\x03\x01\x00\x05\nGET / HTTP/1.1\r\nAuthorization: x\r\n\r\n", false},
		{"behind an upgrade to HTTP/2", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + secret, false},
		{"behind an upgrade to WebSocket", "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello\n" + secret, false},
		{"TLS behind a tunnel", "CONNECT a.example:443 HTTP/1.1\r\n\r\n\x16\x03\x01\n" + secret, false},
		{"a strange length", post + "Content-Length: -1\r\n\r\n" + secret, false},
	} {
		var whole heads
		if got := whole.feed([]byte(tt.text)); got != tt.found {
			t.Errorf("%s: found %v, want %v", tt.name, got, tt.found)
		}
		if len(tt.text) > 60_000 { // at each place takes too long
			continue
		}
		for cut := range tt.text {
			var h heads
			if got := h.feed([]byte(tt.text[:cut])) || h.feed([]byte(tt.text[cut:])); got != tt.found {
				t.Errorf("%s, cut at %d: found %v, want %v", tt.name, cut, got, tt.found)
				break
			}
		}
		var bytewise heads
		got, left := false, tt.text
		for ; len(left) > 0 && !got; left = left[1:] {
			got = bytewise.feed([]byte(left[:1]))
		}
		if got != tt.found {
			t.Errorf("%s, byte by byte: found %v, want %v", tt.name, got, tt.found)
		}
		if got && !strings.HasSuffix(strings.ToLower(tt.text[:len(tt.text)-len(left)-1]), credentials) {
			t.Errorf("%s: found after %q", tt.name, tt.text[:len(tt.text)-len(left)])
		}
	}
}

// TestGreets: what a server says first, and what proxies say instead of TLS.
func TestGreets(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"220 mail.example ESMTP\r\n": true, "220-x": true, "SSH-2.0-x\r\n": true, "* OK IMAP": true, "RFB 003.008\n": true,
		"HTTP/1.1 400 Bad\r\n": false, "<html>": false, "\x16\x03\x03": false, "": false, "22": false} {
		if got := greets([]byte(text)); got != want {
			t.Errorf("greets(%q) = %v", text, got)
		}
	}
}

// FuzzHeads: any bytes, cut anywhere, give the same answer.
func FuzzHeads(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\nAuthorization: x\r\n\r\n", 20)
	f.Add("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", 41)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		cut = max(0, min(cut, len(text)))
		var whole, parts heads
		a, b := whole.feed([]byte(text)), parts.feed([]byte(text[:cut])) || parts.feed([]byte(text[cut:]))
		if a != b || !a && whole != parts {
			t.Errorf("%q: %v, cut at %d: %v", text, a, cut, b)
		}
	})
}
