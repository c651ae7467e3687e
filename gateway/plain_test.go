package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// origin is a target that answers with the request's method, URI and body.
func origin(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	o := origin(t)
	r := newRig(t, gateway.Config{}, honest(t))
	c := r.client("")
	for i, q := range []struct{ method, path, body string }{
		{"GET", "/a?b=%20&c=;d", ""}, {"POST", "/post", "hello"}, {"GET", "/again", ""}, {"PUT", "/x", strings.Repeat("y", 100_000)},
	} {
		req, _ := http.NewRequest(q.method, o.URL+q.path, strings.NewReader(q.body))
		p, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", q.method, q.path, err)
		}
		body, err := io.ReadAll(p.Body)
		p.Body.Close()
		if want := q.method + " " + q.path + " " + q.body; err != nil || string(body) != want {
			t.Errorf("%s %s = %.80q, %v, want %.80q", q.method, q.path, body, err, want)
		}
		tr := r.p.trace(t, i+1)
		if tr.Status != 200 || tr.Code != "" || len(tr.Attempts) != 1 || tr.Attempts[0].Class != proxy.OK || tr.Down == 0 {
			t.Errorf("trace %+v", tr)
		}
	}
}

func TestHTTPSThroughConnect(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "secret") }))
	t.Cleanup(o.Close)
	r := newRig(t, gateway.Config{}, refused(t), honest(t))
	c := r.client("")
	c.Transport.(*http.Transport).TLSClientConfig = o.Client().Transport.(*http.Transport).TLSClientConfig
	p, err := c.Get(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(p.Body)
	p.Body.Close()
	if string(body) != "secret" || err != nil {
		t.Errorf("body %q, %v", body, err)
	}
	c.CloseIdleConnections()
	outs := r.p.outcomes(t, 2)
	if outs[0].Class != proxy.Refused || outs[0].Stage != proxy.StageConnect || outs[1].Class != proxy.OK || outs[1].Stage != proxy.StageTunnel {
		t.Errorf("outcomes %+v", outs)
	}
}
