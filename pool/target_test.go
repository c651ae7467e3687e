package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

func at(ep proxy.Endpoint, x proxy.Target) proxy.Want {
	return proxy.Want{Filter: proxy.Filter{URL: ep.String()}, Target: x}
}

func outcome(class proxy.Class) proxy.Outcome {
	stage := proxy.StageRequest
	if class == proxy.BadGateway {
		stage = proxy.StageHandshake
	}
	return proxy.Outcome{Stage: stage, Class: class}
}

// TestTargetDown: three proxies agree, so nobody is blamed and answers come fast.
func TestTargetDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
		x := target(t, "www.down.example")
		for i, c := range found[:3] {
			if i == 1 {
				use(t, p, at(found[0].Endpoint, x), outcome(proxy.BadGateway)) // the same again does not count
			}
			use(t, p, at(c.Endpoint, x), outcome(proxy.BadGateway))
		}
		if _, err := p.Pick(context.Background(), proxy.Want{Target: x}); !errors.Is(err, proxy.ErrTargetDown) {
			t.Errorf("Pick = %v, want that the target is down", err)
		}
		for _, other := range []string{"up.example", "www.down.example:80", "down.example"} {
			pick(t, p, proxy.Want{Target: target(t, other)}).Close()
		}
		if got := p.Targets(); len(got) != 1 || got[0].Domain != "down.example" || !slices.Equal(got[0].DownAt, []string{"www.down.example:443"}) {
			t.Errorf("Targets = %+v, want one port of down.example", got)
		}
		time.Sleep(2 * time.Minute)
		for _, c := range found[:3] {
			if e, _ := p.Find(c.Endpoint); e.State != proxy.Live || e.Error != (proxy.Fault{}) || e.Uses.Failed != 0 {
				t.Errorf("%v was blamed for a target that is down: %+v", e.Endpoint, e)
			}
		}
		use(t, p, at(found[0].Endpoint, x), outcome(proxy.OK))
		if got := p.Targets(); len(got) != 0 {
			t.Errorf("after a success Targets = %+v, want none", got)
		}
	})
}

// TestTargetDownProbes: once the time is over it is tried again, and longer
// the next time.
func TestTargetDownProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
		x := target(t, "down.example")
		last := time.Duration(0)
		for round := range 6 {
			for _, c := range found[3*round : 3*round+3] {
				use(t, p, at(c.Endpoint, x), outcome(proxy.BadGateway))
			}
			info := p.Targets()
			if len(info) != 1 || !info[0].Down {
				t.Fatalf("round %d: Targets = %+v, want it down", round, info)
			}
			d := time.Until(info[0].Until)
			if d < last || d > 30*time.Second { // it may be up again
				t.Errorf("round %d: down for %v after %v", round, d, last)
			}
			last = d
			time.Sleep(d)
			pick(t, p, proxy.Want{Target: x}).Close()
		}
		if !p.Forgive("down.example") || p.Forgive("down.example") || len(p.Targets()) != 0 {
			t.Error("Forgive did not forget, or twice")
		}
	})
}

// TestOneCannotReach: nobody agrees, so the proxy has its quarter of the blame,
// later, and a success of another says so at once.
func TestOneCannotReach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 5)
		x := target(t, "up.example")
		before, _ := p.Find(found[0].Endpoint)
		use(t, p, at(found[0].Endpoint, x), outcome(proxy.BadGateway))
		if e, _ := p.Find(found[0].Endpoint); e.Score != before.Score || e.Uses.Failed != 0 {
			t.Error("it was blamed before the others had spoken")
		}
		use(t, p, at(found[1].Endpoint, x), outcome(proxy.OK))
		e, _ := p.Find(found[0].Endpoint)
		if e.Score >= before.Score || e.Score < before.Score*.8 || e.State != proxy.Live || e.Uses.Failed != 1 {
			t.Errorf("score %v after %v, want a quarter failure; uses %+v", e.Score, before.Score, e.Uses)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		use(t, p, at(found[2].Endpoint, x), outcome(proxy.BadGateway))
		use(t, p, at(found[3].Endpoint, target(t, "else.example")), outcome(proxy.TargetFailed))
		time.Sleep(3 * time.Minute)
		if e, _ := p.Find(found[2].Endpoint); e.Error.Class != proxy.BadGateway || e.Uses.Failed != 1 {
			t.Errorf("nobody agreed for a minute, and it was not blamed: %+v", e)
		}
		if e, _ := p.Find(found[3].Endpoint); e.Uses.Failed != 0 {
			t.Errorf("it was blamed for what the target answered: %+v", e)
		}
		cancel()
		<-done
	})
}

// TestSuccessElsewhereInTheDomain: a port that is closed stays closed whatever
// the rest of the domain does.
func TestSuccessElsewhereInTheDomain(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
	closed, up := target(t, "shop.example:9999"), target(t, "shop.example")
	for _, c := range found[:3] {
		use(t, p, at(c.Endpoint, closed), outcome(proxy.BadGateway))
		use(t, p, at(found[5].Endpoint, up), outcome(proxy.OK))
	}
	if _, err := p.Pick(context.Background(), proxy.Want{Target: closed}); !errors.Is(err, proxy.ErrTargetDown) {
		t.Errorf("Pick = %v, want that the port is down", err)
	}
	if n := p.Eligible(proxy.Want{Target: up}); n != 10 {
		t.Errorf("%d of 10 eligible at the port that works", n)
	}
	if !p.Forgive("shop.example") {
		t.Error("Forgive does not know the domain")
	}
	pick(t, p, proxy.Want{Target: closed}).Close()
}

// TestCircuitsAreBounded: whoever asks for all ports of a host does not use up
// memory, and the circuit that is open stays.
func TestCircuitsAreBounded(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 400)
	x := target(t, "shop.example")
	for _, c := range found[:3] {
		use(t, p, at(c.Endpoint, x), outcome(proxy.BadGateway))
	}
	for i, c := range found[3:] {
		use(t, p, at(c.Endpoint, target(t, fmt.Sprint("shop.example:", 1000+i))), outcome(proxy.BadGateway))
	}
	if _, err := p.Pick(context.Background(), proxy.Want{Target: x}); !errors.Is(err, proxy.ErrTargetDown) {
		t.Errorf("Pick = %v, want that it is still down", err)
	}
}

// TestTargetThatBreaksOff: several exits reached it and got the same nothing, so
// nobody keeps the blame and no exit is kept from it. Proxies that die look the
// same, so the target is not taken for down, and those that have not failed come first.
func TestTargetThatBreaksOff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		o    proxy.Outcome
	}{
		{"reset", proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.Reset}},
		{"plain reset", proxy.Outcome{Stage: proxy.StageRequest, Class: proxy.Reset}},
		{"closed", proxy.Outcome{Stage: proxy.StageRequest, Class: proxy.EOF}},
		{"silent", proxy.Outcome{Stage: proxy.StageRequest, Class: proxy.Timeout}},
		{"not TLS", proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.Garbage}},
		{"cut", proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Truncated}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
				x := target(t, "www.down.example")
				use(t, p, at(found[0].Endpoint, proxy.Target{}), refused())
				charged, _ := p.Find(found[0].Endpoint)
				report(p, found[0].Endpoint, proxy.OK)
				before, _ := p.Find(found[0].Endpoint)
				for i, c := range found[:12] {
					use(t, p, at(c.Endpoint, x), tt.o)
					if e, _ := p.Find(c.Endpoint); i == 0 && e.Score > before.Score-(before.Score-charged.Score)/8 {
						t.Errorf("alone with its failure it has score %v after %v, want less", e.Score, before.Score)
					}
				}
				for _, c := range found[:12] {
					e, _ := p.Find(c.Endpoint)
					if e.State != proxy.Live || e.Error != (proxy.Fault{}) || e.Endpoint != before.Endpoint && e.Uses.Failed != 0 ||
						e.Endpoint == before.Endpoint && (e.Score < before.Score-1e-6 || e.Uses != before.Uses) {
						t.Errorf("it was blamed for the target: %+v, score before %v", e, before.Score)
					}
				}
				if n := p.Eligible(proxy.Want{Target: x}); n != 20 {
					t.Errorf("%d of 20 eligible", n)
				}
				if info := p.Targets(); len(info) != 0 {
					t.Errorf("Targets = %+v, want that nothing is known", info)
				}
				fresh := 0
				for range 100 {
					l := pick(t, p, proxy.Want{Target: x})
					if !slices.ContainsFunc(found[:12], func(c proxy.Candidate) bool { return c.Endpoint == l.Entry.Endpoint }) {
						fresh++
					}
					l.Close()
				}
				if fresh < 60 { // 40 if all were drawn alike
					t.Errorf("%d of 100 picks are of the 8 that have not failed here", fresh)
				}
			})
		})
	}
}

// TestExcusedUntilAnotherDelivers: who was excused because the others failed alike is
// blamed after all when the same request then succeeds, and only then.
func TestExcusedUntilAnotherDelivers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, request string
		blamed        bool
	}{
		{"the same request", "a", true},
		{"another request", "b", false},
		{"nobody knows which", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
				x := target(t, "www.shop.example")
				before, _ := p.Find(found[0].Endpoint)
				for _, c := range found[:3] {
					use(t, p, at(c.Endpoint, x), proxy.Outcome{Stage: proxy.StageRequest, Class: proxy.Reset, Request: "a"})
				}
				use(t, p, at(found[9].Endpoint, x), proxy.Outcome{Stage: proxy.StageBody, Class: proxy.OK, Request: tt.request})
				for _, c := range found[:3] {
					if e, _ := p.Find(c.Endpoint); (e.Score < before.Score-0.01) != tt.blamed || (e.Error == proxy.Fault{Stage: proxy.StageRequest, Class: proxy.Reset}) != tt.blamed {
						t.Errorf("score %v after %v, %+v; want blamed: %v", e.Score, before.Score, e.Error, tt.blamed)
					}
				}
			})
		})
	}
}

// TestPoolsSpeakForThemselves: that the exits of one pool cannot reach a target
// keeps no other pool from it; a success of any closes the circuit of all.
func TestPoolsSpeakForThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
		for i := range 4 {
			c := found[6+i]
			c.Pool = "own"
			add(t, p, "static", []proxy.Candidate{c})
		}
		p.Eligible(proxy.Want{})
		x := target(t, "www.shop.example")
		own, public, both := proxy.Want{Target: x, Pools: []string{"own"}}, proxy.Want{Target: x}, proxy.Want{Target: x, Pools: []string{proxy.PublicPool, "own"}}
		failing := func(all []proxy.Candidate, pools []string) {
			for _, c := range all {
				want := at(c.Endpoint, x)
				want.Pools = pools
				use(t, p, want, outcome(proxy.BadGateway))
			}
		}
		down := func(when string, want proxy.Want, is bool) {
			t.Helper()
			l, err := p.Pick(context.Background(), want)
			if errors.Is(err, proxy.ErrTargetDown) != is || err != nil && !is {
				t.Errorf("%s: Pick from %v = %v, want that it is down: %v", when, want.Pools, err, is)
			}
			if err == nil {
				l.Close()
			}
		}
		failing(found[:3], nil)
		down("public exits failed", public, true)
		down("public exits failed", own, false)
		down("public exits failed", both, false)
		session := both
		session.Session = proxy.SessionKey{User: "bob", ID: "a"}
		down("public exits failed", session, false)
		nobody := both
		nobody.Avoid = []proxy.Endpoint{found[6].Endpoint, found[7].Endpoint, found[8].Endpoint, found[9].Endpoint}
		down("public exits failed, and there are no others", nobody, true)

		failing(found[6:9], []string{"own"})
		down("all failed", own, true)
		down("all failed", both, true)
		if info := p.Targets(); len(info) != 1 || !slices.Equal(info[0].DownAt, []string{"www.shop.example:443"}) {
			t.Errorf("Targets = %+v, want one host and port", info)
		}
		time.Sleep(10 * time.Second)
		failing(found[:3], nil)
		down("public exits failed again", public, true)
		use(t, p, own, outcome(proxy.OK))
		down("an own exit delivered", public, false)
	})
}

// TestManyBreakOffAtOnce: nobody keeps the blame either when the failures of all
// come at the same time, as those of a silent target do.
func TestManyBreakOffAtOnce(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
	for round := range 100 {
		x := target(t, fmt.Sprint(round, ".example"))
		var leases []proxy.Lease
		for _, c := range found {
			leases = append(leases, pick(t, p, at(c.Endpoint, x)))
		}
		var all sync.WaitGroup
		for _, l := range leases {
			all.Go(func() {
				l.Report(proxy.Outcome{Target: x, Stage: proxy.StageTunnel, Class: proxy.Timeout})
				l.Close()
			})
		}
		all.Wait()
	}
	for _, c := range found {
		if e, _ := p.Find(c.Endpoint); e.State != proxy.Live || e.Error != (proxy.Fault{}) {
			t.Errorf("%v is %v, %+v after targets that say nothing", e.Endpoint, e.State, e.Error)
		}
	}
}

// TestOneRequestClosesNoTarget: neither the failures of a single request, unless
// nothing of it got there, nor those soon after a success, whoever agrees.
func TestOneRequestClosesNoTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		stage    proxy.Stage
		requests []string // of the failures
		worked   time.Duration
		down     bool
	}{
		{"one request", proxy.StageRequest, []string{"a", "a", "a"}, 0, false},
		{"two requests", proxy.StageRequest, []string{"a", "a", "b"}, 0, true},
		{"worked lately", proxy.StageRequest, []string{"a", "b", "c"}, 50 * time.Second, false},
		{"worked long ago", proxy.StageRequest, []string{"a", "b", "c"}, 2 * time.Minute, true},
		{"one request for a tunnel", proxy.StageHandshake, []string{"a", "a", "a"}, 0, true},
		{"tunnels, worked lately", proxy.StageHandshake, []string{"a", "b", "c"}, 50 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
				x := target(t, "www.shop.example")
				if tt.worked > 0 {
					use(t, p, at(found[9].Endpoint, x), outcome(proxy.OK))
					time.Sleep(tt.worked)
				}
				for i, id := range tt.requests {
					use(t, p, at(found[i].Endpoint, x), proxy.Outcome{Stage: tt.stage, Class: proxy.BadGateway, Request: id})
				}
				if _, err := p.Pick(context.Background(), proxy.Want{Target: x}); errors.Is(err, proxy.ErrTargetDown) != tt.down {
					t.Errorf("Pick = %v, want target down: %v", err, tt.down)
				}
				for i := range tt.requests {
					if e, _ := p.Find(found[i].Endpoint); e.Error != (proxy.Fault{}) {
						t.Errorf("%v keeps the blame: %+v", e.Endpoint, e.Error)
					}
				}
			})
		})
	}
}

// TestSameProxyBreaksOff: what only one exit meets stays its own, and so does
// what others meet in other ways.
func TestSameProxyBreaksOff(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
	for i, c := range []proxy.Class{proxy.Reset, proxy.Garbage, proxy.BadGateway} {
		use(t, p, at(found[i].Endpoint, target(t, "www.down.example")), proxy.Outcome{Stage: proxy.StageTunnel, Class: c})
	}
	pick(t, p, proxy.Want{Target: target(t, "www.down.example")}).Close()
	for i := range 3 {
		use(t, p, at(found[5].Endpoint, target(t, fmt.Sprint(i, ".example"))), proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.Reset})
	}
	if st := state(t, p, found[5].Endpoint); st != proxy.Resting {
		t.Errorf("after failing at three targets it is %v, want resting", st)
	}
}

// TestDownTargetDrainsNobody: what accepts and says nothing makes nobody guilty,
// though each proxy alone looks so.
func TestDownTargetDrainsNobody(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 50)
	x := target(t, "silent.example")
	for range 300 {
		use(t, p, proxy.Want{Target: x}, proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.Timeout})
	}
	if n := p.Stats().Live; n < 50 {
		t.Errorf("a silent target left %d of 50 live", n)
	}
	if p.Eligible(proxy.Want{Target: target(t, "up.example")}) < 45 {
		t.Error("a silent target keeps proxies from other targets")
	}
}

func TestBans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
		x := target(t, "www.shop.example")
		banned, other := found[0].Endpoint, found[1].Endpoint
		before, _ := p.Find(banned)
		ban := time.Minute
		for round := range 8 {
			use(t, p, at(other, x), outcome(proxy.OK))
			use(t, p, at(banned, x), outcome(proxy.Banned))
			for range 50 {
				if e := pick(t, p, proxy.Want{Target: target(t, "api.shop.example:8443")}).Entry; e.Endpoint == banned {
					t.Fatalf("round %d: banned and picked for the same domain", round)
				}
			}
			if p.Eligible(proxy.Want{Target: target(t, "else.example")}) != 2 {
				t.Fatalf("round %d: banned everywhere", round)
			}
			got := p.Targets()
			if len(got) != 1 || got[0].Domain != "shop.example" || len(got[0].Banned) != 1 || time.Until(got[0].Banned[0].Until) != ban {
				t.Fatalf("round %d: Targets = %+v, want one ban of %v", round, got, ban)
			}
			time.Sleep(ban)
			if p.Eligible(proxy.Want{Target: x}) != 2 {
				t.Fatalf("round %d: still banned after %v", round, ban)
			}
			ban = min(2*ban, 32*time.Minute)
		}
		if after, _ := p.Find(banned); after.State != proxy.Live || after.Error != (proxy.Fault{}) || after.Uses != before.Uses {
			t.Errorf("bans were blamed on the proxy: %+v", after)
		}
		o := outcome(proxy.Banned)
		o.RetryAfter = 3 * time.Hour
		use(t, p, at(banned, x), o)
		if got := p.Targets(); time.Until(got[0].Banned[0].Until) != 3*time.Hour {
			t.Errorf("Retry-After was not obeyed: %+v", got)
		}
	})
}

// TestBanIsOver: when the target has said for how long it refuses an exit, that is used as
// ever afterwards.
func TestBanIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 8)
		for range 20 {
			for _, c := range found {
				report(p, c.Endpoint, proxy.OK)
			}
		}
		x, banned := target(t, "shop.example"), found[3].Endpoint
		o := outcome(proxy.Banned)
		o.RetryAfter = time.Second
		use(t, p, at(banned, x), o)
		time.Sleep(2 * time.Second)
		p.Eligible(proxy.Want{}) // makes a snapshot
		n, all := 0, 800
		for range all {
			l := pick(t, p, proxy.Want{Target: x})
			if l.Entry.Endpoint == banned {
				n++
			}
			l.Report(proxy.Outcome{Target: x, Stage: proxy.StageBody, Class: proxy.OK, Phases: proxy.Phases{FirstByte: 100 * time.Millisecond}})
			l.Close()
		}
		if n < all/16 {
			t.Errorf("it had %d of %d uses, want about %d", n, all, all/8)
		}
	})
}

// TestThrottling: several exits get the same refusal, so nobody is banned.
func TestThrottling(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
	x := target(t, "busy.example")
	for _, c := range found[:10] {
		use(t, p, at(c.Endpoint, x), outcome(proxy.Banned))
	}
	if n := p.Eligible(proxy.Want{Target: x}); n != 20 {
		t.Errorf("%d of 20 eligible at a target that throttles, want all", n)
	}
	got := p.Targets()
	if len(got) != 1 || !got[0].Throttling || len(got[0].Banned) != 0 {
		t.Errorf("Targets = %+v, want that it throttles", got)
	}
}

// TestPairs: an exit that fails twice in a row for one target is kept from it.
func TestPairs(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
	x := target(t, "picky.example")
	for range 2 {
		use(t, p, at(found[1].Endpoint, x), outcome(proxy.OK))
		use(t, p, at(found[0].Endpoint, x), proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.EOF})
	}
	if p.Eligible(proxy.Want{Target: x}) != 9 || p.Eligible(proxy.Want{}) != 10 {
		t.Errorf("%d eligible there and %d elsewhere, want 9 and 10", p.Eligible(proxy.Want{Target: x}), p.Eligible(proxy.Want{}))
	}
}

// TestAllFailedHere: exits that failed at a target twice in a row are left out as long as there are
// others. When there are none they are tried all the same, but not those that are banned.
func TestAllFailedHere(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 4)
	x := target(t, "chaos.example")
	fail := func(c proxy.Candidate) {
		for range 2 {
			use(t, p, at(c.Endpoint, x), proxy.Outcome{Stage: proxy.StageRequest, Class: proxy.Reset})
			use(t, p, at(found[3].Endpoint, x), outcome(proxy.OK)) // so that it is not the target
		}
	}
	for _, c := range found[:3] {
		fail(c)
	}
	use(t, p, at(found[0].Endpoint, x), proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Banned, Status: 429})
	for range 50 {
		l := pick(t, p, proxy.Want{Target: x})
		if l.Entry.Endpoint != found[3].Endpoint {
			t.Fatalf("picked %v, which failed", l.Entry.Endpoint)
		}
		l.Close()
	}
	for range 2 {
		use(t, p, at(found[3].Endpoint, x), proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Truncated})
	}
	if n := p.Eligible(proxy.Want{Target: x}); n != 0 {
		t.Fatalf("%d eligible, want none", n)
	}
	seen := map[proxy.Endpoint]bool{}
	for range 50 {
		l := pick(t, p, proxy.Want{Target: x})
		seen[l.Entry.Endpoint] = true
		l.Close()
	}
	if len(seen) == 0 || seen[found[0].Endpoint] {
		t.Errorf("picked %v, want those that are not banned", seen)
	}
}

// TestScoreByDomain: how a proxy did at one domain counts there and not elsewhere,
// less and less, and is shrunk towards its own score.
func TestScoreByDomain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 2)
	picky, other := target(t, "picky.example"), target(t, "other.example")
	share := func(x proxy.Target) float64 {
		n := 0
		for range 2000 {
			l := pick(t, p, proxy.Want{Target: x})
			if l.Entry.Endpoint == found[0].Endpoint {
				n++
			}
			l.Close()
		}
		now = now.Add(5 * time.Minute) // the uses do not count any more, when shares are compared
		return float64(n) / 2000
	}
	p.Feedback(pool.Feedback{Proxy: found[0].Endpoint.String(), Target: "picky.example", Verdict: "banned"}) //nolint:errcheck // seen below
	if p.Eligible(proxy.Want{Target: picky}) != 1 {
		t.Fatal("the ban has no effect")
	}
	now = now.Add(2 * time.Minute) // the ban is over, what it says of the pair is not
	if there, elsewhere := share(picky), share(other); there > .1 || elsewhere < .3 || elsewhere > .7 {
		t.Errorf("it gets %.2f of the uses there and %.2f elsewhere, want less than .1 and about half", there, elsewhere)
	}
	for range 12 { // it works there again
		use(t, p, at(found[0].Endpoint, picky), outcome(proxy.OK))
		use(t, p, at(found[1].Endpoint, picky), outcome(proxy.OK))
		now = now.Add(10 * time.Minute)
	}
	p.Eligible(proxy.Want{})
	if there := share(picky); there < .3 || there > .7 {
		t.Errorf("when it has worked there again it gets %.2f of the uses, want about half", there)
	}
}

func TestBansSurviveRestart(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s}, 5)
	x := target(t, "shop.example")
	use(t, p, at(found[0].Endpoint, x), outcome(proxy.Banned))
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := open(t, pool.Config{}, pool.Env{Store: s})
	if n := again.Eligible(proxy.Want{Target: x}); n != 4 {
		t.Errorf("after a restart %d of 5 are eligible, want 4", n)
	}
	again.Forgive("shop.example")
	if err := again.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := open(t, pool.Config{}, pool.Env{Store: s}).Targets(); len(got) != 0 {
		t.Errorf("what was forgiven came back: %+v", got)
	}
}

func TestFeedback(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 5)
	x := target(t, "shop.example")
	ep := found[0].Endpoint
	p.Record(proxy.Trace{ID: "r1", Tag: "job7", At: time.Now(), Target: x, Attempts: []proxy.Attempt{{Endpoint: found[1].Endpoint}, {Endpoint: ep}}})
	for _, tt := range []struct {
		name string
		f    pool.Feedback
		err  error
	}{
		{"request", pool.Feedback{RequestID: "r1", Verdict: "Captcha"}, nil},
		{"no verdict", pool.Feedback{RequestID: "r1"}, pool.ErrInput},
		{"nobody", pool.Feedback{Verdict: "ok"}, pool.ErrInput},
		{"two", pool.Feedback{RequestID: "r1", Tag: "job7", Verdict: "ok"}, pool.ErrInput},
		{"unknown request", pool.Feedback{RequestID: "r2", Verdict: "ok"}, pool.ErrNotFound},
		{"unknown proxy", pool.Feedback{Proxy: "http://5.5.5.5:5", Verdict: "ok"}, pool.ErrNotFound},
		{"unknown session", pool.Feedback{Session: "a", Verdict: "ok"}, pool.ErrNotFound},
		{"ban without target", pool.Feedback{Proxy: ep.ID(), Verdict: "banned"}, pool.ErrInput},
		{"bad target", pool.Feedback{Proxy: ep.ID(), Target: "a b", Verdict: "banned"}, pool.ErrInput},
	} {
		n, err := p.Feedback(tt.f)
		if !errors.Is(err, tt.err) || tt.err == nil && n != 1 {
			t.Errorf("%s: Feedback = %d, %v, want %v", tt.name, n, err, tt.err)
		}
	}
	if p.Eligible(proxy.Want{Target: x}) != 4 || state(t, p, ep) != proxy.Live {
		t.Error("a captcha must ban the pair and nothing else")
	}
	if _, err := p.Feedback(pool.Feedback{Tag: "nope", Verdict: "ok"}); !errors.Is(err, pool.ErrNotFound) {
		t.Errorf("Feedback about nothing = %v, want ErrNotFound", err)
	}
	for _, f := range []pool.Feedback{{Proxy: ep.String(), Verdict: "bad_content"}, {Proxy: ep.ID(), Verdict: "failed"}, {Tag: "job7", Verdict: "failed"}} {
		if n, err := p.Feedback(f); n != 1 || err != nil {
			t.Errorf("Feedback(%+v) = %d, %v", f, n, err)
		}
	}
	if st := state(t, p, ep); st != proxy.Resting {
		t.Errorf("after three bad words it is %v, want resting", st)
	}
	pick(t, p, sticky("bob", "s1"))
	if n, err := p.Feedback(pool.Feedback{Session: "s1", Target: "a.example", Verdict: "banned"}); n != 1 || err != nil {
		t.Errorf("Feedback about a session = %d, %v", n, err)
	}
	pick(t, p, sticky("eve", "s1"))
	if _, err := p.Feedback(pool.Feedback{Session: "s1", Verdict: "ok"}); !errors.Is(err, pool.ErrInput) {
		t.Error("a session id that two users have was taken for one of them")
	}
}

// TestFeedbackAboutRunning: by its id or tag, and it hits the proxy in use.
func TestFeedbackAboutRunning(t *testing.T) {
	t.Parallel()
	x := target(t, "shop.example")
	found := many(3)
	one := proxy.Trace{ID: "r1", Tag: "job7", Target: x, Running: true, Attempts: []proxy.Attempt{{Endpoint: found[0].Endpoint}, {Endpoint: found[1].Endpoint}}}
	p, _ := livePool(t, pool.Config{}, pool.Env{Running: func(_ int, want func(*proxy.Trace) bool) []proxy.Trace {
		bare := one
		if bare.Attempts = nil; !want(&bare) {
			return nil
		}
		return []proxy.Trace{one}
	}}, 3)
	p.Record(proxy.Trace{ID: "r0", Tag: "job7", At: time.Now(), Target: x, Attempts: []proxy.Attempt{{Endpoint: found[2].Endpoint}}})
	if _, err := p.Feedback(pool.Feedback{RequestID: "r2", Verdict: "captcha"}); !errors.Is(err, pool.ErrNotFound) {
		t.Errorf("Feedback about another = %v", err)
	}
	if n, err := p.Feedback(pool.Feedback{RequestID: "r1", Verdict: "captcha"}); n != 1 || err != nil {
		t.Errorf("Feedback by id = %d, %v", n, err)
	}
	for range 20 {
		if ep := pick(t, p, proxy.Want{Target: x}).Entry.Endpoint; ep == found[1].Endpoint {
			t.Fatal("the proxy in use is not banned")
		}
	}
	if n, err := p.Feedback(pool.Feedback{Tag: "job7", Verdict: "captcha"}); n != 2 || err != nil {
		t.Errorf("Feedback by tag = %d, %v, want that of the running and the ended one", n, err)
	}
	if ep := pick(t, p, proxy.Want{Target: x}).Entry.Endpoint; ep != found[0].Endpoint {
		t.Errorf("picked %s", ep)
	}
}

func TestNamedProxyHasAnExit(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := candidates(t, "http://a.proxy.example:80", "http://b.proxy.example:80")
	add(t, p, "a", found)
	for _, c := range found {
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: 80, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.OK)
		v.Outcomes[0].Learned.ExitIP = netip.Addr{}
		p.Report(v)
	}
	x := target(t, "shop.example")
	use(t, p, at(found[0].Endpoint, x), outcome(proxy.Banned))
	for range 20 {
		if e := pick(t, p, proxy.Want{Target: x}).Entry; e.Endpoint != found[1].Endpoint {
			t.Fatal("a ban of a proxy known by name did not hold")
		}
	}
}
