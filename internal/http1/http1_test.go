package http1_test

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"freeway/internal/http1"
)

func reader(s string) *bufio.Reader { return bufio.NewReaderSize(strings.NewReader(s), 64) }

func TestReadRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want http1.Request
	}{
		{"GET / HTTP/1.1\r\n\r\n", http1.Request{Method: "GET", Target: "/", Minor: 1, Header: http1.Header{}}},
		{"\r\nGET / HTTP/1.0\r\nHost:a\r\n\r\n", http1.Request{Method: "GET", Target: "/", Header: http1.Header{{Name: "Host", Value: "a"}}}},
		{"M-SEARCH http://a/%20?q=[1] HTTP/1.1\r\nA: \t b c \t\r\nA:\r\nb: \xff\r\n\r\nrest", http1.Request{Method: "M-SEARCH", Target: "http://a/%20?q=[1]", Minor: 1,
			Header: http1.Header{{Name: "A", Value: "b c"}, {Name: "A"}, {Name: "b", Value: "\xff"}}}},
		{"GET / HTTP/1.1\r\nLong: " + strings.Repeat("x", 500) + "\r\n\r\n", http1.Request{Method: "GET", Target: "/", Minor: 1,
			Header: http1.Header{{Name: "Long", Value: strings.Repeat("x", 500)}}}},
	} {
		for name, r := range map[string]*bufio.Reader{"at once": reader(c.in), "bytewise": bufio.NewReader(iotest.OneByteReader(strings.NewReader(c.in)))} {
			got, err := http1.ReadRequest(r, 1000)
			if err != nil {
				t.Errorf("%s: ReadRequest(%.60q): %v", name, c.in, err)
				continue
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Errorf("%s: ReadRequest(%.60q):\n%s", name, c.in, diff)
			}
			again, err := http1.ReadRequest(reader(string(got.AppendTo(nil))), 1000)
			if err != nil || cmp.Diff(got, again) != "" {
				t.Errorf("what was written reads as %+v, %v, want %+v", again, err, got)
			}
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	t.Parallel()
	for in, status := range map[string]int{
		"GET / HTTP/1.1\n\r\n": 400, "GET /\r\n\r\n": 400, "GET  / HTTP/1.1\r\n\r\n": 400, "G@T / HTTP/1.1\r\n\r\n": 400, " GET / HTTP/1.1\r\n\r\n": 400,
		"GET /\x7f HTTP/1.1\r\n\r\n": 400, "GET / http/1.1\r\n\r\n": 400, "GET / HTTP/1.1 \r\n\r\n": 400, "GET / HTTP/11\r\n\r\n": 400, "GET / HTTP/2.0\r\n\r\n": 505,
		"GET / HTTP/1.2\r\n\r\n": 505, "\r\n\r\nGET / HTTP/1.1\r\n\r\n": 400, "GET / HTTP/1.1\r\n A: b\r\n\r\n": 400, "GET / HTTP/1.1\r\nA\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nA : b\r\n\r\n": 400, "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n": 400, "GET / HTTP/1.1\r\nA: \x01\r\n\r\n": 400, "GET / HTTP/1.1\r\nhost_: a\r\nHost: b\r\nCONTENT_LENGTH: 1\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 1000) + "\r\n\r\n": 431, strings.Repeat("x", 2000): 431, "GET / HTTP/1.1\r\n\r": 0, "GET": 0,
	} {
		_, err := http1.ReadRequest(reader(in), 1000)
		var e *http1.Error
		switch {
		case status == 0 && !errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("ReadRequest(%.60q) = %v, want an unexpected end", in, err)
		case status != 0 && (!errors.As(err, &e) || e.Status != status):
			t.Errorf("ReadRequest(%.60q) = %v, want status %d", in, err, status)
		}
	}
	if _, err := http1.ReadRequest(reader(""), 1000); !errors.Is(err, io.EOF) {
		t.Errorf("ReadRequest of nothing = %v, want EOF", err)
	}
}

// TestEarlyRefusal: what is no request is refused although its sender sends no more.
func TestEarlyRefusal(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "*1\r\n$4\r\nPING\r\n"} {
		pr, pw := io.Pipe()
		defer pw.Close()
		go func() { _, _ = io.WriteString(pw, in) }()
		if _, err := http1.ReadRequest(bufio.NewReader(pr), 1000); err == nil {
			t.Errorf("%q is taken for a request", in)
		}
	}
	pr2, pw2 := io.Pipe()
	defer pw2.Close()
	go func() { _, _ = io.WriteString(pw2, "220 ftp ready") }()
	if _, err := http1.ReadResponse(bufio.NewReader(pr2), 1000); err == nil {
		t.Error("a banner is taken for an answer")
	}
}

func TestReadResponse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]http1.Response{
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\n":            {Minor: 1, Status: 200, Reason: "OK", Header: http1.Header{{Name: "A", Value: "b"}}},
		"HTTP/1.0 404\n\n":                           {Status: 404, Header: http1.Header{}},
		"HTTP/1.1 200 \nA : b\n\tc\n\n":              {Minor: 1, Status: 200, Header: http1.Header{{Name: "A", Value: "b c"}}},
		"HTTP/1.9 299 Fully \xe9 done\r\nA:\r\n\r\n": {Minor: 1, Status: 299, Reason: "Fully \xe9 done", Header: http1.Header{{Name: "A"}}},
	} {
		got, err := http1.ReadResponse(reader(in), 1000)
		if err != nil || cmp.Diff(want, *got) != "" {
			t.Errorf("ReadResponse(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "HTTP/1.1 200 OK\r\n folded\r\n\r\n", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1000) + "\r\n\r\n"} {
		_, err := http1.ReadResponse(reader(in), 1000)
		if e := (*http1.Error)(nil); !errors.As(err, &e) || e.Status != 502 {
			t.Errorf("ReadResponse(%.60q) = %v, want a 502", in, err)
		}
	}
}

func TestBodyKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		head, method string
		want         http1.Framing
		bad          bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "GET", http1.Framing{Kind: http1.Length, Length: 5}, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "HEAD", http1.Framing{}, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "CONNECT", http1.Framing{}, false},
		{"HTTP/1.1 407 No\r\nContent-Length: 5\r\n", "CONNECT", http1.Framing{Kind: http1.Length, Length: 5}, false},
		{"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n", "GET", http1.Framing{}, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n", "GET", http1.Framing{Kind: http1.Chunked}, false},
		{"HTTP/1.1 200 OK\r\n", "GET", http1.Framing{Kind: http1.UntilClose}, false},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", "GET", http1.Framing{}, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n", "GET", http1.Framing{}, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n", "GET", http1.Framing{}, true},
	} {
		p, err := http1.ReadResponse(reader(c.head+"\r\n"), 1000)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.BodyKind(c.method)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("BodyKind(%s) of %q = %+v, %v, want %+v", c.method, c.head, got, err, c.want)
		}
	}
	q, _ := http1.ReadRequest(reader("GET / HTTP/1.1\r\n\r\n"), 1000)
	if f, err := q.BodyKind(); f.Kind != http1.NoBody || err != nil {
		t.Errorf("BodyKind of a GET = %+v, %v", f, err)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	chunked := http1.Framing{Kind: http1.Chunked}
	for _, c := range []struct {
		in   string
		f    http1.Framing
		want string
		end  error // nil: clean
		rest string
	}{
		{"hello world", http1.Framing{Kind: http1.Length, Length: 5}, "hello", nil, " world"},
		{"hell", http1.Framing{Kind: http1.Length, Length: 5}, "hell", http1.ErrTruncated, ""},
		{"", http1.Framing{Kind: http1.Length}, "", nil, ""},
		{"x", http1.Framing{}, "", nil, "x"},
		{"all of it", http1.Framing{Kind: http1.UntilClose}, "all of it", nil, ""},
		{"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\nA: b\r\n\r\nrest", chunked, "hello world", nil, "rest"},
		{"0\r\n\r\nrest", chunked, "", nil, "rest"},
		{"5\r\nhello\r\n", chunked, "hello", http1.ErrTruncated, ""},
		{"5\r\nhel", chunked, "hel", http1.ErrTruncated, ""},
		{"5\r\nhello\r\n0\r\n", chunked, "hello", http1.ErrTruncated, ""},
	} {
		for name, src := range map[string]io.Reader{"at once": strings.NewReader(c.in), "bytewise": iotest.OneByteReader(strings.NewReader(c.in)), "with EOF": iotest.DataErrReader(strings.NewReader(c.in))} {
			r := bufio.NewReader(src)
			b := http1.NewBody(r, c.f)
			got, err := io.ReadAll(b)
			rest, _ := io.ReadAll(r)
			if string(got) != c.want || !errors.Is(err, c.end) || c.end == nil && string(rest) != c.rest {
				t.Errorf("%s: body of %q = %q, %v, rest %q, want %q, %v, %q", name, c.in, got, err, rest, c.want, c.end, c.rest)
			}
			if done := b.Done(); done != (c.end == nil && c.f.Kind != http1.UntilClose) {
				t.Errorf("%s: body of %q: Done() = %v", name, c.in, done)
			}
		}
	}
}

func TestBodyRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"x\r\n", "\r\n", "-1\r\n", "0x1\r\na\r\n", "1\na\r\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1000000000000000\r\n", "1;\x00\r\na\r\n", "1 2\r\na\r\n", "0\r\nbad trailer\r\n\r\n",
		"0\r\nA: b\n\r\n", "1;" + strings.Repeat("x", 5000) + "\r\na\r\n", strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 20) + "0\r\n\r\n", "0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 20) + "\r\n"} {
		_, err := io.ReadAll(http1.NewBody(bufio.NewReaderSize(strings.NewReader(in), 8192), http1.Framing{Kind: http1.Chunked}))
		if e := (*http1.Error)(nil); !errors.As(err, &e) {
			t.Errorf("body of %.60q: %v, want an *Error", in, err)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	h := http1.Header{{Name: "A", Value: "1"}, {Name: "b", Value: "x, Y,,"}, {Name: "a", Value: "2"}, {Name: "B", Value: "z"}}
	if got := h.Values("a"); cmp.Diff(got, []string{"1", "2"}) != "" || h.Get("B") != "x, Y,," || !h.Has("b") || h.Has("c") || h.Count("a") != 2 {
		t.Errorf("Values = %v", got)
	}
	if !h.HasToken("b", "y") || !h.HasToken("b", "Z") || h.HasToken("b", "") {
		t.Error("HasToken is wrong")
	}
	c := h.Clone()
	c.Set("a", "3")
	c.Set("new", "4")
	c.Del("B")
	if want := (http1.Header{{Name: "A", Value: "3"}, {Name: "new", Value: "4"}}); cmp.Diff(want, c) != "" || len(h) != 4 {
		t.Errorf("after changes %v, the original %v", c, h)
	}
	if http1.EqualFold("\u212aey", "key") || !http1.EqualFold("KEY", "key") {
		t.Error("EqualFold is not plain ASCII")
	}
}

func TestChunkedWriter(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := http1.NewChunkedWriter(&b)
	for _, s := range []string{"hello", "", strings.Repeat("x", 26)} {
		if n, err := io.WriteString(w, s); n != len(s) || err != nil {
			t.Errorf("Write(%q) = %d, %v", s, n, err)
		}
	}
	_ = w.Close()
	if want := "5\r\nhello\r\n1a\r\n" + strings.Repeat("x", 26) + "\r\n0\r\n\r\n"; b.String() != want {
		t.Errorf("written %q, want %q", b.String(), want)
	}
}

// FuzzReadRequest: what is accepted reads the same after it was written.
func FuzzReadRequest(f *testing.F) {
	f.Add("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	f.Add("POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA:\tb \r\n\r\n")
	f.Add("\r\nGET / HTTP/1.0\r\nA: b\r\n c\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		q, err := http1.ReadRequest(reader(in), 4096)
		if err != nil {
			return
		}
		out := string(q.AppendTo(nil))
		again, err := http1.ReadRequest(reader(out), 8192)
		if err != nil || cmp.Diff(q, again) != "" {
			t.Errorf("%q was written as %q and reads as %+v, %v", in, out, again, err)
		}
		if strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n\x00") {
			t.Errorf("control characters in %q", out)
		}
		_, _ = q.BodyKind()
	})
}

// FuzzReadResponse is the same for answers: what was cleaned stays clean.
func FuzzReadResponse(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
	f.Add("HTTP/1.0 200\nA : b\n c\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := http1.ReadResponse(reader(in), 4096)
		if err != nil {
			return
		}
		out := string(p.AppendTo(nil))
		again, err := http1.ReadResponse(reader(out), 16384)
		if err != nil || cmp.Diff(p, again) != "" {
			t.Errorf("%q was written as %q and reads as %+v, %v", in, out, again, err)
		}
		if strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n\x00") {
			t.Errorf("control characters in %q", out)
		}
		_, _ = p.BodyKind("GET")
	})
}

// FuzzChunked: what is accepted reads the same from its normal form, and never
// depends on how the bytes arrive.
func FuzzChunked(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\n\r\n")
	f.Add("5;x\r\nhello\r\n00\r\nA: b\r\n\r\nrest")
	f.Fuzz(func(t *testing.T, in string) {
		read := func(r io.Reader) (string, error) {
			b, err := io.ReadAll(http1.NewBody(bufio.NewReader(r), http1.Framing{Kind: http1.Chunked}))
			return string(b), err
		}
		body, err := read(strings.NewReader(in))
		slow, slowErr := read(iotest.OneByteReader(strings.NewReader(in)))
		if body != slow || (err == nil) != (slowErr == nil) {
			t.Errorf("%q reads as %q, %v at once and %q, %v bytewise", in, body, err, slow, slowErr)
		}
		if err != nil {
			return
		}
		var b strings.Builder
		w := http1.NewChunkedWriter(&b)
		_, _ = io.WriteString(w, body)
		_ = w.Close()
		if again, err := read(strings.NewReader(b.String())); err != nil || again != body {
			t.Errorf("normal form %q reads as %q, %v", b.String(), again, err)
		}
	})
}

func BenchmarkReadRequest(b *testing.B) {
	const head = "GET http://www.example.com/some/path?query=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
		"Accept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\nProxy-Connection: keep-alive\r\n\r\n"
	src := strings.NewReader(head)
	r := bufio.NewReader(src)
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		src.Reset(head)
		r.Reset(src)
		if _, err := http1.ReadRequest(r, 64<<10); err != nil {
			b.Fatal(err)
		}
	}
}
