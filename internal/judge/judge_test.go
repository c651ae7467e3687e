package judge_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"freeway/internal/judge"
)

const key = "0123456789abcdef"

// ask sends one request to a judge and returns the body.
func ask(t *testing.T, opt judge.Options, r *http.Request) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	judge.Handler(opt).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.Bytes()
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "198.51.100.7:1234"
	r.Header.Set("User-Agent", "test")
	r.Header.Add("Via", "1.1 a")
	r.Header.Add("Via", "1.0 b")
	return r
}

func TestHandlerTellsWhatItSaw(t *testing.T) {
	t.Parallel()
	body := ask(t, judge.Options{}, request("POST", "http://judge.example:8090/a/b?x=%20&nonce=abc", "hello"))
	seen, kind, err := judge.Read(body)
	if err != nil || kind != judge.Own {
		t.Fatalf("Read = %v, %v for %s", kind, err, body)
	}
	if seen.Remote != netip.MustParseAddr("198.51.100.7") || seen.Nonce != "abc" || seen.Method != "POST" || seen.Host != "judge.example:8090" ||
		seen.Target != "http://judge.example:8090/a/b?x=%20&nonce=abc" || seen.Proto != "HTTP/1.1" || seen.TLS || seen.Signed || len(seen.Chain) != 1 {
		t.Errorf("seen = %+v", seen)
	}
	want := []judge.Field{{Name: "User-Agent", Value: "test"}, {Name: "Via", Value: "1.1 a"}, {Name: "Via", Value: "1.0 b"}}
	if fmt.Sprint(seen.Header) != fmt.Sprint(want) || seen.Get("via") != "1.1 a" || seen.Get("x") != "" {
		t.Errorf("header = %v, want %v", seen.Header, want)
	}
	if !bytes.Contains(body, []byte(`"body_sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`)) {
		t.Errorf("no hash of the body in %s", body)
	}
}

func TestHandlerOverRealConnections(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(judge.Handler(judge.Options{Key: []byte(key)}))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/?nonce=n1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	seen, kind, err := judge.Read(body)
	if err != nil || kind != judge.Own || !seen.TLS || !seen.Signed || seen.Remote != netip.MustParseAddr("127.0.0.1") || seen.Target != "/?nonce=n1" {
		t.Errorf("Read = %+v, %v, %v", seen, kind, err)
	}
	if err := judge.Verify(body, []byte(key)); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("headers %v let the answer be stored", resp.Header)
	}
}

func TestHandlerOptions(t *testing.T) {
	t.Parallel()
	exit := netip.MustParseAddr("203.0.113.9")
	body := ask(t, judge.Options{RemoteAddr: func(*http.Request) netip.Addr { return exit }}, request("GET", "/", ""))
	if seen, _, err := judge.Read(body); err != nil || seen.Remote != exit || seen.Nonce != "" {
		t.Errorf("Read = %+v, %v, want the address of RemoteAddr and no nonce", seen, err)
	}
	r := request("GET", "/?nonce=a&nonce=b", "")
	r.Header.Set("X-Forwarded-For", "203.0.113.1")
	if seen, _, err := judge.Read(ask(t, judge.Options{}, r)); err != nil || seen.Nonce != "" || seen.Remote == netip.MustParseAddr("203.0.113.1") {
		t.Errorf("Read = %+v, %v, want no nonce of two, and headers not believed", seen, err)
	}
	w := httptest.NewRecorder()
	judge.Handler(judge.Options{}).ServeHTTP(w, request("POST", "/", strings.Repeat("x", 2<<20)))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of 2 MiB gives %d, want 413", w.Code)
	}
}

// TestEveryChangeShows flips, drops and doubles each byte of an answer.
func TestEveryChangeShows(t *testing.T) {
	t.Parallel()
	for _, opt := range []judge.Options{{}, {Key: []byte(key)}} {
		body := ask(t, opt, request("GET", "/?nonce=abc", ""))
		accepted := func(b []byte) bool {
			_, kind, err := judge.Read(b)
			return err == nil && kind == judge.Own && (opt.Key == nil || judge.Verify(b, opt.Key) == nil)
		}
		if !accepted(body) {
			t.Fatalf("not even the answer itself is accepted: %s", body)
		}
		for i := range body {
			for _, changed := range [][]byte{
				append(append(bytes.Clone(body[:i]), body[i]^0x20), body[i+1:]...),
				append(append(bytes.Clone(body[:i]), body[i]^1), body[i+1:]...),
				append(bytes.Clone(body[:i]), body[i+1:]...),
				append(append(bytes.Clone(body[:i]), body[i]), body[i:]...),
			} {
				if !bytes.Equal(changed, body) && accepted(changed) {
					t.Fatalf("changed at %d it is still accepted: %s", i, changed)
				}
			}
		}
		for i := range body {
			if _, _, err := judge.Read(body[:i]); err == nil || i > 20 && !errors.Is(err, judge.ErrCut) && !errors.Is(err, judge.ErrAltered) {
				t.Fatalf("cut at %d: %v, want it seen as cut", i, err)
			}
		}
		if accepted(append(bytes.Clone(body), "<script>"...)) || accepted(append([]byte("<script>"), body...)) {
			t.Error("something around it is accepted")
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	signed := ask(t, judge.Options{Key: []byte(key)}, request("GET", "/?nonce=abc", ""))
	unsigned := ask(t, judge.Options{}, request("GET", "/?nonce=abc", ""))
	for _, tt := range []struct {
		name string
		body []byte
		key  string
		ok   bool
	}{
		{"right", signed, key, true},
		{"another key", signed, "another key", false},
		{"no HMAC", unsigned, key, false},
		{"nothing", nil, key, false},
		{"ending only", []byte("}\n"), key, false},
		{"without ending", bytes.TrimSuffix(signed, []byte("}\n")), key, false},
	} {
		if err := judge.Verify(tt.body, []byte(tt.key)); (err == nil) != tt.ok || err != nil && !errors.Is(err, judge.ErrAltered) {
			t.Errorf("%s: Verify = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestReadHTTPBin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body   string
		remote       string
		chain        int
		nonce        string
		target, host string
		via          string
		err          error
	}{
		{"httpbin", `{"args": {"nonce": "n", "show_env": "1"}, "headers": {"Host": "httpbin.org", "Via": "1.1 x"}, "origin": "198.51.100.7", "url": "http://httpbin.org/get?show_env=1&nonce=n"}` + "\n",
			"198.51.100.7", 1, "n", "/get?show_env=1&nonce=n", "httpbin.org", "1.1 x", nil},
		{"arrays, as httpbingo", `{"args":{"nonce":["n"]},"headers":{"Host":["httpbingo.org"],"Via":["1.1 x","1.1 y"]},"method":"GET","origin":"198.51.100.7","url":"https://httpbingo.org/get?nonce=n"}`,
			"198.51.100.7", 1, "n", "/get?nonce=n", "httpbingo.org", "1.1 x", nil},
		{"a chain", `{"args":{"nonce":"n"},"headers":{},"origin":"203.0.113.1, 198.51.100.7"}`, "198.51.100.7", 2, "n", "", "", "", nil},
		{"a port", `{"args":{},"headers":{},"origin":"[2001:db8::7]:80"}`, "2001:db8::7", 1, "", "", "", "", nil},
		{"two nonces", `{"args":{"nonce":["n","m"]},"headers":{},"origin":"198.51.100.7"}`, "198.51.100.7", 1, "", "", "", "", nil},
		{"odd arguments", `{"args":7,"headers":{},"origin":"198.51.100.7"}`, "198.51.100.7", 1, "", "", "", "", nil},
		{"no origin", `{"args":{},"headers":{}}`, "", 0, "", "", "", "", judge.ErrForeign},
		{"no address", `{"args":{},"headers":{},"origin":"unknown"}`, "", 0, "", "", "", "", judge.ErrForeign},
		{"no headers", `{"args":{},"origin":"198.51.100.7"}`, "", 0, "", "", "", "", judge.ErrForeign},
		{"names in another case", `{"args":{},"Headers":{},"origin":"198.51.100.7"}`, "", 0, "", "", "", "", judge.ErrForeign},
		{"cut", `{"args":{},"headers":{"Host":"x"`, "", 0, "", "", "", "", judge.ErrCut},
		{"cut, of something else", `{"a":{`, "", 0, "", "", "", "", judge.ErrForeign},
		{"followed by an advertisement", `{"args":{},"headers":{},"origin":"198.51.100.7"}<script src=x>`, "", 0, "", "", "", "", judge.ErrAltered},
		{"HTML", "<!DOCTYPE html><html></html>", "", 0, "", "", "", "", judge.ErrForeign},
		{"nothing", "", "", 0, "", "", "", "", judge.ErrForeign},
		{"an array", "[1]", "", 0, "", "", "", "", judge.ErrForeign},
		{"too long", `{"args":{},"headers":{},"origin":"198.51.100.7"}` + strings.Repeat(" ", judge.MaxAnswer), "", 0, "", "", "", "", judge.ErrForeign},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, kind, err := judge.Read([]byte(tt.body))
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Fatalf("Read = %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if kind != judge.HTTPBin || s.Remote.String() != tt.remote || len(s.Chain) != tt.chain || s.Nonce != tt.nonce || s.Target != tt.target ||
				s.Host != tt.host || s.Get("Via") != tt.via {
				t.Errorf("Read = %v %+v, want %+v", kind, s, tt)
			}
		})
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for k, want := range map[judge.Kind]string{0: "", judge.Own: "own", judge.HTTPBin: "httpbin"} {
		if b, err := k.MarshalText(); err != nil || string(b) != want {
			t.Errorf("MarshalText of %d = %q, %v, want %q", k, b, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	r := httptest.NewRequest("GET", "/?nonce=abc", nil)
	for _, opt := range []judge.Options{{}, {Key: []byte(key)}} {
		w := httptest.NewRecorder()
		judge.Handler(opt).ServeHTTP(w, r)
		f.Add(w.Body.Bytes())
		f.Add(w.Body.Bytes()[:100])
	}
	f.Add([]byte(`{"args":{"nonce":["n"]},"headers":{"A":["b"]},"origin":"1.2.3.4, 5.6.7.8","url":"http://x/?"}`))
	f.Add([]byte(`{"freeway":1,"sum":"`))
	f.Add([]byte("}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		seen, kind, err := judge.Read(body)
		if err != nil {
			if !errors.Is(err, judge.ErrForeign) && !errors.Is(err, judge.ErrCut) && !errors.Is(err, judge.ErrAltered) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if kind == 0 || !seen.Remote.IsValid() || len(seen.Chain) == 0 || seen.Remote.Zone() != "" {
			t.Errorf("accepted without kind or address: %v %+v", kind, seen)
		}
		if judge.Verify(body, []byte("a key that was never used")) == nil {
			t.Errorf("an HMAC of a key that nobody has")
		}
	})
}

func TestClosedPortsAreTold(t *testing.T) {
	t.Parallel()
	many := make([]uint16, 20)
	for i := range many {
		many[i] = uint16(i + 1)
	}
	for _, closed := range [][]uint16{nil, {9, 65535}, many} {
		seen, _, err := judge.Read(ask(t, judge.Options{Closed: closed}, request("GET", "/?nonce=1", "")))
		if want := closed[:min(len(closed), 16)]; err != nil || fmt.Sprint(seen.Closed) != fmt.Sprint(want) {
			t.Errorf("closed ports %v arrive as %v, %v", want, seen.Closed, err)
		}
	}
}
