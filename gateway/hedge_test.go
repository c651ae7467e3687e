package gateway_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/dial"
	"freeway/gateway"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// hedging is a configuration whose hedges come at once.
func hedging(budget float64) gateway.Config {
	return gateway.Config{Hedge: gateway.Hedge{Enabled: true, MinDelay: time.Millisecond, Budget: budget}, Timeouts: quick}
}

// counted is startRig with metrics; value reads one without labels.
func counted(t *testing.T, cfg gateway.Config, p *picker) (r *rig, value func(name string) float64) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	reg := prometheus.NewRegistry()
	d := dial.New(dial.Config{}, dial.Env{Policy: policy, Control: loopback.Guard(t)})
	r = runRig(t, cfg, gateway.Env{Picker: p, Targets: policy, Dialer: d, Metrics: reg}, p)
	return r, func(name string) float64 {
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, f := range all {
			for _, m := range f.GetMetric() {
				if f.GetName() == "freeway_gateway_"+name {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		return sum
	}
}

// mute takes connections and says nothing until the other side goes.
func mute(t *testing.T) proxy.Endpoint {
	return upstream(t, proxy.HTTP, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) })
}

// fetchTLS gets a page of a TLS server through the rig.
func (r *rig) fetchTLS(o *httptest.Server, user string) error {
	c := r.client(user)
	c.Transport.(*http.Transport).TLSClientConfig = o.Client().Transport.(*http.Transport).TLSClientConfig
	p, err := c.Get(o.URL)
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	defer p.Body.Close()
	_, err = io.Copy(io.Discard, p.Body)
	return err
}

// TestHedge: a slow set-up, or a slow answer to the ClientHello, is overtaken on
// another exit; the one that was slow is blamed for nothing.
func TestHedge(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(o.Close)
	for name, slow := range map[string]proxy.Endpoint{
		"handshake": mute(t),
		"hello":     granting(t, func(c *wire) { _, _ = io.Copy(io.Discard, c.r) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(slow, 1), entry(honest(t), 2)}}
			cfg := hedging(1)
			cfg.Timeouts = gateway.Timeouts{}           // so long that only the hedge can be in time
			cfg.Hedge.MinDelay = 200 * time.Millisecond // so that the set-up that is fast has none
			r, value := counted(t, cfg, p)
			began := time.Now()
			if err := r.fetchTLS(o, "bob"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
			outs := r.p.outcomes(t, 2)
			if outs[0].Endpoint != slow || outs[0].Class != proxy.Canceled || !outs[0].Overtaken || outs[1].Class != proxy.OK {
				t.Errorf("outcomes %+v", outs)
			}
			tr := r.p.trace(t, 1)
			if n := len(tr.Attempts); n != 2 || !strings.HasPrefix(tr.Attempts[1].Why, "hedge: ") {
				t.Errorf("attempts %+v", tr.Attempts)
			}
			if value("hedges_total") != 1 || value("hedges_won_total") != 1 {
				t.Errorf("hedges %v, won %v", value("hedges_total"), value("hedges_won_total"))
			}
			until(t, "all leases are given back", func() bool { r.p.mu.Lock(); defer r.p.mu.Unlock(); return r.p.leased == 0 })
		})
	}
}

// TestHedgeThatLoses is ended and blamed for nothing.
func TestHedgeThatLoses(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(o.Close)
	hedged := make(chan struct{})
	slow := upstream(t, proxy.HTTP, func(c *wire) { <-hedged; forwardTo(c, "") })
	loser := upstream(t, proxy.HTTP, func(c *wire) { close(hedged); _, _ = io.Copy(io.Discard, c.r) })
	cfg := hedging(1)
	cfg.Timeouts = gateway.Timeouts{}
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(slow, 1), entry(loser, 2)}}
	r, value := counted(t, cfg, p)
	if err := r.fetchTLS(o, "bob"); err != nil {
		t.Fatal(err)
	}
	for _, o := range r.p.outcomes(t, 2) {
		if want := map[proxy.Endpoint]proxy.Class{slow: proxy.OK, loser: proxy.Canceled}[o.Endpoint]; o.Class != want {
			t.Errorf("%v: outcome %v, want %v", o.Endpoint, o.Class, want)
		}
	}
	if value("hedges_total") != 1 || value("hedges_won_total") != 0 {
		t.Errorf("hedges %v, won %v", value("hedges_total"), value("hedges_won_total"))
	}
}

// TestNoHedge: never in a session, in a metered pool, without budget, or when
// the client or the configuration says so. Then the slow one is to blame.
func TestNoHedge(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(o.Close)
	off := hedging(1)
	off.Hedge.Enabled = false
	pools := hedging(1)
	pools.Pools = []string{"public", "own"}
	for _, c := range []struct {
		name, user, pool string
		cfg              gateway.Config
		want             float64
	}{
		{"session", "bob-session-a", "public", hedging(1), 0},
		{"metered", "bob-pool-paid", "paid", hedging(1), 0},
		{"no budget", "bob", "public", hedging(0), 0},
		{"the client says no", "bob-hedge-off", "public", hedging(1), 0},
		{"off", "bob", "public", off, 0},
		{"off, but the client wants it", "bob-hedge-on", "public", off, 1},
		{"one upstream only", "bob-retry-1", "public", hedging(1), 0},
		{"the last try is of the next pool", "bob-retry-2", "public", pools, 0},
		{"two tries before the next pool", "bob-retry-3", "public", pools, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(mute(t), 1), entry(honest(t), 2)}}
			for i := range p.entries {
				p.entries[i].Pool = c.pool
			}
			c.cfg.Timeouts.Handshake = 200 * time.Millisecond
			r, value := counted(t, c.cfg, p)
			_ = r.fetchTLS(o, c.user)
			if got := value("hedges_total"); got != c.want {
				t.Errorf("%v hedges, want %v", got, c.want)
			}
			if outs := r.p.outcomes(t, 1); c.want == 0 && outs[0].Class != proxy.Timeout {
				t.Errorf("outcome %v, want timeout", outs[0].Class)
			}
		})
	}
}

// TestHedgeBudget: over many requests there are no more hedges than the share allows.
func TestHedgeBudget(t *testing.T) {
	t.Parallel()
	o := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(o.Close)
	slow := upstream(t, proxy.HTTP, func(c *wire) { time.Sleep(20 * time.Millisecond); forwardTo(c, "") })
	p := &picker{changed: make(chan struct{}), entries: []proxy.Entry{entry(slow, 1), entry(honest(t), 2)}}
	cfg := hedging(0.2)
	cfg.Timeouts = gateway.Timeouts{}
	r, value := counted(t, cfg, p)
	const requests = 30
	for range requests {
		if err := r.fetchTLS(o, "bob"); err != nil {
			t.Fatal(err)
		}
	}
	if got := value("hedges_total"); got < 1 || got > 0.2*requests {
		t.Errorf("%v hedges of %d requests, want at most a fifth", got, requests)
	}
}

// TestHedgesAmongFailures: with hedges all the time, over upstreams that fail in
// every way, each answer is right and nothing stays behind.
func TestHedgesAmongFailures(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{Hedge: gateway.Hedge{Enabled: true, MinDelay: 2 * time.Millisecond, Budget: 1}, Retry: gateway.Retry{Attempts: 16},
		Timeouts: gateway.Timeouts{Handshake: 500 * time.Millisecond, FirstByte: 500 * time.Millisecond, Total: patience}}
	var ups []lab.Upstream
	for _, b := range []lab.Behaviour{lab.Silent, lab.HTMLAfter200, lab.Refused, lab.Garbage, lab.ConnectNotAllowed, lab.LoginPage} {
		ups = append(ups, lab.Upstream{Behaviour: b, Latency: 3 * time.Millisecond, Spread: 1}, lab.Upstream{Latency: 3 * time.Millisecond, Spread: 1})
	}
	l, r := world(t, cfg, ups...)
	r.p.shuffle = true
	var wg sync.WaitGroup
	for range 8 {
		c := r.client("")
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: l.Roots()}
		c.Transport.(*http.Transport).DisableKeepAlives = true
		wg.Go(func() {
			for i := range 12 {
				if err := bytesOf(c, l.HTTPSName(), 1000+i); err != nil {
					t.Error(err)
				}
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
	overtaken := 0
	for _, o := range r.p.outcomes(t, 90) {
		if o.Overtaken {
			overtaken++
		}
	}
	if overtaken == 0 {
		t.Error("no attempt was overtaken")
	}
}
