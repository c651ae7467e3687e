package gateway_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xproxy "golang.org/x/net/proxy"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// world is a gateway over lab upstreams.
func world(t *testing.T, cfg gateway.Config, ups ...lab.Upstream) (*lab.Lab, *rig) {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &picker{changed: make(chan struct{})}
	for i, u := range ups {
		ep, err := l.Add(u)
		if err != nil {
			t.Fatal(err)
		}
		e := entry(ep, i+1)
		e.Password = proxy.NewSecret(u.Password)
		p.entries = append(p.entries, e)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t), Roots: l.Roots()})
	return l, runRig(t, cfg, gateway.Env{Picker: p, Targets: policy, Dialer: d}, p)
}

// bytesOf gets n deterministic bytes and checks their hash.
func bytesOf(c *http.Client, base string, n int) error {
	p, err := c.Get(fmt.Sprintf("%s/bytes/%d?seed=%d", base, n, n))
	if err != nil {
		return err
	}
	defer p.Body.Close()
	body, err := io.ReadAll(p.Body)
	if err != nil {
		return err
	}
	want := ""
	for name := range p.Header {
		if strings.Contains(strings.ToLower(name), "sha256") {
			want = p.Header.Get(name)
		}
	}
	if sum := sha256.Sum256(body); p.StatusCode != 200 || len(body) != n || want != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("%s: %d bytes, want %d with hash %q", p.Status, len(body), n, want)
	}
	return nil
}

// TestEveryProtocol: each kind of client reaches names and addresses, plain and
// in TLS, through each kind of upstream, and the targets see nobody else.
func TestEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, u := range []lab.Upstream{
		{Protocol: proxy.HTTP}, {Protocol: proxy.HTTPS}, {Protocol: proxy.SOCKS4}, {Protocol: proxy.SOCKS5},
		{Protocol: proxy.HTTP, User: "u", Password: "p"}, {Protocol: proxy.SOCKS5, User: "u", Password: "p"},
	} {
		t.Run(u.Protocol.String()+u.User, func(t *testing.T) {
			t.Parallel()
			l, r := world(t, gateway.Config{}, u)
			viaHTTP := r.client("")
			socks, err := xproxy.SOCKS5("tcp", r.addr, nil, xproxy.Direct)
			if err != nil {
				t.Fatal(err)
			}
			viaSOCKS := &http.Client{Transport: &http.Transport{DialContext: socks.(xproxy.ContextDialer).DialContext}, Timeout: patience}
			t.Cleanup(viaSOCKS.CloseIdleConnections)
			for kind, c := range map[string]*http.Client{"http": viaHTTP, "socks": viaSOCKS} {
				c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: l.Roots()}
				for _, base := range []string{l.HTTPName(), l.HTTPSName(), l.HTTPTarget(), l.HTTPSTarget()} {
					if err := bytesOf(c, base, 50_000); err != nil {
						t.Errorf("%s client, %s: %v", kind, base, err)
					}
				}
			}
			if n := l.DirectHits(); n != 0 {
				t.Errorf("%d direct connections to the targets", n)
			}
		})
	}
}

// TestSurvivesAHostileWorld: with one good upstream behind many bad ones every
// answer is right.
func TestSurvivesAHostileWorld(t *testing.T) {
	t.Parallel()
	bad := []lab.Behaviour{lab.Refused, lab.Garbage, lab.ConnectForbidden, lab.ConnectNotAllowed, lab.HTMLAfter200, lab.Locked, lab.ConnectForbidden}
	for _, b := range bad {
		l, r := world(t, gateway.Config{}, lab.Upstream{Behaviour: b}, lab.Upstream{})
		c := r.client("")
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: l.Roots()}
		bases := []string{l.HTTPSTarget(), l.HTTPSName()}
		if b != lab.ConnectForbidden && b != lab.ConnectNotAllowed && b != lab.HTMLAfter200 {
			bases = append(bases, l.HTTPName())
		}
		for _, base := range bases {
			if err := bytesOf(c, base, 5000); err != nil {
				t.Errorf("behind %s: %s: %v", b, base, err)
			}
		}
		if n := l.DirectHits(); n != 0 {
			t.Errorf("behind %s: %d direct connections", b, n)
		}
	}
}

// TestCutBodiesOfTheLab: what cannot be repaired is an error, never a wrong body.
func TestCutBodiesOfTheLab(t *testing.T) {
	t.Parallel()
	for _, b := range []lab.Behaviour{lab.ResetMidBody, lab.CutBodyFramed} {
		l, r := world(t, gateway.Config{}, lab.Upstream{Behaviour: b})
		for range 5 {
			if err := bytesOf(r.client(""), l.HTTPName(), 100_000); err == nil {
				t.Errorf("%s: a whole body", b)
			}
		}
		for _, o := range r.p.outcomes(t, 5) {
			if o.Class == proxy.OK {
				t.Errorf("%s: outcome %v", b, o.Class)
			}
		}
	}
}

// TestRandomCancels breaks clients off at random moments, also while hedges are
// under way; goleak in TestMain sees whether anything stays. FREEWAY_CANCELS is
// how many, 320 by default.
func TestRandomCancels(t *testing.T) {
	t.Parallel()
	cancels, _ := strconv.Atoi(os.Getenv("FREEWAY_CANCELS"))
	cfg := gateway.Config{Hedge: gateway.Hedge{Enabled: true, MinDelay: time.Millisecond, Budget: 1}}
	l, r := world(t, cfg, lab.Upstream{Behaviour: lab.Refused}, lab.Upstream{Latency: 3 * time.Millisecond}, lab.Upstream{Protocol: proxy.SOCKS5})
	name := strings.TrimPrefix(l.HTTPName(), "http://")
	texts := []string{
		"GET " + l.HTTPName() + "/bytes/100000 HTTP/1.1\r\nHost: " + name + "\r\n\r\n",
		"POST " + l.HTTPName() + "/echo HTTP/1.1\r\nHost: " + name + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nagain\r\n0\r\n\r\n",
		"CONNECT " + name + ":80 HTTP/1.1\r\nHost: " + name + "\r\n\r\nGET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n",
		"\x05\x01\x00\x05\x01\x00\x03" + string([]byte{byte(len(name))}) + name + "\x00\x50GET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n",
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(worker)))
			for i := range max(cancels, 320) / 8 {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				text := texts[i%len(texts)]
				_, _ = io.WriteString(c, text[:1+rng.IntN(len(text))])
				if rng.IntN(2) == 0 {
					_ = c.(*net.TCPConn).SetLinger(0)
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(8)) * time.Millisecond))
				_, _ = io.CopyN(io.Discard, c, rng.Int64N(100_000))
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	until(t, "everything has ended", func() bool {
		conns, tunnels, requests := r.g.Counts()
		r.p.mu.Lock()
		defer r.p.mu.Unlock()
		return conns+tunnels+requests+r.p.leased == 0
	})
	for _, o := range r.p.outcomes(t, 0) {
		if o.Class != proxy.OK && o.Class != proxy.Canceled && o.Class != proxy.Refused {
			t.Errorf("a client that went away is blamed on %s: %v %v", o.Endpoint, o.Stage, o.Class)
		}
	}
}

// failing fails some accepts.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Err: err}
	}
	return f.Listener.Accept()
}

func TestThreat98AcceptErrorsDoNotEndTheListener(t *testing.T) {
	t.Parallel()
	p := &picker{changed: make(chan struct{})}
	g, err := gateway.Open(gateway.Config{}, gateway.Env{Picker: p, Dialer: dial.New(dial.Config{}, dial.Env{})})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Serve(&failing{l, []error{syscall.EMFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.ECONNABORTED, errors.New("strange")}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	u := &url.URL{Scheme: "http", Host: l.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(u)}
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Get("http://example.com/")
	if err != nil || res.StatusCode != 503 {
		t.Errorf("after failed accepts: %v, %v", res, err)
	} else {
		res.Body.Close()
	}
	tr.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
