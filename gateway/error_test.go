package gateway_test

import (
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/gateway"
	"freeway/proxy"
)

// statusItem is one member of Proxy-Status: a list of items with parameters (RFC
// 8941 sections 3.1 and 3.3), of which RFC 9209 section 2 allows a token in front.
var statusItem = regexp.MustCompile(`^[A-Za-z*][A-Za-z0-9!#$%&'*+.^_|~:/` + "`" + `-]*((; *[a-z*][a-z0-9_.*-]*)(=([A-Za-z*][A-Za-z0-9!#$%&'*+.^_|~:/` + "`" + `-]*|"([ !#-\[\]-~]|\\["\\])*"|-?[0-9]{1,15}|\?[01]))?)*$`)

// errorTypes are those of RFC 9209 section 2.3.
var errorTypes = []string{"dns_timeout", "dns_error", "destination_not_found", "destination_unavailable", "destination_ip_prohibited", "destination_ip_unroutable",
	"connection_refused", "connection_terminated", "connection_timeout", "connection_read_timeout", "connection_write_timeout", "connection_limit_reached",
	"tls_protocol_error", "tls_certificate_error", "tls_alert_received", "http_request_error", "http_request_denied", "http_response_incomplete",
	"http_response_header_section_size", "http_response_header_size", "http_response_body_size", "http_response_trailer_section_size", "http_response_trailer_size",
	"http_response_transfer_coding", "http_response_content_coding", "http_response_timeout", "http_upgrade_failed", "http_protocol_error",
	"proxy_internal_response", "proxy_internal_error", "proxy_configuration_error", "proxy_loop_detected"}

// TestEveryAnswer: each answer of the gateway's own says by the rules what is
// wrong, and nothing of who was tried or which version this is.
func TestEveryAnswer(t *testing.T) {
	t.Parallel()
	users := []gateway.User{{Name: "bob", Password: password(""), Rate: 0.001, Burst: 1, Require: "country-de"}}
	const get = "GET http://example.com/ HTTP/1.1\r\nHost: x\r\n"
	const bob = "Proxy-Authorization: Basic Ym9iOg==\r\n"
	dead := refused(t)
	none := &picker{changed: make(chan struct{})}
	for _, tt := range []struct {
		name   string
		cfg    gateway.Config
		p      *picker
		ups    []proxy.Endpoint
		send   string
		status int
		code   string
	}{
		{"auth", gateway.Config{Users: users}, nil, nil, get + "\r\n", 407, "auth_required"},
		{"options", gateway.Config{}, nil, nil, get + "Freeway-Options: x-1\r\n\r\n", 400, "bad_options"},
		{"forbidden options", gateway.Config{Users: users}, nil, nil, get + bob + "Freeway-Options: country-us\r\n\r\n", 403, "forbidden_options"},
		{"head", gateway.Config{}, nil, nil, "GET / HTTP/1.1\r\n\r\n", 400, "bad_request"},
		{"tunnel without Host", gateway.Config{}, nil, nil, "CONNECT a.example:443 HTTP/1.1\r\n\r\n", 400, "bad_request"},
		{"Host with a blank", gateway.Config{}, nil, nil, "GET http://a.example/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_request"},
		{"Host with a user", gateway.Config{}, nil, nil, "GET http://a.example/ HTTP/1.1\r\nHost: x@a.test\r\n\r\n", 400, "bad_request"},
		{"Host as a list", gateway.Config{}, nil, nil, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400, "bad_request"},
		{"Host with a path", gateway.Config{}, nil, nil, "GET http://a.example/ HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400, "bad_request"},
		{"version", gateway.Config{}, nil, nil, "GET http://a/ HTTP/2.0\r\n\r\n", 505, "bad_request"},
		{"large", gateway.Config{}, nil, nil, get + strings.Repeat("A: b\r\n", 20_000), 431, "bad_request"},
		{"expectation", gateway.Config{}, nil, nil, "POST http://a.example/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: x\r\n\r\n", 417, "expectation_failed"},
		{"target", gateway.Config{}, nil, nil, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n", 403, "forbidden_target"},
		{"port", gateway.Config{}, nil, nil, "CONNECT example.com:25 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "forbidden_target"},
		{"credentials", gateway.Config{}, nil, nil, get + "Authorization: Basic x\r\n\r\n", 403, "plaintext_credentials"},
		{"plain", gateway.Config{PlainHTTP: "refuse"}, nil, nil, get + "\r\n", 403, "plain_http"},
		{"quota", gateway.Config{Users: users}, none, nil, get + bob + "\r\n" + get + bob + "\r\n", 429, "quota"},
		{"busy target", gateway.Config{Targets: []gateway.TargetRule{{Domain: "example.com", Rate: 0.001}}}, none, nil, get + "\r\n" + get + "\r\n", 503, "overload"},
		{"nobody", gateway.Config{}, none, nil, get + "\r\n", 503, "no_upstream"},
		{"failed", gateway.Config{}, nil, []proxy.Endpoint{dead}, get + "\r\n", 502, "upstreams_failed"},
		{"failed tunnel", gateway.Config{}, nil, []proxy.Endpoint{dead}, "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 502, "upstreams_failed"},
		{"deadline", gateway.Config{Timeouts: gateway.Timeouts{Total: 50 * time.Millisecond}}, nil, []proxy.Endpoint{silent(t)}, get + "\r\n", 504, "deadline"},
		{"session", gateway.Config{}, &picker{err: proxy.ErrSessionLost, changed: make(chan struct{})}, nil, get + "\r\n", 502, "session_lost"},
		{"down", gateway.Config{}, &picker{err: proxy.ErrTargetDown, changed: make(chan struct{})}, nil, get + "\r\n", 502, "target_down"},
	} {
		r := (*rig)(nil)
		if tt.p != nil {
			r = startRig(t, tt.cfg, tt.p)
		} else {
			r = newRig(t, tt.cfg, tt.ups...)
		}
		w := r.conn()
		go func() { _, _ = w.Write([]byte(tt.send)) }()
		p, body := w.answer("GET")
		for n := strings.Count(tt.send, "GET http"); n > 1; n-- { // the first is served
			p, body = w.answer("GET")
		}
		status := p.Header.Values("Proxy-Status")
		kind := ""
		if len(status) == 1 {
			_, kind, _ = strings.Cut(status[0], "; error=")
			kind, _, _ = strings.Cut(kind, ";")
		}
		if p.StatusCode != tt.status || p.Header.Get("Freeway-Error") != tt.code || p.Header.Get("Freeway-Request-Id") == "" || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %v, want %d %s", tt.name, p.Status, p.Header, tt.status, tt.code)
		}
		if len(status) != 1 || !statusItem.MatchString(status[0]) || !strings.HasPrefix(status[0], "freeway;") || !slices.Contains(errorTypes, kind) {
			t.Errorf("%s: Proxy-Status %q", tt.name, status)
		}
		if wait := p.Header.Get("Retry-After"); (wait != "") != (p.StatusCode == 429 || p.StatusCode == 503) || wait != "" && strings.Trim(wait, "0123456789") != "" {
			t.Errorf("%s: Retry-After %q", tt.name, wait)
		}
		if all := p.Header.Get("Via") + p.Header.Get("Server") + strings.ReplaceAll(body, p.Header.Get("Freeway-Request-Id"), ""); strings.Contains(all, dead.Host) || strings.Contains(all, "go1") || strings.Contains(all, "Ym9i") {
			t.Errorf("%s: the answer tells too much: %v %q", tt.name, p.Header, body)
		}
	}
}

// FuzzStyles: nothing of the other spellings panics, and what is accepted is possible.
func FuzzStyles(f *testing.F) {
	for _, s := range []string{"x__cr.fr;sessttl.60", "x-us-1234", "x-us-rotate", "x_country-us_session-a1_lifetime-10m", "x__;", "x--", "x__cr.;."} {
		f.Add(s)
	}
	var cfgs []gateway.Config
	for _, style := range []string{"", "freeway", "dataimpulse", "iproyal", "webshare"} {
		cfgs = append(cfgs, gateway.Config{Users: []gateway.User{{Name: "x", Password: password(""), Style: style}}})
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, cfg := range cfgs {
			w, err := gateway.Want(cfg, s, "http://example.com/")
			if err == nil && (!strings.HasPrefix(s, "x") && !strings.HasPrefix(s, "%78") || len(w.Session.ID) > 64 || w.SessionTTL < 0 || w.SessionTTL > 24*time.Hour || w.Strict && w.Soft) {
				t.Errorf("%q in style %q: %+v", s, cfg.Users[0].Style, w)
			}
		}
	})
}

// TestMemoryRunsOut: at 95 % of the limit nobody new comes in, at 98 % no
// request is begun either, and afterwards all is as before.
func TestMemoryRunsOut(t *testing.T) {
	t.Parallel()
	var used atomic.Uint64
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(answering(t, proxy.HTTP, okAnswer), 1)}}
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p, Targets: policy, Dialer: guarded(t), Memory: func() (uint64, uint64) { return used.Load(), 1000 }}, p)
	busy := r.conn()
	ask := func(w *wire, want int) bool {
		w.send(getExample)
		a, _, err := w.tryAnswer("GET")
		return err == nil && a.StatusCode == want && (want == 200 || a.Header.Get("Freeway-Error") == "overload" && a.Header.Get("Retry-After") != "")
	}
	if !ask(busy, 200) {
		t.Error("with memory left a request is refused")
	}
	used.Store(960)
	until(t, "new connections are refused", func() bool { return ask(r.conn(), 503) })
	used.Store(10)
	until(t, "they are served again", func() bool { return ask(r.conn(), 200) })
	busy = r.conn()
	until(t, "a connection is served", func() bool { return ask(busy, 200) })
	used.Store(990)
	until(t, "its requests are refused", func() bool {
		busy.send(getExample)
		a, _, err := busy.tryAnswer("GET")
		return err == nil && a.StatusCode == 503
	})
}

// TestNewcomersAreNotShed: who has only just connected and is about to send a
// request does not make room for others; who does not send one in time does.
func TestNewcomersAreNotShed(t *testing.T) {
	t.Parallel()
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(answering(t, proxy.HTTP, okAnswer), 1)}}
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0", MaxConnections: 1}, gateway.Env{Picker: p, Targets: policy, Dialer: guarded(t)}, p)
	status := func(w *wire) int {
		w.send(getExample)
		a, _, err := w.tryAnswer("GET")
		if err != nil {
			return 0
		}
		return a.StatusCode
	}
	first := r.conn()
	until(t, "the first has come", func() bool { n, _, _ := r.g.Counts(); return n == 1 })
	if got := status(r.conn()); got != 503 {
		t.Errorf("the second gets %d, want 503", got)
	}
	if got := status(first); got != 200 {
		t.Errorf("the first gets %d, want 200", got)
	}
	until(t, "it makes room once it was served", func() bool { return status(r.conn()) == 200 })
	r.conn() // sends nothing
	until(t, "the silent one makes room", func() bool { return status(r.conn()) == 200 })
}

// TestExcessMakesNoRoom: the end of a connection that is one too many, and waits to
// be told, is no room for another.
func TestExcessMakesNoRoom(t *testing.T) {
	t.Parallel()
	echo := serve(t, func(c *wire) { _, _ = io.Copy(c.Conn, c.r) }).String()
	r := newRig(t, gateway.Config{MaxConnections: 1}, honest(t))
	r.conn().open(echo)
	r.conn() // sends nothing, and is one too many
	until(t, "it has come", func() bool { n, _, _ := r.g.Counts(); return n == 2 })
	for end := time.Now().Add(gateway.FreshTime + 200*time.Millisecond); time.Now().Before(end); {
		w := r.conn()
		w.send(getExample)
		if a, _, err := w.tryAnswer("GET"); err == nil && a.StatusCode != 503 {
			t.Fatalf("another one gets %d, want 503", a.StatusCode)
		}
		_ = w.Close()
	}
}

// TestThreat101NothingUnreadIsHoarded: what a client does not take stays with the
// upstream, in a tunnel and in an answer.
func TestThreat101NothingUnreadIsHoarded(t *testing.T) {
	t.Parallel()
	const most = 64 << 20
	took := make(chan int, 2)
	up := upstream(t, proxy.HTTP, func(c *wire) {
		if strings.HasPrefix(c.head()[0], "CONNECT") {
			c.send("HTTP/1.1 200 OK\r\n\r\n")
			_, _ = c.r.ReadByte()
		} else {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		}
		n, buf := 0, make([]byte, 64<<10)
		for n < most {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // nothing is taken for that long: never again
			k, err := c.Conn.Write(buf)
			if n += k; err != nil {
				break
			}
		}
		took <- n
	})
	r := newRig(t, gateway.Config{}, up)
	tunnel, answer := r.conn(), r.conn()
	tunnel.open("example.com:443")
	tunnel.send("x")
	answer.send(getExample)
	for range 2 {
		if n := <-took; n >= most {
			t.Errorf("%d bytes were taken from the upstream for a client that reads nothing", n)
		}
	}
}

// TestThreat106MetricsStayFew: hosts, users and proxies are no labels.
func TestThreat106MetricsStayFew(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(refused(t), 1), entry(answering(t, proxy.HTTP, okAnswer), 2)}}
	r := runRig(t, gateway.Config{Listen: "127.0.0.1:0"}, gateway.Env{Picker: p, Targets: policy, Dialer: guarded(t), Metrics: reg}, p)
	series := func() (n int) {
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			n += len(f.GetMetric())
		}
		return n
	}
	r.ask("http://0.example/", "user0-tag-t0-session-s0:", "")
	r.ask("http://0.example/", "user0-x:", "")
	r.p.trace(t, 1) // both uses are counted
	before := series()
	for i := range 50 {
		n := strconv.Itoa(i)
		r.ask("http://"+n+".example/", "user"+n+"-tag-t"+n+"-session-s"+n+":", "")
		r.ask("http://"+n+".example/", "user"+n+"-x"+n+":", "")
	}
	if after := series(); after != before {
		t.Errorf("%d series after 100 requests of 50 users for 50 hosts, %d before", after, before)
	}
}

// TestNothingOfTheClientInTunnels: what is meant for the gateway stays there
// also where a plain request goes out through a tunnel.
func TestNothingOfTheClientInTunnels(t *testing.T) {
	t.Parallel()
	heads := make(chan []string, 2)
	up := upstream(t, proxy.HTTP, func(c *wire) {
		heads <- c.head()
		c.send("HTTP/1.1 200 OK\r\n\r\n")
		heads <- c.head()
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	r := newRig(t, gateway.Config{}, up)
	w := r.conn()
	w.send("GET http://example.com/a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, X-Mine\r\nUpgrade: websocket\r\nX-Mine: 1\r\nProxy-Authorization: Basic Ym9iOg==\r\nProxy-Connection: keep-alive\r\n" +
		"Freeway-Options: country-de\r\nVia: 1.1 me\r\nX-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n\r\n")
	if a, _ := w.answer("GET"); a.StatusCode != 200 {
		t.Errorf("answer %v", a.Status)
	}
	if got := strings.Join(<-heads, "|"); got != "CONNECT example.com:80 HTTP/1.1|Host: example.com:80" {
		t.Errorf("the upstream was asked %q", got)
	}
	if got := strings.Join(<-heads, "|"); got != "GET /a HTTP/1.1|Host: example.com|Connection: Upgrade|Upgrade: websocket" {
		t.Errorf("the target was asked %q", got)
	}
}
