package gateway_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"freeway/gateway"
	"freeway/proxy"
)

// smuggled is what must never be taken for a request of its own.
const smuggled = "GET http://127.0.0.1:1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// verdict sends bytes on a connection of their own and returns the status of
// each answer until the gateway closes, or the first when it keeps the connection.
func (r *rig) verdict(text string) (statuses []int) {
	r.t.Helper()
	w := r.conn()
	go func() {
		_, _ = io.WriteString(w.Conn, text)
		_ = w.Conn.(*net.TCPConn).CloseWrite()
	}()
	for {
		p, _, err := w.tryAnswer("POST")
		if err != nil {
			_ = w.Close()
			return statuses
		}
		statuses = append(statuses, p.StatusCode)
	}
}

// TestObfuscatedCodings: each spelling of the transfer coding is refused, or it
// is plain "chunked" and what leaves is framed anew. Nothing of the body is ever
// taken for a request.
func TestObfuscatedCodings(t *testing.T) {
	t.Parallel()
	const post = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
	const body = "5\r\nhello\r\n0\r\n\r\n"
	plain := map[string]bool{}
	var lines []string
	for _, v := range []string{"chunked", "CHUNKED", "Chunked", "\tchunked", "  chunked  ", "chunked\t"} {
		lines = append(lines, "Transfer-Encoding:"+v)
		plain["Transfer-Encoding:"+v] = true
	}
	for _, v := range []string{"xchunked", "chunkedx", "chunked, chunked", "chunked,chunked", "gzip, chunked", "chunked, gzip", "identity", "identity, chunked",
		"chunked, identity", "chunked;q=1", "chunked;", "\"chunked\"", "'chunked'", "chun\u212aed", "\u017fchunked", "chunked\x0b", "\x0bchunked", "\x0cchunked", "chunked\x00",
		"\x00chunked", "chunked,", ",chunked", "", "chunke", "chunked chunked", "\xa0chunked", "\xffchunked", "chunked\x7f", "cow", "trailers", "chunked\x85", "(chunked)"} {
		lines = append(lines, "Transfer-Encoding: "+v)
	}
	for _, n := range []string{"Transfer_Encoding: ", "Transfer-Encoding : ", "Transfer-Encoding\t: ", " Transfer-Encoding: ", "\tTransfer-Encoding: ", "Transfer-Encoding\x0b: ",
		"Transfer-Encoding\x00: ", "\x00Transfer-Encoding: ", "Transfer Encoding: ", "Transfer-Encoding\xff: ", "Transfer-Encod\u0131ng: ", "Transfer-Encoding\r: ", "Transfer-Encoding\n: ",
		"X: y\nTransfer-Encoding: ", "X: y\rTransfer-Encoding: ", "X: y\x00\r\nTransfer-Encoding: ", "Transfer-Encoding:\r\n ", "X: y\r\n Transfer-Encoding: ", "Transfer-Encoding: x\r\nTransfer-Encoding: ",
		"Content-Length: 5\r\nTransfer-Encoding: ", "Content-Length: 0\r\ntransfer-encoding: ", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\nX: "} {
		lines = append(lines, n+"chunked")
	}
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	for _, line := range lines {
		before := len(rec.all())
		got := r.verdict(post + line + "\r\n\r\n" + body + smuggled)
		switch {
		case plain[line] && (len(got) == 0 || got[0] != 200):
			t.Errorf("%q: %v, want it served", line, got)
		case !plain[line] && (len(got) != 1 || got[0] != 400):
			t.Errorf("%q: %v, want one 400 and a closed connection", line, got)
		case !plain[line] && len(rec.all()) != before:
			t.Errorf("%q: the upstream got %q", line, rec.all()[before:])
		}
	}
	for _, raw := range rec.all() {
		if strings.Contains(raw, "hello") && (strings.Count(raw, "Transfer-Encoding: chunked\r\n") != 1 || strings.Contains(raw, "Content-Length") || !strings.Contains(raw, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n")) {
			t.Errorf("the upstream got %q, want it in normal form", raw)
		}
	}
}

// TestObfuscatedLengths: plain digits or nothing.
func TestObfuscatedLengths(t *testing.T) {
	t.Parallel()
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	const post = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
	for _, v := range []string{"+5", "-5", "-0", "0x5", "5, 5", "5,5", "", "5 5", "5;", "\"5\"", "5.0", "5e0", "05x", "\uff15", "\u0665", "\x005", "5\x00", "5\x0b", "18446744073709551621",
		"9223372036854775808", "5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "5\r\ncontent-length: 5", "5\r\nContent_Length: 6", "5\r\nContent-Length : 6", "5\r\n Content-Length: 6", "5\nContent-Length: 6", "5\rX: y"} {
		if got := r.verdict(post + "Content-Length: " + v + "\r\n\r\nhello" + smuggled); len(got) != 1 || got[0] != 400 {
			t.Errorf("Content-Length: %q: %v, want one 400", v, got)
		}
	}
	if raw := rec.all(); len(raw) != 0 {
		t.Errorf("bytes reached an upstream: %q", raw)
	}
}

// TestChunkTricks: a chunk line that readers may take differently ends the
// request, and nothing behind it is taken for another.
func TestChunkTricks(t *testing.T) {
	t.Parallel()
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	const head = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	const rest = "\r\nhello\r\n0\r\n\r\n"
	for _, body := range []string{"0x5" + rest, "0X5" + rest, "5_" + rest, "+5" + rest, "-5" + rest, " 5" + rest, "\t5" + rest, ";5" + rest, rest, "g" + rest, "\uff15" + rest, "5\x00" + rest, "5;\x00" + rest,
		"5;a=\x0b" + rest, "5;a\nb" + rest, "5;a\rb" + rest, "5 5" + rest, "5,5" + rest, "5\r" + rest, "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\r\n0\n\r\n",
		"5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\r\nX y\r\n\r\n", "5\r\nhello\r\n0\r\n X: y\r\n\r\n", "5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", "FFFFFFFFFFFFFFFFF" + rest, "8000000000000000" + rest, "FFFFFFFFFFFFFFFF" + rest,
		"00000000000000005" + rest, "5;" + strings.Repeat("a", 70<<10) + rest, "5\r\nhello\r\n0\r\n" + strings.Repeat("X: y\r\n", 5000) + "\r\n"} {
		if got := r.verdict(head + body + smuggled); len(got) != 1 || got[0] != 400 {
			t.Errorf("%.40q: %v, want one 400", body, got)
		}
	}
	for _, raw := range rec.all() {
		if strings.Contains(raw, "smuggled") || strings.HasSuffix(raw, "0\r\n\r\n") {
			t.Errorf("the upstream got %q", raw)
		}
	}
}

// TestBytesInHeads puts every byte into name, value, method and target of a
// head. What ends lines or is invisible is refused wherever it stands.
func TestBytesInHeads(t *testing.T) {
	t.Parallel()
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for b := range 256 {
		c := string([]byte{byte(b)})
		visible := b > ' ' && b < 0x7f
		for _, tt := range []struct {
			where, text string
			fine        bool
		}{
			{"a name", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nX" + c + "Y: z\r\nConnection: close\r\n\r\n", strings.Contains(token, c) || c == ":"},
			{"a value", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nX: y" + c + "z\r\nConnection: close\r\n\r\n", visible || c == " " || c == "\t" || b >= 0x80},
			{"the method", "G" + c + "T http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", strings.Contains(token, c)},
			{"the path", "GET http://127.0.0.1:1/a" + c + "b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", visible && c != "#" && c != "\\"},
			{"the version", "GET http://127.0.0.1:1/ HTTP/1." + c + "\r\nHost: a\r\nConnection: close\r\n\r\n", c == "1" || c == "0"},
			{"the end of a line", "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a" + c + "\nConnection: close\r\n\r\n", c == "\r"},
		} {
			got := r.verdict(tt.text)
			refused := len(got) == 1 && (got[0] == 400 || got[0] == 505)
			if tt.fine && (len(got) != 1 || got[0] != 200) || !tt.fine && !refused {
				t.Errorf("%q in %s: %v, accepted: %v", c, tt.where, got, tt.fine)
			}
		}
	}
}

// TestHosts: exactly one Host leaves, and it is the authority's.
func TestHosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ target, lines, host string }{
		{"http://example.com/", "Host: other.example\r\n", "example.com"},
		{"http://example.com:80/", "Host: example.com\r\n", "example.com:80"},
		{"http://EXAMPLE.com/", "Host: a\r\n", "EXAMPLE.com"},
		{"http://example.com/", "Host:\r\n", "example.com"},
		{"http://example.com/", "Host: 10.0.0.1\r\nX-Host: a\r\n", "example.com"},
		{"http://[2606:4700::1111]:8080/", "Host: x\r\n", "[2606:4700::1111]:8080"},
		{"http://example.com./", "Host: x\r\n", "example.com."},
	} {
		var rec recorder
		r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
		if got := r.verdict("GET " + tt.target + " HTTP/1.1\r\n" + tt.lines + "\r\n"); len(got) != 1 || got[0] != 200 {
			t.Errorf("%s %q: %v", tt.target, tt.lines, got)
			continue
		}
		raw := rec.all()[0]
		if strings.Count(strings.ToLower(raw), "\r\nhost:") != 1 || !strings.Contains(raw, "Host: "+tt.host+"\r\n") {
			t.Errorf("%s %q: the upstream got %q, want Host: %s alone", tt.target, tt.lines, raw, tt.host)
		}
	}
	r := newRig(t, gateway.Config{})
	for _, lines := range []string{"", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\n", "Host : a\r\n", "Host: a\r\nHost : b\r\n", "Host: a\x00\r\n", "Host: a\r\n b\r\n", "Hos\u0167: a\r\n"} {
		if got := r.verdict("GET http://example.com/ HTTP/1.1\r\n" + lines + "\r\n"); len(got) != 1 || got[0] != 400 {
			t.Errorf("%q: %v, want 400", lines, got)
		}
	}
}

// TestTargetsThatAreNotPublic asks for this machine and private networks in every
// spelling, on every protocol. Nobody is asked for an upstream.
func TestTargetsThatAreNotPublic(t *testing.T) {
	t.Parallel()
	p := &picker{changed: make(chan struct{})}
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p, Targets: proxy.AddrPolicy{}, Dialer: guarded(t)}, p)
	for _, host := range []string{"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "017700000001", "127.0.0.1.", "127.0.0.01", "127.000.000.001",
		"0", "0.0.0.0", "0x0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "2852039166", "0xa9fea9fe", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
		"localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "router.local", "metadata.google.internal", "metadata", "nas.lan", "x.home.arpa",
		"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]",
		"[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[::ffff:169.254.169.254]",
		"127.0.0.1%00.example.com", "127.0.0.1@example.com", "example.com@127.0.0.1", "127.0.0.1#example.com", "127.0.0.1\\example.com", "①②⑦.⓪.⓪.①", "127。0。0。1", "exa mple.com", "-", ".", "..", "a..b", ".example.com", "",
		"example.com:80:80", "[127.0.0.1]", "::1", "[::1", "::1]", "%31%32%37.0.0.1", "*", "example.com,127.0.0.1"} {
		if got := r.verdict("GET http://" + host + "/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); len(got) != 1 || got[0] != 400 && got[0] != 403 {
			t.Errorf("GET http://%s/: %v, want 400 or 403", host, got)
		}
		if got := r.verdict("CONNECT " + host + ":443 HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) != 1 || got[0] != 400 && got[0] != 403 {
			t.Errorf("CONNECT %s:443: %v, want 400 or 403", host, got)
		}
		w := r.conn()
		w.send("\x05\x01\x00\x05\x01\x00\x03" + string([]byte{byte(len(host))}) + host + "\x01\xbb")
		if got := w.rest(); len(got) != 12 || got[3] != 1 && got[3] != 2 {
			t.Errorf("SOCKS5 to the name %s: %q, want reply 1 or 2", host, got)
		}
		w = r.conn()
		w.send("\x04\x01\x01\xbb\x00\x00\x00\x01\x00" + host + "\x00")
		if got := w.rest(); len(got) != 8 || got[1] != 0x5b {
			t.Errorf("SOCKS4a to the name %s: %q, want reply 91", host, got)
		}
	}
	for _, bin := range []string{"\x01\x7f\x00\x00\x01", "\x01\x00\x00\x00\x00", "\x01\xa9\xfe\xa9\xfe", "\x04" + strings.Repeat("\x00", 15) + "\x01", "\x04" + strings.Repeat("\x00", 16),
		"\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01", "\x04\x00\x64\xff\x9b" + strings.Repeat("\x00", 8) + "\x7f\x00\x00\x01", "\x04\xfe\x80" + strings.Repeat("\x00", 13) + "\x01", "\x04\x20\x02\x7f\x00\x00\x01" + strings.Repeat("\x00", 10)} {
		w := r.conn()
		w.send("\x05\x01\x00\x05\x01\x00" + bin + "\x01\xbb")
		if got := w.rest(); len(got) != 12 || got[3] != 2 {
			t.Errorf("SOCKS5 to %q: %q, want reply 2", bin, got)
		}
	}
	if n := len(p.asked()); n != 0 {
		t.Errorf("%d upstreams were asked for", n)
	}
}

// TestSOCKSAtAnyCut breaks a SOCKS conversation off behind each byte: the
// connection ends and nothing stays, which goleak sees.
func TestSOCKSAtAnyCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{}, granting(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }))
	for _, all := range []string{"\x05\x02\x00\x02\x01\x03bob\x02pw\x05\x01\x00\x03\x0bexample.com\x01\xbb", "\x04\x01\x01\xbb\x00\x00\x00\x01bob\x00example.com\x00"} {
		for n := 1; n < len(all); n++ {
			w := r.conn()
			w.send(all[:n])
			_ = w.Conn.(*net.TCPConn).CloseWrite()
			if got := w.rest(); strings.Contains(got, "\x05\x00\x00\x01") || strings.HasPrefix(got, "\x00\x5a") {
				t.Errorf("after %d bytes: %q", n, got)
			}
		}
	}
	until(t, "all are gone", func() bool { n, _, _ := r.g.Counts(); return n == 0 })
}

// TestDripIsCut: a body that hardly moves is not waited for for ever.
func TestDripIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{Timeouts: gateway.Timeouts{Total: 300 * time.Millisecond}}, answering(t, proxy.HTTP, okAnswer))
	w := r.conn()
	w.send("GET http://example.com/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(w.Conn, "x"); err != nil {
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	if p, _ := w.answer("GET"); p.StatusCode != 408 {
		t.Errorf("answer %v, want 408", p.Status)
	}
	close(stop)
	<-done
	if got := gateway.Drips(1<<20, 4<<10, 60); !slices.Equal(got, []bool{false, false, true}) {
		t.Errorf("bodies of 1 MiB, 4 KiB and 60 bytes a minute are ended: %v", got)
	}
}
