package dial_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// repeat answers CONNECT and sends the requested host behind it, in the same write.
func repeat(c net.Conn) {
	host, _, _ := strings.Cut(strings.TrimPrefix(readHead(c), "CONNECT "), " ")
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+host)
	gone(c)
}

// TestTunnelsDoNotMix shares one Via, and with it the buffers that answers are read into.
func TestTunnelsDoNotMix(t *testing.T) {
	t.Parallel()
	via := dial.New(slow, env(t)).Via(endpoint(t, proxy.HTTP, listen(t, repeat), ""), proxy.Secret{})
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 20 {
				host := fmt.Sprintf("host-%d-%d.example:443", worker, i)
				c, err := via.DialContext(t.Context(), "tcp", host)
				if err != nil {
					t.Errorf("%s: %v", host, err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				if got := readN(c, len(host)); got != host {
					t.Errorf("the tunnel to %s gave %q", host, got)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
}

// TestCancelAtRandomMoments leaves the finding of leaks to TestMain and to
// listen, which waits until every connection has ended.
func TestCancelAtRandomMoments(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	secure := listen(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		repeat(s)
		s.Close()
	})
	e := env(t)
	e.Roots = roots
	d := dial.New(slow, e)
	vias := []*dial.Via{
		d.Via(endpoint(t, proxy.HTTP, listen(t, repeat), ""), proxy.Secret{}),
		d.Via(endpoint(t, proxy.SOCKS5, listen(t, serveSOCKS5), ""), proxy.Secret{}),
		d.Via(endpoint(t, proxy.HTTPS, secure, ""), proxy.Secret{}),
	}
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(rand.IntN(1500))*time.Microsecond, cancel)
		c, err := vias[i%len(vias)].Tunnel(ctx, target(t, "a.example:443"))
		switch {
		case err == nil:
			c.Close()
		case dial.Classify(err) != proxy.Canceled:
			t.Errorf("error %v, want a tunnel or canceled", err)
		}
		timer.Stop()
		cancel()
	}
}
