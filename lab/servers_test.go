package lab_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"freeway/internal/judge"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// direct is a client without a proxy.
func direct(t *testing.T, l *lab.Lab) *http.Client {
	t.Helper()
	d := &net.Dialer{Timeout: 10 * time.Second, Control: loopback.Guard(t)}
	tr := &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: l.Roots()}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestHits(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode})
		ep := add(t, l, lab.Upstream{})
		c := through(t, l, ep, "")
		for _, id := range []string{"a", "b", "a", "a"} {
			res, err := c.Post(l.HTTPTarget()+"/echo?id="+id, "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		if n := l.DirectHits(); n != 0 {
			t.Errorf("%s: %d direct hits before there is one", mode, n)
		}
		for _, base := range []string{l.HTTPTarget(), l.HTTPSTarget()} {
			if _, ip, err := get(direct(t, l), base+"/ip"); err != nil || string(ip) != "127.0.0.1\n" {
				t.Errorf("%s: the direct address is %q, %v", mode, ip, err)
			}
		}
		h := l.Hits()
		exit := netip.MustParseAddr(exitOf(l, ep))
		if h.Direct != 2 || h.Connections != 4 || h.Requests != 6 || h.Exits[exit] != 4 || h.Posts["a"] != 3 || h.Duplicates != 1 {
			t.Errorf("%s: hits = %+v, want 2 direct, 4 connections, 6 requests, 4 from %s, a 3 times, 1 duplicate", mode, h, exit)
		}
		var served lab.Hits
		_, body, err := get(c, l.HTTPTarget()+"/hits")
		if err != nil || json.Unmarshal(body, &served) != nil || served.Requests != 6 {
			t.Errorf("%s: /hits = %s, %v", mode, body, err)
		}
	}
}

// TestDirectHitsUnderLoad: classification does not depend on who is faster, dial or accept.
func TestDirectHitsUnderLoad(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Addressing: lab.PerPort})
	done := make(chan struct{})
	for range 8 {
		c := through(t, l, add(t, l, lab.Upstream{Protocol: proxy.SOCKS5}), "")
		c.Transport.(*http.Transport).DisableKeepAlives = true
		go func() {
			defer func() { done <- struct{}{} }()
			for range 50 {
				if _, _, err := get(c, l.HTTPTarget()+"/bytes/10"); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for range 8 {
		<-done
	}
	if h := l.Hits(); h.Direct != 0 || h.Connections != 400 {
		t.Errorf("%d direct and %d connections, want 0 and 400", h.Direct, h.Connections)
	}
}

func TestTargetPaths(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	c := direct(t, l)
	for _, tt := range []struct {
		path   string
		status int
		body   string // "" for any
	}{
		{"/", 200, ""}, {"/html", 200, ""}, {"/bytes/0", 200, ""}, {"/bytes/-1", 400, ""}, {"/bytes/x", 400, ""}, {"/bytes/99999999999", 400, ""},
		{"/status/503?retry_after=7", 503, ""}, {"/status/99", 400, ""}, {"/status/600", 400, ""}, {"/nothing", 404, ""},
		{"/slow?delay=1ms", 200, "at last\n"}, {"/slow?delay=-1s", 400, ""}, {"/slow?delay=99h", 400, ""},
		{"/drip?n=5&delay=1ms", 200, string(lab.Bytes(5, "drip"))}, {"/drip?n=x", 400, ""}, {"/drip?delay=x", 400, ""},
	} {
		res, body, err := get(c, l.HTTPSTarget()+tt.path)
		if err != nil || res.StatusCode != tt.status || tt.body != "" && string(body) != tt.body {
			t.Errorf("%s = %v, %q, %v, want %d", tt.path, res, body, err, tt.status)
		}
		if sum := res.Header.Get("Lab-Sha256"); sum != "" {
			if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != sum {
				t.Errorf("%s: the hash in the header does not fit the body", tt.path)
			}
		}
		if strings.Contains(tt.path, "retry_after") && res.Header.Get("Retry-After") != "7" {
			t.Errorf("%s: no Retry-After", tt.path)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	a := lab.Bytes(1000, "s")
	if !bytes.Equal(a[:10], lab.Bytes(10, "s")) || bytes.Equal(a, lab.Bytes(1000, "t")) || len(lab.Bytes(0, "")) != 0 {
		t.Error("Bytes is not one stream per seed")
	}
}

func TestJudges(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode})
		ep := add(t, l, lab.Upstream{Behaviour: lab.Transparent})
		via := through(t, l, ep, "")
		exit := exitOf(l, ep)
		for _, tt := range []struct {
			c         *http.Client
			url, seen string
		}{
			{direct(t, l), l.JudgeHTTP() + "/?nonce=1", "127.0.0.1"},
			{direct(t, l), l.JudgeHTTPS() + "/?nonce=1", "127.0.0.1"},
			{via, l.JudgeHTTP() + "/?nonce=1", exit},
			{via, l.JudgeHTTPS() + "/?nonce=1", exit},
			{via, "http://judge.lab.test/?nonce=1", exit},
			{via, "https://judge.other.test/?nonce=1", exit},
			{via, "http://judge.other.test/get?nonce=1", exit},
		} {
			_, body, err := get(tt.c, tt.url)
			if err != nil {
				t.Errorf("%s %s: %v", mode, tt.url, err)
				continue
			}
			s, kind, err := judge.Read(body)
			if err != nil || s.Remote.String() != tt.seen || s.Nonce != "1" || s.TLS != strings.HasPrefix(tt.url, "https") {
				t.Errorf("%s %s: %+v, %v, want remote %s and nonce 1", mode, tt.url, s, err, tt.seen)
			}
			if (kind == judge.HTTPBin) != strings.Contains(tt.url, "/get") {
				t.Errorf("%s %s: kind %s", mode, tt.url, kind)
			}
			if err := judge.Verify(body, l.JudgeKey()); kind == judge.Own && err != nil {
				t.Errorf("%s %s: %v", mode, tt.url, err)
			}
			if xff := s.Get("X-Forwarded-For"); (xff == "127.0.0.1") != (tt.seen == exit && !s.TLS) {
				t.Errorf("%s %s: X-Forwarded-For is %q", mode, tt.url, xff)
			}
		}
		if n := l.DirectHits(); n != 0 {
			t.Errorf("%s: visits to judges count as %d direct hits", mode, n)
		}
	}
}

func TestCheatsFailAtTheJudge(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, as := range []lab.Behaviour{lab.Tamper, lab.LyingExit, lab.CutBody, lab.LoginPage} {
		c := through(t, l, add(t, l, lab.Upstream{Behaviour: as}), "")
		_, body, err := get(c, "http://judge.lab.test/?nonce=7")
		if err != nil {
			t.Errorf("%s: %v", as, err)
			continue
		}
		if s, _, err := judge.Read(body); err == nil {
			t.Errorf("%s: the judge's answer reads as %+v", as, s)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Upstreams: 40, Mix: []lab.Share{{Behaviour: lab.Healthy, Weight: 1}}})
	c := direct(t, l)
	urls := l.ListURLs()
	if len(urls) != 6 {
		t.Fatalf("%d lists, want 6", len(urls))
	}
	lines := func(url string) []string {
		_, body, err := get(c, url)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(body))
	}
	all := lines(urls[4])
	byProtocol := 0
	for _, u := range urls[:4] {
		byProtocol += len(lines(u))
	}
	if len(all) != 40 || byProtocol != 40 || len(lines(urls[5])) != 10 {
		t.Errorf("lists have %d, %d and %d entries, want 40, 40 and 10", len(all), byProtocol, len(lines(urls[5])))
	}
	for i, tr := range l.Truth() {
		if all[i] != tr.Endpoint.String() {
			t.Errorf("entry %d is %s, want %s", i, all[i], tr.Endpoint)
		}
	}
}

func TestListsHaveETags(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Upstreams: 5})
	c := direct(t, l)
	url := l.ListURLs()[4]
	fetch := func(match string) *http.Response {
		req, _ := http.NewRequest("GET", url, nil)
		if match != "" {
			req.Header.Set("If-None-Match", match)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res
	}
	tag := fetch("").Header.Get("ETag")
	if tag == "" || fetch(tag).StatusCode != http.StatusNotModified || fetch(`"other"`).StatusCode != 200 {
		t.Errorf("ETag %q is not honoured", tag)
	}
	add(t, l, lab.Upstream{})
	if res := fetch(tag); res.StatusCode != 200 || res.Header.Get("ETag") == tag {
		t.Errorf("after a change: %d with ETag %s", res.StatusCode, res.Header.Get("ETag"))
	}
}

func TestAdminPages(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Upstreams: 30})
	c := direct(t, l)
	base := strings.TrimSuffix(l.TruthURL(), "/truth.json")
	for path, want := range map[string]string{
		"/": l.HTTPTarget(), "/ca.pem": string(l.CAPEM()), "/hits.json": `"direct":0`, "/truth.json": `"up_since"`,
	} {
		if res, body, err := get(c, base+path); err != nil || res.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %v, %v, want %q in it", path, res, err, want)
		}
	}
	var truth []lab.Truth
	_, body, _ := get(c, l.TruthURL())
	if err := json.Unmarshal(body, &truth); err != nil || len(truth) != 30 || truth[0].Endpoint != l.Truth()[0].Endpoint {
		t.Errorf("truth.json has %d entries, %v", len(truth), err)
	}
}
