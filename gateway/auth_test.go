package gateway_test

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"freeway/gateway"
	"freeway/proxy"
)

// password is one of a user.
func password(text string) *proxy.Secret {
	s := proxy.NewSecret(text)
	return &s
}

// ask sends one request with credentials and header lines and returns status and code.
func (r *rig) ask(target, credentials, lines string) (int, string) {
	r.t.Helper()
	w := r.conn()
	if credentials != "" {
		lines += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials)) + "\r\n"
	}
	w.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n")
	p, _ := w.answer("GET")
	if p.StatusCode == 407 && !strings.HasPrefix(p.Header.Get("Proxy-Authenticate"), "Basic realm=") {
		r.t.Errorf("407 with Proxy-Authenticate %q", p.Header.Get("Proxy-Authenticate"))
	}
	return p.StatusCode, p.Header.Get("Freeway-Error")
}

func TestUsers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := gateway.Config{Users: []gateway.User{
		{Name: "bob", Password: password("pw"), Require: "country-de"},
		{Name: "bob-x", PasswordFile: file},
		{Name: "empty", Password: password("")},
	}}
	r := newRig(t, cfg, answering(t, proxy.HTTP, okAnswer))
	const target = "http://example.com/"
	for _, c := range []struct {
		login, lines string
		status       int
		code         string
	}{
		{"", "", 407, "auth_required"},
		{"bob:pw", "", 200, ""},
		{"bob:", "", 407, "auth_required"},
		{"bob:pwx", "", 407, "auth_required"},
		{"eve:pw", "", 407, "auth_required"},
		{"bob-country-de:pw", "", 200, ""},
		{"bob-country-us:pw", "", 403, "forbidden_options"},
		{"bob-colour-red:pw", "", 400, "bad_options"},
		{"bob-x:from file", "", 200, ""},
		{"bob-x-country-us:from file", "", 503, "no_upstream"},
		{"empty:", "", 200, ""},
		{"bob:pw", "Freeway-Options: country-de-session-a1\r\n", 200, ""},
		{"bob:pw", "Freeway-Options: country\r\n", 400, "bad_options"},
		{"bob-session-a:pw", "Freeway-Options: session-b\r\n", 400, "bad_options"},
		{"", "Proxy-Authorization: Bearer x\r\n", 407, "auth_required"},
		{"", "Proxy-Authorization: Basic !!!\r\n", 407, "auth_required"},
		{"bob:pw", "Proxy-Authorization: Basic Ym9iOnB3\r\n", 400, "bad_request"},
	} {
		status, code := r.ask(target, c.login, c.lines)
		if status != c.status || code != c.code {
			t.Errorf("%q %q = %d %s, want %d %s", c.login, c.lines, status, code, c.status, c.code)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{Users: []gateway.User{{Name: "bob", Password: password("pw")}}})
	limited := 0
	for range 15 {
		if status, code := r.ask("http://example.com/", "bob:no", ""); status == 429 && code == "quota" {
			limited++
		}
	}
	if limited < 4 {
		t.Errorf("%d of 15 guesses were refused unread", limited)
	}
}

func TestUserLimits(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	up := upstream(t, proxy.HTTP, func(c *wire) {
		if lines := c.head(); len(lines) > 0 && strings.Contains(lines[0], "slow") {
			<-slow
		}
		_, _ = c.Conn.Write([]byte(okAnswer))
	})
	defer close(slow)
	cfg := gateway.Config{Users: []gateway.User{{Name: "one", Password: password(""), Concurrency: 1}, {Name: "rate", Password: password(""), Rate: 0.001, Burst: 2}}}
	r := newRig(t, cfg, up)
	w := r.conn()
	w.send("GET http://example.com/slow HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic b25lOg==\r\n\r\n")
	r.p.await(t, "the slow request", func() bool { return len(r.p.wants) == 1 })
	if status, code := r.ask("http://example.com/", "one:", ""); status != 429 || code != "quota" {
		t.Errorf("a second request at a time: %d %s", status, code)
	}
	_ = w.Close()
	for i, want := range []int{200, 200, 429} {
		if status, _ := r.ask("http://example.com/", "rate:", ""); status != want {
			t.Errorf("request %d: %d, want %d", i, status, want)
		}
	}
}

func TestAllowClients(t *testing.T) {
	t.Parallel()
	users := []gateway.User{{Name: "bob", Password: password("pw")}}
	up := answering(t, proxy.HTTP, okAnswer)
	inside := newRig(t, gateway.Config{Users: users, AllowClients: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, up)
	outside := newRig(t, gateway.Config{AllowClients: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, up)
	if status, code := inside.ask("http://example.com/", "", "Proxy-Authorization: Bearer x\r\n"); status != 200 {
		t.Errorf("another scheme from a client that needs no user: %d %s", status, code)
	}
	if status, _ := outside.ask("http://example.com/", "", "Proxy-Authorization: Bearer x\r\n"); status != 407 {
		t.Errorf("another scheme from a client that needs a user: %d", status)
	}
	for _, c := range []struct {
		r      *rig
		login  string
		status int
	}{{inside, "", 200}, {inside, "someone:x", 200}, {inside, "bob:pw", 200}, {inside, "bob:no", 407}, {outside, "", 407}, {outside, "x:y", 407}} {
		if status, _ := c.r.ask("http://example.com/", c.login, ""); status != c.status {
			t.Errorf("%q: %d, want %d", c.login, status, c.status)
		}
	}
}

func TestWantOfOptions(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Listeners: []gateway.Listener{{Listen: "127.0.0.1:0", Options: "session-fixed-ttl-3-pool-own"}}}
	r := newRig(t, cfg)
	r.ask("http://www.example.co.uk:8000/x", "bob~session~a-b~ttl~30s~country~us,DE~soft:", "")
	w := r.p.asked()[1] // the first asked for a tunnel as well
	if w.Session != (proxy.SessionKey{User: "bob", ID: "a-b"}) || w.SessionTTL.Seconds() != 30 || !w.Soft || len(w.Filter.Countries) != 2 ||
		w.Target.Domain != "example.co.uk" || w.Need != proxy.NeedForward|proxy.NeedRemoteDNS || w.Pools[0] != "public" {
		t.Errorf("want %+v", w)
	}
	r.addr = r.g.Addrs()[1].String()
	r.ask("http://1.2.3.4/x", "", "")
	w = r.p.asked()[3]
	if w.Session.ID != "fixed" || w.SessionTTL.Minutes() != 3 || len(w.Pools) != 1 || w.Pools[0] != "own" || w.Need != proxy.NeedForward {
		t.Errorf("want at the second port %+v", w)
	}
	r.ask("http://1.2.3.4/x", "bob-rotate:", "")
	if w = r.p.asked()[4]; w.Session != (proxy.SessionKey{}) {
		t.Errorf("rotate keeps the session %+v", w.Session)
	}
	if status, code := r.ask("http://1.2.3.4/x", "bob-session-other:", ""); status != 403 || code != "forbidden_options" {
		t.Errorf("another session than the port's: %d %s", status, code)
	}
}

func TestForbiddenTargets(t *testing.T) {
	t.Parallel()
	r := newRig(t, gateway.Config{}, answering(t, proxy.HTTP, okAnswer))
	own := r.addr
	_, port, _ := strings.Cut(own, ":")
	for _, target := range []string{own, "localhost:" + port, "LocalHost.:" + port, "[::ffff:127.0.0.1]:" + port, "0.0.0.0:" + port, "10.0.0.1:80", "169.254.169.254:80",
		"[::1]:80", "[fe80::1]:80", "[::ffff:10.0.0.1]:80", "example.com:25", "1.1.1.1:587"} {
		w := r.conn()
		w.send("CONNECT " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")
		if p, body := w.answer("CONNECT"); p.StatusCode != 403 || p.Header.Get("Freeway-Error") != "forbidden_target" {
			t.Errorf("CONNECT %s: %v %s", target, p.Status, body)
		}
		if status, code := r.ask("http://"+target+"/", "", ""); status != 403 || code != "forbidden_target" {
			t.Errorf("GET %s: %d %s", target, status, code)
		}
	}
	if len(r.p.asked()) != 0 {
		t.Errorf("%d picks for forbidden targets", len(r.p.asked()))
	}
}

func TestUnencrypted(t *testing.T) {
	t.Parallel()
	up := answering(t, proxy.HTTP, okAnswer)
	const secret = "Authorization: Basic eDp5\r\n"
	for _, c := range []struct {
		name   string
		cfg    gateway.Config
		login  string
		lines  string
		status int
		code   string
	}{
		{"default", gateway.Config{}, "", "", 200, ""},
		{"credentials", gateway.Config{}, "", secret, 403, "plaintext_credentials"},
		{"credentials allowed", gateway.Config{PlaintextCredentials: "allow"}, "", secret, 200, ""},
		{"refused", gateway.Config{PlainHTTP: "refuse"}, "", "", 403, "plain_http"},
		{"own upstreams", gateway.Config{PlainHTTP: "refuse", Pools: []string{"public", "own"}}, "", secret, 200, ""},
		{"own by option", gateway.Config{}, "x-pool-own:", secret, 200, ""},
	} {
		r := newRig(t, c.cfg, up)
		r.p.entries[0].Pool = "own"
		if c.status != 200 || c.lines == "" || c.cfg.PlaintextCredentials != "" {
			r.p.entries[0].Pool = "public"
		}
		status, code := r.ask("http://example.com/", c.login, c.lines)
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
		}
		for _, w := range r.p.asked() {
			if strings.Contains(c.name, "own") && (len(w.Pools) != 1 || w.Pools[0] != "own") {
				t.Errorf("%s: pools %v", c.name, w.Pools)
			}
		}
	}
}

func TestExpose(t *testing.T) {
	t.Parallel()
	up := answering(t, proxy.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nFreeway-Error: lie\r\nFreeway-Exit: lie\r\n\r\nok")
	up.User = "private"
	for _, on := range []bool{true, false} {
		r := newRig(t, gateway.Config{ExposeUpstream: on}, refused(t), up)
		p, err := r.client("").Get("http://example.com/")
		if err != nil {
			t.Fatal(err)
		}
		p.Body.Close()
		h := p.Header
		if h.Get("Freeway-Error") != "" {
			t.Error("the target's Freeway-Error reached the client")
		}
		if on && (h.Get("Freeway-Exit") != "192.0.2.2" || h.Get("Freeway-Country") != "DE" || h.Get("Freeway-Attempts") != "2" || h.Get("Freeway-Upstream") != "http://"+up.Address()) ||
			!on && len(h.Values("Freeway-Exit")) != 0 {
			t.Errorf("expose_upstream %v: %v", on, h)
		}
	}
}

// TestCredentialsStayApart: the client's never leave, the upstream's go to it alone.
func TestCredentialsStayApart(t *testing.T) {
	t.Parallel()
	var rec recorder
	ep := rec.upstream(t, okAnswer)
	p := &picker{changed: make(chan struct{})}
	plain := entry(refused(t), 1)
	private := entry(ep, 2)
	private.Endpoint.User, private.Password = "up", proxy.NewSecret("stream")
	p.entries = []proxy.Entry{plain, private}
	r := startRig(t, gateway.Config{}, p)
	if status, _ := r.ask("http://example.com/", "bob:hush", "Cookie: a=b\r\n"); status != 200 {
		t.Fatalf("status %d", status)
	}
	const want = "Basic dXA6c3RyZWFt"
	raw := rec.all()[0]
	if strings.Count(raw, "Proxy-Authorization") != 1 || !strings.Contains(raw, "Proxy-Authorization: "+want+"\r\n") {
		t.Errorf("the upstream got %q", raw)
	}
	if tr := r.p.trace(t, 1); tr.User != "bob" {
		t.Errorf("trace %+v", tr)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Listen: "127.0.0.1:0"}
	r := newRig(t, cfg, answering(t, proxy.HTTP, okAnswer))
	cfg.Users = []gateway.User{{Name: "bob", Password: password("pw")}}
	if err := r.g.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.ask("http://example.com/", "", ""); status != http.StatusProxyAuthRequired {
		t.Errorf("after Apply: %d, want 407", status)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, bad := range []gateway.Config{{Listen: taken.Addr().String()}, {Listen: "127.0.0.1:0", Rotation: "x"}} {
		if err := r.g.Apply(bad); err == nil {
			t.Errorf("Apply(%+v) succeeds", bad)
		}
	}
	if status, _ := r.ask("http://example.com/", "bob:pw", ""); status != 200 {
		t.Errorf("after a failed Apply: %d, want 200", status)
	}
}
