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

// TestPagesOfTargetsPass: what is behind squid or a CDN is the target's word,
// passed on untouched and without blame.
func TestPagesOfTargetsPass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		field  string
		class  proxy.Class
	}{
		{404, "Server: squid/5.7", proxy.OK},
		{403, "Server: squid/5.7", proxy.Banned},
		{500, "Server: squid/5.7", proxy.OK},
		{403, "Proxy-Status: cdn; error=http_request_denied", proxy.Banned},
		{404, "Proxy-Status: cdn; error=destination_not_found", proxy.OK},
		{502, "Proxy-Status: cdn; error=destination_unavailable", proxy.OK},
		{404, "X-Squid-Error: ERR_DNS_FAIL 0", proxy.OK},
		{403, "X-Squid-Error: ERR_FTP_FORBIDDEN 0", proxy.Banned},
		{503, "Server: nginx\r\nVia: 1.1 box (squid/5.7)", proxy.Banned},
		{502, "Server: squid/5.7\r\nVia: 1.1 edge (varnish), 1.1 box (squid/5.7)", proxy.OK},
	} {
		up := answering(t, proxy.HTTP, fmt.Sprintf("HTTP/1.1 %d X\r\n%s\r\nContent-Length: 4\r\n\r\npage", tt.status, tt.field))
		r := newRig(t, gateway.Config{}, up, honest(t))
		p, err := r.client("").Get("http://127.0.0.1:9/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(p.Body)
		p.Body.Close()
		name, value, _ := strings.Cut(strings.SplitN(tt.field, "\r\n", 2)[0], ": ")
		if p.StatusCode != tt.status || string(body) != "page" || p.Header.Get(name) != value && !strings.HasPrefix(p.Header.Get(name), "nginx") {
			t.Errorf("%d %s: answer %v %v %q", tt.status, tt.field, p.Status, p.Header, body)
		}
		if outs := r.p.outcomes(t, 1); len(outs) != 1 || outs[0].Class != tt.class {
			t.Errorf("%d %s: outcomes %+v, want one %v", tt.status, tt.field, outs, tt.class)
		}
	}
}

// TestOwnPageIsNeverPassedOn: when no upstream does better the client learns that
// nobody delivered, and does not take an upstream's page for the target's.
func TestOwnPageIsNeverPassedOn(t *testing.T) {
	t.Parallel()
	page := func(body string) proxy.Endpoint {
		return answering(t, proxy.HTTP, "HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nContent-Length: 1\r\n\r\n"+body)
	}
	for _, tt := range []struct {
		name, method string
		ups          []proxy.Endpoint
		status       int
		body         string
		outcomes     int
	}{
		{"all", "GET", []proxy.Endpoint{page("a"), page("b")}, 502, "", 2},
		{"then refused", "GET", []proxy.Endpoint{page("a"), refused(t)}, 502, "", 2},
		{"then better", "GET", []proxy.Endpoint{page("a"), answering(t, proxy.HTTP, okAnswer)}, 200, "", 2},
		{"not repeatable", "POST", []proxy.Endpoint{page("a"), page("b")}, 502, "", 1},
		{"never a denial", "GET", []proxy.Endpoint{answering(t, proxy.HTTP, "HTTP/1.1 403 No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 0\r\n\r\n")}, 502, "", 1},
		{"never of a network", "GET", []proxy.Endpoint{answering(t, proxy.HTTP, "HTTP/1.1 511 Login\r\nContent-Length: 0\r\n\r\n")}, 502, "", 1},
		{"better than a network", "GET", []proxy.Endpoint{answering(t, proxy.HTTP, "HTTP/1.1 511 Login\r\nContent-Length: 0\r\n\r\n"), answering(t, proxy.HTTP, okAnswer)}, 200, "", 2},
		{"never a login", "GET", []proxy.Endpoint{answering(t, proxy.HTTP, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")}, 502, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, gateway.Config{}, tt.ups...)
			req, _ := http.NewRequest(tt.method, "http://127.0.0.1:9/", http.NoBody)
			p, err := r.client("").Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(p.Body)
			p.Body.Close()
			if p.StatusCode != tt.status || tt.body != "" && string(body) != tt.body {
				t.Errorf("answer %v %q, want %d %q", p.Status, body, tt.status, tt.body)
			}
			outs := r.p.outcomes(t, tt.outcomes)
			if len(outs) != tt.outcomes {
				t.Errorf("outcomes %+v, want %d", outs, tt.outcomes)
			}
			if tr := r.p.trace(t, 1); tr.Status != tt.status {
				t.Errorf("trace %+v", tr)
			}
			r.p.await(t, "leases given back", func() bool { return r.p.leased == 0 })
		})
	}
}

// TestSessionKeepsItsExit: failures that pass, or that are the target's, do
// not take the session's endpoint from it.
func TestSessionKeepsItsExit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		first  string // "" resets
		target string
		ok     bool
		tries  int
		avoids int // endpoints that the last pick avoids
	}{
		{"reset, then well", "", "http://127.0.0.1:9/", true, 2, 0},
		{"gateway, then well", "HTTP/1.1 502 No\r\nX-Squid-Error: ERR_CONNECT_FAIL\r\nContent-Length: 0\r\n\r\n", "http://127.0.0.1:9/", true, 2, 0},
		{"login asked", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "http://127.0.0.1:9/", false, 1, 1},
		{"tunnel refused", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "CONNECT", false, 1, 0},
		{"bad gateway, then well", "HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "CONNECT", true, 2, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := make(chan struct{}, 1)
			first <- struct{}{}
			up := upstream(t, proxy.HTTP, func(c *wire) {
				c.head()
				select {
				case <-first:
					if tt.first == "" {
						resetOf(c)
						return
					}
					c.send(tt.first)
				default:
					c.send(okAnswer)
				}
			})
			r := newRig(t, gateway.Config{}, up)
			w := r.conn()
			head := "GET " + tt.target + " HTTP/1.1\r\nHost: x\r\nFreeway-Options: session-a\r\n\r\n"
			if tt.target == "CONNECT" {
				head = "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\nFreeway-Options: session-a\r\n\r\n"
			}
			w.send(head)
			p, _ := w.answer(strings.Fields(head)[0])
			_ = w.Close()
			tr := r.p.trace(t, 1)
			wants := r.p.asked()
			if (p.StatusCode == 200) != tt.ok || len(tr.Attempts) != tt.tries {
				t.Errorf("answer %v, attempts %+v; want %v, %d", p.Status, tr.Attempts, tt.ok, tt.tries)
			}
			if last := wants[len(wants)-1]; len(last.Avoid) != tt.avoids || len(last.AvoidExits) != 0 {
				t.Errorf("the last pick avoids %v %v, want %d", last.Avoid, last.AvoidExits, tt.avoids)
			}
		})
	}
}

// TestSessionPrefersTunnels: the first thing asked for a session is an exit
// with a tunnel, and one without will do.
func TestSessionPrefersTunnels(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{}) // nobody is there
	for user, want := range map[string][]proxy.Caps{
		"bob":           {proxy.NeedForward},
		"bob-session-a": {proxy.NeedForward | proxy.NeedTunnel, proxy.NeedForward},
	} {
		before := len(r.p.asked())
		p, err := r.client(user).Get("http://127.0.0.1:9/")
		if err != nil {
			t.Fatal(err)
		}
		p.Body.Close()
		got := r.p.asked()[before:]
		if len(got) != len(want) {
			t.Fatalf("%s: asked %+v, want %v", user, got, want)
		}
		for i := range want {
			if got[i].Need != want[i] {
				t.Errorf("%s: pick %d needs %v, want %v", user, i, got[i].Need, want[i])
			}
		}
	}
}

// TestSessionMoveIsTold in Proxy-Status, beside what the target says there.
func TestSessionMoveIsTold(t *testing.T) {
	t.Parallel()
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Proxy-Status", "cdn; hit") }))
	t.Cleanup(o.Close)
	for why, want := range map[string]string{
		"session moved: its exit is lost, the best of 3": `freeway; details="session moved"`,
		"session lent, its exit was tried; the best":     `freeway; details="session lent"`,
		"session": "",
	} {
		p := &picker{changed: make(chan struct{}), why: why, entries: []proxy.Entry{entry(honest(t), 1)}}
		r := startRig(t, gateway.Config{}, p)
		w := r.conn()
		w.openTold(o.Listener.Addr().String(), want)
		_ = w.Close()
		a, err := r.client("bob-session-a-soft").Get(o.URL)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if got := strings.Join(a.Header.Values("Proxy-Status"), ", "); got != strings.TrimSuffix("cdn; hit, "+want, ", ") {
			t.Errorf("%s: Proxy-Status %q, want the target's and %q", why, got, want)
		}
	}
}

// openTold is open that looks at Proxy-Status.
func (w *wire) openTold(target, want string) {
	w.t.Helper()
	w.send("CONNECT " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if p, _ := w.answer("CONNECT"); p.StatusCode != 200 || p.Header.Get("Proxy-Status") != want {
		w.t.Errorf("CONNECT: %v %v, want Proxy-Status %q", p.Status, p.Header, want)
	}
}
