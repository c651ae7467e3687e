package lab_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// start opens a lab that ends with the test.
func start(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// add adds an upstream.
func add(t *testing.T, l *lab.Lab, u lab.Upstream) proxy.Endpoint {
	t.Helper()
	ep, err := l.Add(u)
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// through is a client that goes through an HTTP or SOCKS5 upstream by what the standard library has.
func through(t *testing.T, l *lab.Lab, ep proxy.Endpoint, password string) *http.Client {
	t.Helper()
	d := &net.Dialer{Timeout: 10 * time.Second, Control: loopback.Guard(t)}
	u := &url.URL{Scheme: ep.Protocol.String(), Host: ep.Address()}
	if ep.User != "" {
		u.User = url.UserPassword(ep.User, password)
	}
	tr := &http.Transport{
		Proxy: http.ProxyURL(u), DialContext: d.DialContext, DisableCompression: true,
		TLSClientConfig: &tls.Config{RootCAs: l.Roots()},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// get fetches a URL whole.
func get(c *http.Client, target string) (*http.Response, []byte, error) {
	res, err := c.Get(target)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func modes() []lab.Addressing { return []lab.Addressing{lab.Wildcard, lab.PerAddress, lab.PerPort} }

func TestHealthy(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		l := start(t, lab.Config{Addressing: mode})
		for _, p := range []proxy.Protocol{proxy.HTTP, proxy.HTTPS, proxy.SOCKS5} {
			t.Run(mode.String()+" "+p.String(), func(t *testing.T) {
				t.Parallel()
				ep := add(t, l, lab.Upstream{Protocol: p})
				c := through(t, l, ep, "")
				for _, base := range []string{l.HTTPTarget(), l.HTTPSTarget(), l.HTTPName(), l.HTTPSName()} {
					_, body, err := get(c, base+"/bytes/100000?seed=a")
					if err != nil || !bytes.Equal(body, lab.Bytes(100000, "a")) {
						t.Errorf("%s: %d bytes, %v, want 100000 right ones", base, len(body), err)
					}
					_, ip, err := get(c, base+"/ip")
					if want := exitOf(l, ep); err != nil || string(bytes.TrimSpace(ip)) != want {
						t.Errorf("%s/ip = %s, %v, want %s", base, ip, err, want)
					}
				}
			})
		}
	}
}

// exitOf is the exit by ground truth.
func exitOf(l *lab.Lab, ep proxy.Endpoint) string {
	for _, tr := range l.Truth() {
		if tr.Endpoint == ep {
			return tr.Exit.String()
		}
	}
	return "?"
}

func TestCloseByContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := lab.Start(ctx, lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	if c, err := net.Dial("tcp", l.HTTPTarget()[len("http://"):]); err == nil {
		c.Close()
		t.Error("the target still listens")
	}
}
