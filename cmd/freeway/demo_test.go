package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xproxy "golang.org/x/net/proxy"

	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// runDemo starts a demo for a test and ends it with it.
func runDemo(t *testing.T, f demoFlags) *demo {
	t.Helper()
	f.gateway, f.api, f.ownGateway, f.ownAPI = "127.0.0.1:0", "127.0.0.1:0", true, true
	f.lab.addressing = "auto"
	var log lockedBuffer
	d, err := startDemo(t.Context(), f, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.server.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		d.close()
		if t.Failed() {
			text := log.String()
			t.Logf("log:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return d
}

// lockedBuffer is written by the server and read by the test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all that was written.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestDemo is the whole job on a small scale: what works becomes live, what
// intercepts TLS does not, and requests of every kind come back whole over
// many exits.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := runDemo(t, demoFlags{lab: labFlags{upstreams: 120, seed: 3, speed: 20}, recheck: 2 * time.Second})
	eventually(t, "90 % of what has been up for a while is live", func() bool { return liveShare(d) >= 0.9 })
	mustNotBeLive(t, d, lab.Intercept)

	var right atomic.Int32
	const each = 40
	var wg sync.WaitGroup
	for kind, client := range d.clients(t) {
		wg.Go(func() {
			for i := range each {
				base := d.lab.HTTPSName()
				if kind == "http" || kind == "socks5" && i%2 == 0 {
					base = d.lab.HTTPName()
				}
				if err := fetch(t.Context(), client, base, 20_000+i, fmt.Sprintf("%s-%d", kind, i)); err != nil {
					t.Logf("%s request %d: %v", kind, i, err)
					continue
				}
				right.Add(1)
			}
		})
	}
	wg.Wait()
	if got := right.Load(); got*100 < 3*each*99 {
		t.Errorf("%d of %d requests came back whole, want 99 %%", got, 3*each)
	}
	if n := d.exits(); n < 8 {
		t.Errorf("requests left over %d exits, want several", n)
	}
	if n := d.lab.DirectHits(); n > 0 {
		t.Errorf("%d connections went to a target directly", n)
	}
	mustNotBeLive(t, d, lab.Intercept)
	mustTellWhere(t, d)
}

// liveShare is the part of the upstreams that have been up for a re-check
// interval and are live in the pool.
func liveShare(d *demo) float64 {
	up, live := 0, 0
	for _, u := range d.lab.Truth() {
		if !u.Up || time.Since(u.UpSince) < d.server.cfg.Checker.Recheck {
			continue
		}
		up++
		if e, ok := d.server.pool.Find(u.Endpoint); ok && e.State == proxy.Live {
			live++
		}
	}
	if up == 0 {
		return 0
	}
	return float64(live) / float64(up)
}

func mustNotBeLive(t *testing.T, d *demo, kind lab.Behaviour) {
	t.Helper()
	for _, u := range d.lab.Truth() {
		if e, ok := d.server.pool.Find(u.Endpoint); ok && u.Behaviour == kind && e.State == proxy.Live {
			t.Errorf("%v, which is %v, is live", u.Endpoint, kind)
		}
	}
}

// clients are an http client, an https client and a SOCKS5 client of the gateway.
func (d *demo) clients(t *testing.T) map[string]*http.Client {
	t.Helper()
	dialer := &net.Dialer{Control: loopback.Guard(t)}
	gateway := d.server.gateway.Addr().String()
	through := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: gateway}), DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{RootCAs: d.lab.Roots()}, DisableKeepAlives: true}
	socks, err := xproxy.SOCKS5("tcp", gateway, nil, dialer)
	if err != nil {
		t.Fatal(err)
	}
	over := &http.Transport{DialContext: socks.(xproxy.ContextDialer).DialContext, TLSClientConfig: through.TLSClientConfig, DisableKeepAlives: true}
	return map[string]*http.Client{
		"http": {Transport: through, Timeout: time.Minute}, "https": {Transport: through, Timeout: time.Minute},
		"socks5": {Transport: over, Timeout: time.Minute},
	}
}

// fetch asks a target for n bytes and compares them.
func fetch(ctx context.Context, client *http.Client, base string, n int, seed string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/bytes/%d?seed=%s", base, n, seed), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, lab.Bytes(n, seed)) {
		return fmt.Errorf("status %d, %d bytes, %s", resp.StatusCode, len(body), resp.Header.Get("Proxy-Status"))
	}
	return nil
}

// exits counts the exits over which requests went.
func (d *demo) exits() int {
	seen := map[netip.Addr]bool{}
	for _, r := range d.server.pool.Requests(1000) {
		for _, a := range r.Attempts {
			if a.Class == proxy.OK {
				seen[a.Exit] = true
			}
		}
	}
	return len(seen)
}

// mustTellWhere checks the text for newcomers.
func mustTellWhere(t *testing.T, d *demo) {
	t.Helper()
	text := d.text()
	for _, want := range []string{"http://" + d.server.gateway.Addr().String(), "http://" + d.server.admin.Addr().String() + "/api/proxies",
		"--cacert " + d.ca, "https://www.lab.test/ip", d.lab.TruthURL()} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if pem, err := os.ReadFile(d.ca); err != nil || !bytes.Equal(pem, d.lab.CAPEM()) {
		t.Errorf("%s does not hold the lab's CA: %v", d.ca, err)
	}
}

// TestDemoCommand runs the command itself until it is ready, then ends it.
func TestDemoCommand(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, errs lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"demo", "--upstreams", "40", "--gateway.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0"},
			nil, strings.NewReader(""), &out, &errs)
	}()
	eventually(t, "the demo is ready", func() bool { return strings.Contains(out.String(), "Ctrl-C ends it.") || len(done) > 0 })
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d, stderr:\n%s", code, errs.String())
	}
	if !strings.Contains(out.String(), "curl -x http://127.0.0.1:") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out.String(), errs.String())
	}
}
