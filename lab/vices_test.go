package lab_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// fetch asks an HTTP upstream for a URL and returns the answer with its whole body as it came.
func fetch(t *testing.T, ep proxy.Endpoint, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	c := dialRaw(t, ep.Address())
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	io.WriteString(c, "GET "+url+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+strings.Join(append(header, ""), "\r\n")+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("GET %s by %s: %v", url, ep, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s by %s: %v", url, ep, err)
	}
	return res, body
}

func TestVicesOfPlainHTTP(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	page, bytes5000 := l.HTTPName()+"/html", l.HTTPName()+"/bytes/5000"
	for _, tt := range []struct {
		as     lab.Behaviour
		url    string
		header string // name and value that the answer must have
		has    string // what the body must hold
		length int    // of the body; 0: any
		status int
	}{
		{lab.Inject, page, "", "ads.lab.test", 0, 200},
		{lab.Inject, bytes5000, "", "", 5000, 200},
		{lab.Cookies, page, "Set-Cookie: track=1; Path=/", "Nothing may be added", 0, 200},
		{lab.CutLong, bytes5000, "", "", lab.CutLongAt, 200},
		{lab.CutLong, page, "", "</html>", 0, 200},
		{lab.StaleEdge, "http://judge.lab.test/get?nonce=1", "X-Cache: HIT", `"args":{}`, 0, 200},
		{lab.OwnEdge, "http://judge.lab.test/get?nonce=1", "", `"nonce":"1"`, 0, 200},
		{lab.OwnEdge, "http://judge.other.test/get?nonce=1", "Server: edge", "1034", 0, 403},
		{lab.Compress, page, "Content-Encoding: gzip", "", 0, 200},
		{lab.Marked, page, "X-Cache: MISS from lab", "Nothing may be added", 0, 200},
	} {
		t.Run(tt.as.String(), func(t *testing.T) {
			res, body := fetch(t, add(t, l, lab.Upstream{Behaviour: tt.as}), tt.url)
			name, value, _ := strings.Cut(tt.header, ": ")
			if res.StatusCode != tt.status || res.Header.Get(name) != value || !bytes.Contains(body, []byte(tt.has)) || tt.length > 0 && len(body) != tt.length {
				t.Errorf("%s is answered %d %v, %d bytes: %.200q", tt.url, res.StatusCode, res.Header, len(body), body)
			}
		})
	}
}

func TestEdgesHaveNoTunnels(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, as := range []lab.Behaviour{lab.StaleEdge, lab.OwnEdge} {
		if _, _, status := connectVia(t, add(t, l, lab.Upstream{Behaviour: as}), "www.lab.test:443"); !strings.HasPrefix(status, "405") {
			t.Errorf("%s answers CONNECT with %s, want 405", as, status)
		}
	}
}

// TestForger: its answers look right to whoever has no key.
func TestForger(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	ep := add(t, l, lab.Upstream{Behaviour: lab.Forger})
	_, body := fetch(t, ep, "http://judge.lab.test/?nonce=1")
	seen, kind, err := judge.Read(body)
	if err != nil || kind != judge.Own || seen.Remote == ep.Addr() || seen.Signed {
		t.Errorf("the answer reads as %+v, %v, %v, want another exit and no error", seen, kind, err)
	}
	if judge.Verify(body, l.JudgeKey()) == nil {
		t.Error("the forged answer has a valid HMAC")
	}
}

func TestCompressKeepsThePage(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	_, body := fetch(t, add(t, l, lab.Upstream{Behaviour: lab.Compress}), l.HTTPName()+"/html")
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if page, err := io.ReadAll(r); err != nil || !bytes.Contains(page, []byte("Nothing may be added")) {
		t.Errorf("the compressed page is %q, %v", page, err)
	}
}
