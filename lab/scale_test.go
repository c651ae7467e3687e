package lab_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

func TestLatencyIsLognormal(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for _, tt := range []struct {
		name               string
		u                  lab.Upstream
		median, p95, slack time.Duration
		top                time.Duration
	}{
		{"as in the field", lab.Upstream{Latency: 2600 * time.Millisecond, Spread: 0.75}, 2600 * time.Millisecond, 8930 * time.Millisecond, 300 * time.Millisecond, 10 * time.Second},
		{"fast", lab.Upstream{Latency: 100 * time.Millisecond, Spread: 0.5}, 100 * time.Millisecond, 228 * time.Millisecond, 10 * time.Millisecond, 800 * time.Millisecond},
		{"bounded", lab.Upstream{Latency: 100 * time.Millisecond, Spread: 2, MaxLatency: 150 * time.Millisecond}, 100 * time.Millisecond, 150 * time.Millisecond, 5 * time.Millisecond, 150 * time.Millisecond},
		{"exact", lab.Upstream{Latency: 70 * time.Millisecond}, 70 * time.Millisecond, 70 * time.Millisecond, 0, 70 * time.Millisecond},
		{"none", lab.Upstream{}, 0, 0, 0, 0},
		{"slow", lab.Upstream{Behaviour: lab.Slow}, 30 * time.Second, 30 * time.Second, 0, 30 * time.Second},
	} {
		got := lab.Latencies(tt.u, n)
		slices.Sort(got)
		if m := got[n/2]; (m - tt.median).Abs() > tt.slack {
			t.Errorf("%s: median %s, want %s", tt.name, m, tt.median)
		}
		if p := got[n*95/100]; (p - tt.p95).Abs() > tt.slack {
			t.Errorf("%s: p95 %s, want %s", tt.name, p, tt.p95)
		}
		if top := got[n-1]; top > tt.top {
			t.Errorf("%s: largest %s, want at most %s", tt.name, top, tt.top)
		}
	}
}

// TestIdleUpstreamsAreCheap does not run beside other tests, whose goroutines and descriptors it would count.
func TestIdleUpstreamsAreCheap(t *testing.T) {
	goroutines, files := runtime.NumGoroutine(), openFiles()
	l := start(t, lab.Config{Upstreams: 5000, Mix: scanMix()})
	if l.Addressing() != lab.Wildcard {
		t.Skip("only wildcard sockets are shared; here it is", l.Addressing())
	}
	if n := runtime.NumGoroutine() - goroutines; n > 30 {
		t.Errorf("5000 idle upstreams have %d goroutines, want at most 30", n)
	}
	if n := openFiles() - files; n > 40 {
		t.Errorf("5000 idle upstreams have %d descriptors, want at most 40", n)
	}
}

// openFiles counts descriptors, where that is possible.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

func TestSocketsAreLimited(t *testing.T) {
	t.Parallel()
	for _, mode := range []lab.Addressing{lab.PerAddress, lab.PerPort} {
		l, err := lab.StartWithLimit(t.Context(), lab.Config{Upstreams: 100, Addressing: mode, Mix: []lab.Share{{Weight: 1}}}, 30)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		defer l.Close()
		if n := len(l.Truth()); n != 30 {
			t.Errorf("%s: %d upstreams, want as many as the limit allows, 30", mode, n)
		}
		if ep, err := l.Add(lab.Upstream{}); err == nil {
			t.Errorf("%s: Add beyond the limit = %s", mode, ep)
		}
	}
}

// TestCloseInTheMiddle: Close comes while everything is in use, several times at once.
func TestCloseInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, mode := range modes() {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := lab.Start(ctx, lab.Config{Upstreams: 100, Addressing: mode, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		started := make(chan struct{}, 200)
		for _, tr := range l.Truth() {
			if tr.Behaviour == lab.SilentConnect {
				continue
			}
			wg.Go(func() {
				defer func() { started <- struct{}{} }()
				c, err := net.DialTimeout("tcp", tr.Endpoint.Address(), 10*time.Second)
				if err != nil {
					return
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				io.WriteString(c, "GET http://www.lab.test/slow?delay=1m HTTP/1.1\r\nHost: www.lab.test\r\n\r\n")
				started <- struct{}{}
				io.Copy(io.Discard, c)
			})
		}
		for range 50 {
			<-started
		}
		for range 3 {
			wg.Go(func() { l.Close() })
		}
		wg.Go(cancel)
		wg.Go(func() { l.Add(lab.Upstream{}) })
		wg.Go(func() { l.Truth(); l.DirectHits() })
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("%s: Close = %v", mode, err)
		}
	}
}

func TestStartWithAnEndedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := lab.Start(ctx, lab.Config{}); err == nil {
		l.Close()
		t.Error("a lab starts though its context has ended")
	}
}

func TestListenAddressIsTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if l, err := lab.Start(t.Context(), lab.Config{Listen: ln.Addr().String()}); err == nil {
		l.Close()
		t.Error("a lab starts at an address that is taken")
	}
}

// TestTwoLabs: two labs of one seed live side by side, at different ports.
func TestTwoLabs(t *testing.T) {
	t.Parallel()
	a, b := start(t, lab.Config{Seed: 77}), start(t, lab.Config{Seed: 77})
	for _, u := range []lab.Upstream{{}, {Behaviour: lab.Refused}, {Behaviour: lab.SilentConnect}} {
		if x, y := add(t, a, u), add(t, b, u); x == y {
			t.Errorf("both labs have %s", x)
		}
	}
}

func TestHostIsChosen(t *testing.T) {
	t.Parallel()
	host := netip.MustParseAddr("127.150.1.1")
	for _, mode := range []lab.Addressing{lab.Wildcard, lab.PerAddress} {
		l := start(t, lab.Config{Addressing: mode, Ports: 2})
		for range 2 {
			if ep := add(t, l, lab.Upstream{Host: host, Protocol: proxy.SOCKS5}); ep.Addr() != host {
				t.Errorf("%s: %s, want it at %s", mode, ep, host)
			}
		}
		if ep, err := l.Add(lab.Upstream{Host: host}); mode == lab.Wildcard && err == nil {
			t.Errorf("%s: a third upstream at two ports: %s", mode, ep)
		}
	}
}

// TestNobodyLivesThere: an address of the shared ports without an upstream resets.
func TestNobodyLivesThere(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{Addressing: lab.Wildcard})
	ep := add(t, l, lab.Upstream{})
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.251.1.1"), ep.Port).String(), 10*time.Second)
	if err != nil {
		return // as good
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("read = %d, %v, want a reset", n, err)
	}
}
