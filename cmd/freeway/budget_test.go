package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"freeway/config"
	"freeway/internal/loopback"
)

// TestShareFiles: the shares never exceed the limit, every part has one, and
// what is configured is kept wherever it fits.
func TestShareFiles(t *testing.T) {
	t.Parallel()
	for _, limit := range []uint64{64, 128, 256, 1024, 4096, 1 << 16, 1 << 20} {
		for _, ask := range []struct{ conns, checks, lists int }{{0, 0, 8}, {100, 0, 8}, {0, 2000, 256}, {50_000, 10_000, 256}, {1, 1, 1}} {
			cfg := config.Default()
			cfg.Gateway.MaxConnections, cfg.Checker.Concurrency, cfg.Scraper.Concurrency = ask.conns, ask.checks, ask.lists
			b := shareFiles(limit, cfg)
			if sum := b.Own + b.Admin + b.Lists + b.Checks + b.Clients; sum > int(limit) {
				t.Errorf("%d, %+v: the shares make %d: %v", limit, ask, sum, b)
			}
			f := b.fit(cfg)
			need := f.Gateway.MaxConnections*clientFifths/5 + f.Checker.Concurrency*checkFiles + f.Scraper.Concurrency*listFiles
			if need > int(limit)-b.Own-b.Admin || f.Gateway.MaxConnections < 1 || f.Checker.Concurrency < 1 || f.Scraper.Concurrency < 1 || b.Admin < 8 {
				t.Errorf("%d, %+v: %d connections, %d checks, %d lists, %d for the admin listener need %d", limit, ask,
					f.Gateway.MaxConnections, f.Checker.Concurrency, f.Scraper.Concurrency, b.Admin, need)
			}
			if cuts := b.cuts(cfg); limit == 1<<20 && (len(cuts) > 0 || ask.conns > 0 && f.Gateway.MaxConnections != ask.conns) {
				t.Errorf("%d, %+v: cut although there is room: %v", limit, ask, cuts)
			}
		}
	}
	big := config.Default()
	big.Gateway.MaxConnections = 50_000
	if cuts := fmt.Sprint(shareFiles(1024, big).cuts(big)); !strings.Contains(cuts, "gateway.max_connections is ") || !strings.Contains(cuts, "instead of 50000") {
		t.Errorf("cuts = %s", cuts)
	}
	if b := shareFiles(0, big); b.fit(big).Gateway.MaxConnections != 50_000 || b.cuts(big) != nil {
		t.Errorf("without a limit: %+v", b)
	}
}

// TestBudgetMetric: the shares are shown, by part.
func TestBudgetMetric(t *testing.T) {
	t.Parallel()
	b := shareFiles(1024, config.Default())
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(b)
	got, err := reg.Gather()
	if err != nil || len(got) != 1 {
		t.Fatalf("Gather: %v, %v", got, err)
	}
	shown := map[string]int{}
	for _, m := range got[0].GetMetric() {
		shown[m.GetLabel()[0].GetValue()] = int(m.GetGauge().GetValue())
	}
	if want := map[string]int{"admin": 64, "checker": b.Checks, "gateway": b.Clients, "reserve": 64, "scraper": 16}; !maps.Equal(shown, want) {
		t.Errorf("freeway_descriptors_budget = %v, want %v", shown, want)
	}
	if problems, err := promlint.NewWithMetricFamilies(got).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}

// TestCrowd: connections that wait make room for new ones; those in use stay.
func TestCrowd(t *testing.T) {
	t.Parallel()
	hold, held := make(chan struct{}), make(chan struct{}, 8)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
		io.WriteString(w, "ok") //nolint:errcheck // the test reads it
	}))
	all := newCrowd(4)
	all.guard(srv.Config)
	srv.Start()
	defer srv.Close()
	d := net.Dialer{Control: loopback.Guard(t), Timeout: 10 * time.Second}
	dial := func(send string) net.Conn {
		c, err := d.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, send) //nolint:errcheck // the answer tells
		return c
	}
	answer := func(c net.Conn) string {
		b := make([]byte, 15)
		n, _ := io.ReadFull(c, b)
		return string(b[:n])
	}
	var busy []net.Conn
	for range 3 {
		busy = append(busy, dial("GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"))
		<-held
	}
	for i := range 50 {
		dial("") // says nothing
		if i%10 == 0 {
			if got := answer(dial("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); got != "HTTP/1.1 200 OK" {
				t.Errorf("after %d silent connections: %q", i+1, got)
			}
			// The client may have its answer before the server is done with the connection.
			eventually(t, "only those that are held are in use", func() bool {
				all.mu.Lock()
				defer all.mu.Unlock()
				return len(all.all)-len(all.idle) == len(busy)
			})
		}
	}
	close(hold)
	for _, c := range busy {
		if got := answer(c); got != "HTTP/1.1 200 OK" {
			t.Errorf("one in use was cut: %q", got)
		}
	}
}
