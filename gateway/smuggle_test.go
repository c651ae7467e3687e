package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// recorder is an upstream that keeps the raw bytes of each connection and
// answers every head with 200.
type recorder struct {
	mu  sync.Mutex
	raw []string // one for each connection
}

func (rec *recorder) upstream(t *testing.T, answer string) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) {
		rec.mu.Lock()
		i := len(rec.raw)
		rec.raw = append(rec.raw, "")
		rec.mu.Unlock()
		buf := make([]byte, 64<<10)
		seen := ""
		for {
			n, err := c.Conn.Read(buf)
			seen += string(buf[:n])
			rec.mu.Lock()
			rec.raw[i] = seen
			rec.mu.Unlock()
			if whole(seen) {
				_, _ = io.WriteString(c.Conn, answer)
			}
			if err != nil {
				return
			}
		}
	})
}

// whole reports whether a request with its body has arrived.
func whole(s string) bool {
	head, body, ok := strings.Cut(s, "\r\n\r\n")
	switch {
	case !ok:
		return false
	case strings.Contains(head, "chunked"):
		return strings.HasSuffix(body, "0\r\n\r\n")
	case strings.Contains(head, "Content-Length: 5"):
		return len(body) >= 5
	}
	return true
}

func (rec *recorder) all() []string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]string(nil), rec.raw...)
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// TestRefusedHeads sends what is ambiguous: 4xx and a closed connection, and
// not one byte to an upstream.
func TestRefusedHeads(t *testing.T) {
	t.Parallel()
	const post = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
	const get = "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
	status := map[string]int{}
	cases := map[string]string{
		"length and coding": post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding and length": post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"two lengths":       post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"two hosts":         "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"no host":           "GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n",
		"Max-Forwards":      "OPTIONS http://8.8.8.8/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n",
		"Host a:b:c":        "GET http://8.8.8.8/ HTTP/1.1\r\nHost: a:b:c\r\n\r\n",
		"Host a:x":          "GET http://8.8.8.8/ HTTP/1.1\r\nHost: a:x\r\n\r\n",
		"Host %zz":          "GET http://8.8.8.8/ HTTP/1.1\r\nHost: %zz\r\n\r\n",
		"Host [::1":         "GET http://8.8.8.8/ HTTP/1.1\r\nHost: [::1\r\n\r\n",
		"Host [zz]":         "GET http://8.8.8.8/ HTTP/1.1\r\nHost: [zz]\r\n\r\n",
		"Host [::1]x":       "GET http://8.8.8.8/ HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
		"Host ::1":          "GET http://8.8.8.8/ HTTP/1.1\r\nHost: ::1\r\n\r\n",
		"Host a]":           "GET http://8.8.8.8/ HTTP/1.1\r\nHost: a]\r\n\r\n",
		"bare LF":           "GET http://127.0.0.1:1/ HTTP/1.1\nHost: a\n\n",
		"bare LF in header": get + "A: b\nC: d\r\n\r\n",
		"bare CR":           get + "A: b\rC: d\r\n\r\n",
		"NUL":               get + "A: b\x00c\r\n\r\n",
		"folded":            get + "A: b\r\n c\r\n\r\n",
		"blank before :":    get + "A : b\r\n\r\n",
		"no colon":          get + "nonsense\r\n\r\n",
		"empty name":        get + ": b\r\n\r\n",
		"space in front":    "GET http://127.0.0.1:1/ HTTP/1.1\r\n Host: a\r\n\r\n",
		"userinfo":          "GET http://user@127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"fragment":          "GET http://127.0.0.1:1/#x HTTP/1.1\r\nHost: a\r\n\r\n",
		"backslash":         "GET http://127.0.0.1:1\\@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"tab in target":     "GET http://127.0.0.1:1/\ta HTTP/1.1\r\nHost: a\r\n\r\n",
		"0xff in target":    "GET http://127.0.0.1:1/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
		"two spaces":        "GET  http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/0.9":          "GET http://127.0.0.1:1/\r\n\r\n",
		"HTTP/1.10":         "GET http://127.0.0.1:1/ HTTP/1.10\r\nHost: a\r\n\r\n",
		"HTTP/2 preface":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"PROXY line":        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
		"TLS":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"https":             "GET https://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"ftp":               "GET ftp://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"origin form":       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"asterisk":          "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"chunked in 1.0":    "POST http://127.0.0.1:1/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two colons":        "GET http://::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"bracket":           "GET http://[127.0.0.1]:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"percent host":      "GET http://127.0.0.1%3a1/ HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	for _, v := range []string{"+3", "-1", "0x3", "3, 3", "", "18446744073709551619", "3 3", "٣", "3;", "\"3\""} {
		cases["length "+v] = post + "Content-Length: " + v + "\r\n\r\nabc"
	}
	for _, v := range []string{"xchunked", "chunked, chunked", "gzip, chunked", "chunked, identity", "identity", "chunked;q=1",
		"\"chunked\"", "chun\u212aed", "chunked\x0b", "\x0bchunked", "chunked\x00", "chunked,", ",chunked", "", "chunke", "chunked chunked", "\xa0chunked"} {
		cases["coding "+v] = post + "Transfer-Encoding: " + v + "\r\n\r\n0\r\n\r\n"
	}
	for _, n := range []string{"Transfer_Encoding", "transfer-encoding ", "Transfer-Encoding\x0b", "Content_Length", "Proxy_Authorization", "Freeway_Options", "\x00Transfer-Encoding"} {
		cases["name "+n] = post + n + ": chunked\r\n\r\n0\r\n\r\n"
	}
	for _, v := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:-1", "127.0.0.1:99999", "http://127.0.0.1:1/",
		"user@127.0.0.1:1", "127.0.0.1:1/", "127.0.0.1:01", "[127.0.0.1]:1", "::1:1", "a b:1", "/", "*", "1.2.3:1", "0x7f.1:1"} {
		cases["CONNECT "+v] = "CONNECT " + v + " HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	cases["CONNECT CRLF"] = "CONNECT 127.0.0.1:1\r\nX: y HTTP/1.1\r\nHost: a\r\n\r\n"
	cases["too long"] = get + "A: " + strings.Repeat("b", 70<<10) + "\r\n\r\n"
	cases["too many"] = get + strings.Repeat("a:\r\n", 20_000) + "\r\n"
	cases["ends here"] = "TRACE http://8.8.8.8/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"
	status["too long"], status["too many"], status["ends here"] = 431, 431, 501
	var rec recorder
	r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
	for name, text := range cases {
		w := r.conn()
		go func() { _, _ = io.WriteString(w.Conn, text) }()
		p, _, err := w.tryAnswer("GET")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := status[name]
		if want == 0 {
			want = 400
		}
		if p.StatusCode != want || p.Header.Get("Freeway-Error") == "" || p.Header.Get("Proxy-Status") == "" {
			t.Errorf("%s: %v %v, want %d", name, p.Status, p.Header, want)
		}
	}
	if raw := rec.all(); len(raw) != 0 {
		t.Errorf("bytes reached an upstream: %q", raw)
	}
}

// TestRefusedBodies sends chunked bodies that are broken. Nothing of what
// follows the mistake may come through, and the connection ends.
func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	const head = "POST http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	const smuggled = "GET http://127.0.0.1:1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, body := range map[string]string{
		"0x": "0x5\r\nhello\r\n0\r\n\r\n", "underscore": "0_5\r\nhello\r\n0\r\n\r\n", "17 digits": "00000000000000005\r\nhello\r\n0\r\n\r\n",
		"no CRLF": "5\r\nhello0\r\n\r\n", "LF": "5\nhello\r\n0\r\n\r\n", "LF in extension": "5;a\nb\r\nhello\r\n0\r\n\r\n",
		"70 KB extension": "5;" + strings.Repeat("x", 70<<10) + "\r\nhello\r\n0\r\n\r\n", "negative": "-5\r\nhello\r\n0\r\n\r\n",
		"bad trailer": "0\r\nno colon\r\n\r\n", "plus": "+5\r\nhello\r\n0\r\n\r\n", "empty": "\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
			w := r.conn()
			go func() { _, _ = io.WriteString(w.Conn, head+body+smuggled) }()
			p, _, err := w.tryAnswer("POST")
			if err != nil || p.StatusCode != 400 {
				t.Errorf("answer %v, %v, want 400", p, err)
			}
			for _, raw := range rec.all() {
				if strings.Contains(raw, "smuggled") || strings.HasSuffix(raw, "0\r\n\r\n") {
					t.Errorf("the upstream got %q", raw)
				}
			}
			if o := r.p.outcomes(t, 1)[0]; o.Class != proxy.Canceled {
				t.Errorf("the upstream is blamed: %+v", o)
			}
		})
	}
}

// TestNormalForm shows what an upstream gets, byte for byte.
func TestNormalForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"spelling and order kept, one host",
			"GET HTTP://Example.com:80/a%2Fb?x=%41;&y HTTP/1.1\r\naccept:  */* \r\nHOST: other\r\nX-y: 1\r\n\r\n",
			"GET http://Example.com:80/a%2Fb?x=%41;&y HTTP/1.1\r\naccept: */*\r\nHost: Example.com:80\r\nX-y: 1\r\n\r\n"},
		{"all names in lower case", "POST http://example.com/ HTTP/1.1\r\nhost: example.com\r\ncontent-length: 1\r\n\r\na",
			"POST http://example.com/ HTTP/1.1\r\nhost: example.com\r\ncontent-length: 1\r\n\r\na"},
		{"odd names", "POST http://example.com/ HTTP/1.1\r\nhOST: example.com\r\ncontent-LENGTH: 1\r\n\r\na",
			"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\n\r\na"},
		{"IPv4 in IPv6", "GET http://[::ffff:8.8.8.8]/a HTTP/1.1\r\nHost: [::ffff:8.8.8.8]\r\n\r\n", "GET http://8.8.8.8/a HTTP/1.1\r\nHost: 8.8.8.8\r\n\r\n"},
		{"IPv4 in IPv6, port", "GET http://[::ffff:808:808]:81 HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://8.8.8.8:81/ HTTP/1.1\r\nHost: 8.8.8.8:81\r\n\r\n"},
		{"counted down", "OPTIONS http://example.com/ HTTP/1.1\r\nHost: example.com\r\nMax-Forwards: 5\r\n\r\n",
			"OPTIONS http://example.com/ HTTP/1.1\r\nHost: example.com\r\nMax-Forwards: 4\r\n\r\n"},
		{"not counted", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nMax-Forwards: 5\r\n\r\n",
			"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nMax-Forwards: 5\r\n\r\n"},
		{"no path", "GET http://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n", "GET http://example.com/?q HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{"HTTP/1.0", "GET http://example.com/ HTTP/1.0\r\nAccept: a\r\n\r\n", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nAccept: a\r\n\r\n"},
		{"hop by hop", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, X-Mine, Host, Content-Length\r\nX-Mine: 1\r\n" +
			"Keep-Alive: 5\r\nTE: trailers\r\nTrailer: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy-Connection: keep-alive\r\nProxy-Anything: 1\r\n" +
			"Via: 1.1 me\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX_Forwarded_Host: a\r\nX-Real-IP: 1.2.3.4\r\nFreeway-Tag: x\r\n" +
			"Client-IP: 1.2.3.4\r\nX-Client-IP: 1.2.3.4\r\nTrue_Client_IP: 1.2.3.4\r\nCF-Connecting-IP: 1.2.3.4\r\nX-Remote-IP: 1.2.3.4\r\nCookie: a=b\r\n\r\n",
			"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nCookie: a=b\r\n\r\n"},
		{"chunks", "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: Chunked\r\n\r\n003;x=\"y\"\r\nabc\r\n2  \r\nde\r\n0\r\nT: u\r\n\r\n",
			"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"},
		{"a GET with a chunked body is held", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"},
		{"length", "POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 005\r\nConnection: content-length\r\n\r\nhello",
			"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"},
		{"options", "OPTIONS http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n", "OPTIONS http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{"a blank line in front", "\r\nGET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var rec recorder
			r := newRig(t, gateway.Config{}, rec.upstream(t, okAnswer))
			w := r.conn()
			w.send(c.in)
			if p, body := w.answer("POST"); p.StatusCode != 200 || body != "ok" {
				t.Fatalf("answer %v %q", p.Status, body)
			}
			got := rec.all()[0]
			if c.name == "chunks" { // how the chunks are cut depends on how they arrive
				got = strings.NewReplacer("3\r\nabc\r\n2\r\nde\r\n", "5\r\nabcde\r\n").Replace(got)
			}
			if got != c.want {
				t.Errorf("upstream got\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestPipeliningInOrder(t *testing.T) {
	t.Parallel()
	o := origin(t)
	r := newRig(t, gateway.Config{}, honest(t))
	w := r.conn()
	all := ""
	for _, path := range []string{"/1", "/2", "/3", "/4"} {
		all += "GET " + o.URL + path + " HTTP/1.1\r\nHost: x\r\n\r\n"
	}
	w.send(all + "POST " + o.URL + "/5 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" + "GET " + o.URL + "/6 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	for _, want := range []string{"GET /1 ", "GET /2 ", "GET /3 ", "GET /4 ", "POST /5 hi", "GET /6 "} {
		if p, body := w.answer("GET"); p.StatusCode != http.StatusOK || body != want {
			t.Errorf("answer %v %q, want %q", p.Status, body, want)
		}
	}
	if rest := w.rest(); rest != "" {
		t.Errorf("after the last answer: %q", rest)
	}
}
