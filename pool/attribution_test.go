package pool_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// share measures how much of a full failure an outcome is charged to its proxy.
func share(t *testing.T, o proxy.Outcome) float64 {
	t.Helper()
	drop := func(o proxy.Outcome) float64 {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
		before, _ := p.Find(found[0].Endpoint)
		use(t, p, at(found[0].Endpoint, target(t, "row.example")), o)
		use(t, p, at(found[1].Endpoint, target(t, "row.example")), proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.OK}) // the target is up
		after, _ := p.Find(found[0].Endpoint)
		return before.Score - after.Score
	}
	return drop(o) / drop(refused())
}

// pairShut reports whether so many outcomes in a row keep the proxy from this target,
// and leave it to others.
func pairShut(t *testing.T, o proxy.Outcome, times int) bool {
	t.Helper()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
	here, elsewhere := at(found[0].Endpoint, target(t, "row.example")), at(found[0].Endpoint, target(t, "else.example"))
	for range times {
		use(t, p, here, o)
	}
	if p.Eligible(elsewhere) != 1 {
		t.Errorf("%v %v keeps the proxy from other targets", o.Stage, o.Class)
	}
	return p.Eligible(here) == 0
}

// targetDown reports whether three proxies that say the same make the target
// answer for itself, with nobody charged.
func targetDown(t *testing.T, o proxy.Outcome) bool {
	t.Helper()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 5)
	before, _ := p.Find(found[0].Endpoint)
	x := target(t, "row.example")
	for _, c := range found[:3] {
		l, err := p.Pick(context.Background(), at(c.Endpoint, x))
		if err != nil {
			t.Fatal(err)
		}
		o.Target = x
		l.Report(o)
		l.Close()
	}
	_, err := p.Pick(context.Background(), proxy.Want{Target: x})
	down := errors.Is(err, proxy.ErrTargetDown)
	for _, c := range found[:3] {
		if e, _ := p.Find(c.Endpoint); down && (e.State != proxy.Live || e.Score < before.Score-1e-6) {
			t.Errorf("the target is down and %v was charged", e.Endpoint)
		}
	}
	return down
}

// TestAttributionTable holds each row of docs/architecture.md, "Attribution".
func TestAttributionTable(t *testing.T) {
	t.Parallel()
	o := func(s proxy.Stage, c proxy.Class, status int) proxy.Outcome {
		return proxy.Outcome{Stage: s, Class: c, Status: status}
	}
	for _, row := range []struct {
		name  string
		o     proxy.Outcome
		proxy float64
		pair  int // outcomes until the pair is shut; 0: never
		down  bool
	}{
		{"refused", o(proxy.StageConnect, proxy.Refused, 0), 1, 0, false},
		{"connect timeout", o(proxy.StageConnect, proxy.Timeout, 0), 1, 0, false},
		{"handshake timeout", o(proxy.StageHandshake, proxy.Timeout, 0), 1, 0, false},
		{"TLS to the proxy failed", o(proxy.StageTLS, proxy.BadTLS, 0), 1, 0, false},
		{"garbage", o(proxy.StageHandshake, proxy.Garbage, 0), 1, 0, false},
		{"407 or SOCKS 0xFF", o(proxy.StageHandshake, proxy.AuthRequired, 407), 1, 0, false},
		{"CONNECT 405 or 501", o(proxy.StageHandshake, proxy.NoConnect, 405), 0, 0, false},
		{"CONNECT 502-504, SOCKS 3-6", o(proxy.StageHandshake, proxy.BadGateway, 502), 0.25, 2, true},
		{"200, then reset", o(proxy.StageTunnel, proxy.Reset, 0), 1, 2, false},
		{"200, then EOF", o(proxy.StageTunnel, proxy.EOF, 0), 1, 2, false},
		{"200, then silence", o(proxy.StageTunnel, proxy.Timeout, 0), 1, 2, false},
		{"200, then not TLS", o(proxy.StageTunnel, proxy.BadTLS, 0), 1, 2, false},
		{"plain 403, 429, 503", o(proxy.StageBody, proxy.Banned, 429), 0, 1, false},
		{"cut in the middle of the body", o(proxy.StageBody, proxy.Truncated, 0), 0.5, 2, false},
		{"the client went away", o(proxy.StageRequest, proxy.Canceled, 0), 0, 0, false},
		{"a hedge that lost", proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.Canceled, Overtaken: true}, 0, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got := share(t, row.o); math.Abs(got-row.proxy) > 0.1 {
					t.Errorf("charged to the proxy: %.2f of a failure, want %v", got, row.proxy)
				}
				if got := row.pair > 0 && pairShut(t, row.o, row.pair); got != (row.pair > 0) {
					t.Errorf("the pair is not shut after %d", row.pair)
				}
				if row.o.Class != proxy.NoConnect && row.pair == 0 && pairShut(t, row.o, 2) {
					t.Error("the pair is shut")
				}
				if got := targetDown(t, row.o); got != row.down {
					t.Errorf("the target is taken for down: %v, want %v", got, row.down)
				}
			})
		})
	}
}

// TestAttributionCapabilities: what a refusal to tunnel takes away, without blame.
func TestAttributionCapabilities(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, target string
		class        proxy.Class
		times        int
		lost, kept   proxy.Caps
	}{
		{"405", "a.example:443", proxy.NoConnect, 1, proxy.NeedTunnel | proxy.NeedTunnelAny, proxy.NeedForward},
		{"403 to another port", "a.example:8443", proxy.PortDenied, 1, proxy.NeedTunnelAny, proxy.NeedTunnel},
		{"403 to 443 once", "a.example:443", proxy.PortDenied, 1, 0, proxy.NeedTunnel},
		{"mistake 20: 403 to 443 for one domain after the other", "%d.com:443", proxy.PortDenied, 3, proxy.NeedTunnel, proxy.NeedForward},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p, found := livePool(t, pool.Config{}, pool.Env{}, 1)
			before, _ := p.Find(found[0].Endpoint)
			for i := range row.times {
				name := row.target
				if row.times > 1 {
					name = fmt.Sprintf(name, i)
				}
				use(t, p, proxy.Want{Target: target(t, name)}, proxy.Outcome{Stage: proxy.StageHandshake, Class: row.class})
			}
			if row.lost != 0 && p.Eligible(proxy.Want{Need: row.lost}) != 0 || p.Eligible(proxy.Want{Need: row.kept}) != 1 {
				t.Errorf("eligible with %b: %d, with %b: %d; want 0 and 1", row.lost, p.Eligible(proxy.Want{Need: row.lost}), row.kept, p.Eligible(proxy.Want{Need: row.kept}))
			}
			if after, _ := p.Find(found[0].Endpoint); after.Score < before.Score-1e-6 || after.State != proxy.Live {
				t.Errorf("blamed: score %v after %v", after.Score, before.Score)
			}
		})
	}
}

// TestMinInterval: an exit rests between two uses for the same domain.
func TestMinInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{}, pool.Env{}, 3)
		var mine proxy.Endpoint // the session's
		polite := proxy.Want{Target: target(t, "www.shop.example"), MinInterval: 10 * time.Second}
		for round := range 3 {
			seen := map[proxy.Endpoint]bool{}
			for range 3 {
				l := pick(t, p, polite)
				seen[l.Entry.Endpoint] = true
				l.Close()
			}
			if len(seen) != 3 {
				t.Errorf("round %d: %d exits, want 3", round, len(seen))
			}
			time.Sleep(4 * time.Second)
			_, err := p.Pick(context.Background(), polite)
			if none, ok := errors.AsType[*proxy.NoneError](err); !ok || none.Rest != 6*time.Second {
				t.Errorf("round %d: Pick = %v, want that all rest for another 6 s", round, err)
			}
			held := polite
			held.Session = proxy.SessionKey{User: "bob", ID: "a"}
			held.Target = target(t, "held.example")
			l := pick(t, p, held)
			l.Close()
			if round > 0 && l.Entry.Endpoint != mine {
				t.Errorf("round %d: the session moved because its exit rests", round)
			}
			mine = l.Entry.Endpoint
			_, err = p.Pick(context.Background(), held)
			if none, ok := errors.AsType[*proxy.NoneError](err); !ok || none.Rest != 10*time.Second {
				t.Errorf("round %d: Pick = %v, want that the session's exit rests for 10 s", round, err)
			}
			other := polite
			other.Target = target(t, "else.example")
			pick(t, p, other).Close()
			time.Sleep(6 * time.Second)
		}
	})
}

// TestLongIntervalIsKept: what is remembered of a domain does not go before its
// exits have rested.
func TestLongIntervalIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{Recheck: 24 * time.Hour}, pool.Env{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		polite := proxy.Want{Target: target(t, "shop.example"), MinInterval: time.Hour}
		pick(t, p, polite).Close()
		time.Sleep(59 * time.Minute)
		if n := p.Eligible(polite); n != 0 {
			t.Errorf("%d eligible after 59 of 60 minutes", n)
		}
		time.Sleep(time.Minute)
		pick(t, p, polite).Close()
		cancel()
		<-done
	})
}

// TestBusyTakesTheLeast: when all have as many uses as they should, the one
// with the fewest serves, and nobody is refused.
func TestBusyTakesTheLeast(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 2)
	count := map[proxy.Endpoint]int{}
	for range 128 {
		pick(t, p, proxy.Want{})
	}
	for range 100 {
		count[pick(t, p, proxy.Want{}).Entry.Endpoint]++
	}
	for ep, n := range count {
		if n != 50 {
			t.Errorf("%v took %d of 100 over the cap, want half", ep, n)
		}
	}
}
