package pool_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestReportsOfAll: what clients report of every exit is the target's doing, and
// nobody is banned for it, as with refusals that the gateway sees itself. While one
// works that nobody reports, those that are reported are banned.
func TestReportsOfAll(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		other  func(t *testing.T, p *pool.Pool, ep proxy.Endpoint) // what comes of another exit after each report
		banned int
	}{
		{"all are reported", nil, 0},
		{"another works", func(t *testing.T, p *pool.Pool, ep proxy.Endpoint) {
			use(t, p, at(ep, target(t, "www.picky.example")), outcome(proxy.OK))
		}, 5},
		{"a client says that another works", func(t *testing.T, p *pool.Pool, ep proxy.Endpoint) {
			p.Feedback(pool.Feedback{Proxy: ep.ID(), Target: "www.picky.example", Verdict: "ok"}) //nolint:errcheck // seen below
		}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, found := livePool(t, pool.Config{}, pool.Env{}, 6)
			x := target(t, "www.picky.example")
			for _, c := range found[:5] {
				use(t, p, at(c.Endpoint, x), outcome(proxy.OK)) // a page, with a riddle on it
				if n, err := p.Feedback(pool.Feedback{Proxy: c.Endpoint.ID(), Target: x.Host, Verdict: "captcha"}); n != 1 || err != nil {
					t.Fatalf("Feedback = %d, %v", n, err)
				}
				if tt.other != nil {
					tt.other(t, p, found[5].Endpoint)
				}
			}
			info := p.Targets()
			if len(info) != 1 || info[0].Throttling != (tt.banned == 0) || len(info[0].Banned) != tt.banned {
				t.Fatalf("Targets = %+v, want %d banned, and throttling with none", info, tt.banned)
			}
			if n := p.Eligible(proxy.Want{Target: x}); n != 6-tt.banned {
				t.Errorf("%d may be used, want %d", n, 6-tt.banned)
			}
		})
	}
}

// TestFilterAtOnce: what a new configuration keeps out is not handed out any more
// when Apply has returned.
func TestFilterAtOnce(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 3000) // more than a snapshot shows at any time
	report(p, found[1].Endpoint, proxy.OK)
	p.Eligible(proxy.Want{}) // makes a snapshot, and the next comes in some time
	deny := netip.PrefixFrom(netip.MustParseAddr(found[0].Endpoint.Host), 32)
	if err := p.Apply(pool.Config{Filter: pool.FilterConfig{DenyCIDRs: []netip.Prefix{deny}}}); err != nil {
		t.Fatal(err)
	}
	if l, err := p.Pick(t.Context(), at(found[0].Endpoint, target(t, "a.example"))); err == nil {
		l.Close()
		t.Errorf("%v was picked although %v is denied", found[0].Endpoint, deny)
	}
}

// TestOwnersShare: the exits of one network have a share together, also where nearly
// all are looked at for each choice.
func TestOwnersShare(t *testing.T) {
	t.Parallel()
	var found []proxy.Candidate
	add := func(host string) {
		ep, err := proxy.NewEndpoint(proxy.HTTP, host, 8080, "")
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, proxy.Candidate{Endpoint: ep})
	}
	for i := range 6 {
		add(fmt.Sprintf("20.7.7.%d", i+1))
	}
	for i := range 4 {
		add(fmt.Sprintf("20.8.%d.1", i))
	}
	p := open(t, pool.Config{}, pool.Env{})
	if _, err := p.Add(t.Context(), "list", found); err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		report(p, c.Endpoint, proxy.OK)
	}
	p.Eligible(proxy.Want{})
	x, one, all := target(t, "a.example"), 0, 4000
	for range all {
		l := pick(t, p, proxy.Want{Target: x})
		if netip.MustParsePrefix("20.7.7.0/24").Contains(netip.MustParseAddr(l.Entry.Endpoint.Host)) {
			one++
		}
		l.Report(proxy.Outcome{Target: x, Stage: proxy.StageBody, Class: proxy.OK})
		l.Close()
	}
	if part := float64(one) / float64(all); part > .4 || part < .1 {
		t.Errorf("six exits of one network, of ten, had %.2f of the uses, want about a fifth to a third", part)
	}
}

// TestTurnsAllAway: whoever answers with refusals and errors at several hosts in a row
// is checked soon, for nobody else can say whether they are its own. It is blamed for nothing.
func TestTurnsAllAway(t *testing.T) {
	t.Parallel()
	banned := proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Banned, Status: 403}
	failed := proxy.Outcome{Stage: proxy.StageBody, Class: proxy.OK, Status: 502}
	fine := proxy.Outcome{Stage: proxy.StageBody, Class: proxy.OK, Status: 200}
	for _, tt := range []struct {
		name  string
		uses  []proxy.Outcome // each at another host
		age   time.Duration   // of the latest check
		hurry bool
	}{
		{"refusals", []proxy.Outcome{banned, banned, banned}, 2 * time.Minute, true},
		{"refusals and errors", []proxy.Outcome{banned, failed, failed}, 2 * time.Minute, true},
		{"two", []proxy.Outcome{banned, failed}, 2 * time.Minute, false},
		{"something works", []proxy.Outcome{banned, banned, fine, banned}, 2 * time.Minute, false},
		{"checked just now", []proxy.Outcome{banned, banned, banned}, time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
				ep := found[0].Endpoint
				time.Sleep(tt.age)
				before, _ := p.Find(ep)
				for i, o := range tt.uses {
					use(t, p, at(ep, target(t, fmt.Sprintf("www.site%d.example", i))), o)
				}
				e, _ := p.Find(ep)
				if soon := time.Until(e.NextCheck) <= 20*time.Second; soon != tt.hurry || time.Until(before.NextCheck) <= 20*time.Second {
					t.Errorf("the next check is in %v, before in %v; want soon: %v", time.Until(e.NextCheck), time.Until(before.NextCheck), tt.hurry)
				}
				if e.State != proxy.Live || e.Error != (proxy.Fault{}) {
					t.Errorf("it is %v, %+v", e.State, e.Error)
				}
			})
		})
	}
}

// TestPanicIsUpToDate: when few are left, what failed a moment ago is not taken for as
// good as before.
func TestPanicIsUpToDate(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
	x, bad := target(t, "www.site.example"), map[proxy.Endpoint]bool{}
	for _, c := range found[:18] {
		bad[c.Endpoint] = true
		for i := range 3 {
			use(t, p, at(c.Endpoint, target(t, fmt.Sprintf("www.site%d.example", i))), refused())
		}
	}
	n := 0
	for range 200 {
		l := pick(t, p, proxy.Want{Target: x})
		if bad[l.Entry.Endpoint] {
			n++
		}
		l.Close()
	}
	if n > 40 { // one in three draws has one of the two, and none of three can be worse than all
		t.Errorf("%d of 200 picks are of those that have just failed three times", n)
	}
}

// TestLostAbilityAtOnce: who was seen not to tunnel is not asked for a tunnel again, also
// before the next snapshot is due.
func TestLostAbilityAtOnce(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 3000)
	ep, x := found[0].Endpoint, target(t, "a.example")
	want := at(ep, x)
	want.Need = proxy.NeedTunnel
	report(p, found[1].Endpoint, proxy.OK)
	p.Eligible(proxy.Want{}) // makes a snapshot, and the next comes in some time
	use(t, p, want, proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.NoConnect})
	if l, err := p.Pick(t.Context(), want); err == nil {
		l.Close()
		t.Errorf("%v was picked for a tunnel again", l.Entry.Endpoint)
	}
}
