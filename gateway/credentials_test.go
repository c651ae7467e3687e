package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"freeway/gateway"
	"freeway/internal/socks"
	"freeway/proxy"
)

// TestCredentialsInTunnels: plaintext_credentials holds for what goes through tunnels
// without encryption, too. The client is told in HTTP while nothing else came, and no
// byte of the secret leaves.
func TestCredentialsInTunnels(t *testing.T) {
	t.Parallel()
	const get, secret = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /b HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic eDp5\r\n\r\n"
	for _, tt := range []struct {
		name, pool string
		cfg        gateway.Config
		send       []string // each but the last is answered before the next
		status     int      // of the last answer, 0: none
		code       string   // of the trace
	}{
		{"at once", proxy.PublicPool, gateway.Config{}, []string{secret}, 403, "plaintext_credentials"},
		{"unnamed pool", "", gateway.Config{}, []string{secret}, 403, "plaintext_credentials"},
		{"pipelined", proxy.PublicPool, gateway.Config{}, []string{get + secret}, 403, "plaintext_credentials"},
		{"in two parts", proxy.PublicPool, gateway.Config{}, []string{secret[:20] + "|" + secret[20:30] + "|" + secret[30:60] + "|" + secret[60:]}, 403, "plaintext_credentials"},
		{"second request", proxy.PublicPool, gateway.Config{}, []string{get, secret}, 0, "plaintext_credentials"},
		{"third request", proxy.PublicPool, gateway.Config{}, []string{get, get, secret}, 0, "plaintext_credentials"},
		{"none", proxy.PublicPool, gateway.Config{}, []string{get, get}, 200, ""},
		{"allowed", proxy.PublicPool, gateway.Config{PlaintextCredentials: "allow"}, []string{get, secret}, 200, ""},
		{"own upstream", "own", gateway.Config{Pools: []string{"own"}}, []string{get, secret}, 200, ""},
		{"plain_http", proxy.PublicPool, gateway.Config{PlainHTTP: "refuse"}, []string{get}, 403, "plain_http"},
		{"plain_http, body", proxy.PublicPool, gateway.Config{PlainHTTP: "refuse"}, []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"}, 403, "plain_http"},
	} {
		for _, by := range []string{"CONNECT", "SOCKS5"} {
			t.Run(tt.name+" "+by, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				var seen strings.Builder
				origin := serve(t, func(c *wire) {
					for {
						lines := c.head()
						if len(lines) == 0 {
							return
						}
						mu.Lock()
						fmt.Fprintln(&seen, lines)
						mu.Unlock()
						_, _ = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				})
				r := newRig(t, tt.cfg, honest(t))
				r.p.entries[0].Pool = tt.pool
				w := r.conn()
				if by == "SOCKS5" {
					if err := socks.Client5(w, addrOf(origin), "", ""); err != nil {
						t.Fatal(err)
					}
				} else {
					w.send("CONNECT " + origin.String() + " HTTP/1.1\r\nHost: " + origin.String() + "\r\n\r\n")
					w.answer("CONNECT")
				}
				var last *http.Response
				for i, text := range tt.send {
					for part := range strings.SplitSeq(text, "|") {
						w.send(part)
					}
					p, _, err := w.tryAnswer("GET")
					if last = p; err != nil && i+1 < len(tt.send) {
						t.Fatalf("answer %d: %v", i, err)
					}
				}
				status, code := 0, ""
				if last != nil {
					status, code = last.StatusCode, last.Header.Get("Freeway-Error")
				}
				if status != tt.status || status == 403 && code != tt.code {
					t.Errorf("the last answer is %d %q, want %d %q", status, code, tt.status, tt.code)
				}
				_ = w.Close()
				if got := r.p.trace(t, 1); got.Code != tt.code {
					t.Errorf("traced as %q, want %q", got.Code, tt.code)
				}
				for _, o := range r.p.outcomes(t, 0) {
					if o.Failed() {
						t.Errorf("the upstream is blamed: %v", o)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				if tt.code != "" && (strings.Contains(seen.String(), "Authorization") || strings.Contains(seen.String(), "/b")) {
					t.Errorf("the target saw %s", seen.String())
				}
			})
		}
	}
}

// TestGreetingComesAtOnce: what a server says first waits for no client.
func TestGreetingComesAtOnce(t *testing.T) {
	t.Parallel()
	server := serve(t, func(c *wire) {
		_, _ = io.WriteString(c.Conn, "220 mail.example ESMTP\r\n")
		_, _ = c.r.Peek(1)
	})
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(honest(t), 1)}}
	r := startRigWith(t, gateway.Config{}, p, func(g *gateway.Gateway) { g.SetGreetHold(2 * patience) })
	w := r.conn()
	w.send("CONNECT " + server.String() + " HTTP/1.1\r\nHost: " + server.String() + "\r\n\r\n")
	w.answer("CONNECT")
	w.expect("220 mail.example ESMTP\r\n")
}
