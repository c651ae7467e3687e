package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

func pick(t testing.TB, p *pool.Pool, want proxy.Want) proxy.Lease {
	t.Helper()
	l, err := p.Pick(context.Background(), want)
	if err != nil {
		t.Fatalf("Pick(%+v): %v", want, err)
	}
	return l
}

// use picks, reports a class for the target and closes.
func use(t testing.TB, p *pool.Pool, want proxy.Want, o proxy.Outcome) proxy.Entry {
	t.Helper()
	l := pick(t, p, want)
	o.Target = want.Target
	l.Report(o)
	l.Close()
	return l.Entry
}

func refused() proxy.Outcome {
	return proxy.Outcome{Stage: proxy.StageConnect, Class: proxy.Refused}
}

func TestPickSaysWhyNot(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	expect := func(want proxy.Want, text string) {
		t.Helper()
		_, err := p.Pick(context.Background(), want)
		var none *proxy.NoneError
		if !errors.As(err, &none) || !errors.Is(err, proxy.ErrNone) || !strings.Contains(none.Reason, text) || none.RetryAfter <= 0 {
			t.Errorf("Pick(%+v) = %v, want a NoneError with %q and a time to try again", want, err, text)
		}
	}
	expect(proxy.Want{}, "0 live of 0 known")
	found := many(12)
	add(t, p, "a", found)
	expect(proxy.Want{}, "0 live of 12 known")
	for _, c := range found[:5] {
		report(p, c.Endpoint, proxy.OK)
	}
	expect(proxy.Want{Pools: []string{"paid"}}, "0 live in pool paid; 5 live of 12 known")
	expect(proxy.Want{Filter: proxy.Filter{Countries: []string{"DE"}}, Need: proxy.NeedIPv6}, "5 live before the filter country=DE need=ipv6")
	want := proxy.Want{}
	for range 5 {
		l := pick(t, p, want)
		want.Avoid = append(want.Avoid, l.Entry.Endpoint)
	}
	expect(want, "5 live match, but all were tried")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Pick(ctx, proxy.Want{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Pick with a context that has ended = %v", err)
	}
}

func TestPickAvoids(t *testing.T) {
	t.Parallel()
	for _, rotation := range pool.Rotations() {
		t.Run(rotation, func(t *testing.T) {
			t.Parallel()
			p, _ := livePool(t, pool.Config{Rotation: rotation}, pool.Env{}, 8)
			var want proxy.Want
			seen := map[netip.Addr]bool{}
			for range 8 {
				l := pick(t, p, want)
				exit := l.Entry.Traits.ExitIP
				if seen[exit] {
					t.Fatalf("%v was picked though it was to be avoided", exit)
				}
				seen[exit] = true
				want.AvoidExits = append(want.AvoidExits, exit)
			}
			if l, err := p.Pick(context.Background(), want); err == nil {
				t.Errorf("all are to be avoided, and %v was picked", l.Entry.Endpoint)
			}
		})
	}
}

func TestPickPoolsInOrder(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	all := many(4)
	all[0].Pool, all[1].Pool = "own", "own"
	add(t, p, "a", all)
	for _, c := range all {
		report(p, c.Endpoint, proxy.OK)
	}
	want := proxy.Want{Pools: []string{"own", proxy.PublicPool}}
	for i := range 4 {
		l := pick(t, p, want)
		if wantPool := []string{"own", "own", "public", "public"}[i]; l.Entry.Pool != wantPool {
			t.Errorf("pick %d is from pool %s, want %s", i, l.Entry.Pool, wantPool)
		}
		want.Avoid = append(want.Avoid, l.Entry.Endpoint)
	}
	if l := pick(t, p, proxy.Want{}); l.Entry.Pool != proxy.PublicPool {
		t.Errorf("without pools the pick is from %s, want public", l.Entry.Pool)
	}
}

func TestThreeFailuresEject(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 20)
	ep := found[3].Endpoint
	only := proxy.Want{Filter: proxy.Filter{URL: ep.String()}}
	for i := range 3 {
		if st := state(t, p, ep); st != proxy.Live {
			t.Fatalf("after %d failures it is %v, want live", i, st)
		}
		use(t, p, only, refused())
	}
	if st := state(t, p, ep); st != proxy.Resting {
		t.Errorf("after 3 failures it is %v, want resting", st)
	}
	if l, err := p.Pick(context.Background(), only); err == nil {
		t.Errorf("%v was picked though traffic had ejected it", l.Entry.Endpoint)
	}
	if j := next(t, p); j.Entries[0].Endpoint != ep {
		t.Errorf("the next check is of %v, want the ejected one at once", j.Entries[0].Endpoint)
	}
	report(p, ep, proxy.OK)
	if p.Eligible(only) != 1 {
		t.Error("a check that passed did not bring it back")
	}
	e, _ := p.Find(ep)
	if e.Uses != (proxy.Tally{Failed: 3}) || e.Checks != (proxy.Tally{OK: 2}) || e.Error != (proxy.Fault{}) {
		t.Errorf("entry = %+v, want 3 failed uses, 2 good checks and no error", e)
	}
}

func TestSuccessEndsTheRow(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 1)
	for i := range 12 {
		o := refused()
		if i%3 == 2 {
			o = proxy.Outcome{Class: proxy.OK, Stage: proxy.StageBody, Phases: proxy.Phases{FirstByte: time.Second}}
		}
		use(t, p, proxy.Want{}, o)
	}
	if st := state(t, p, found[0].Endpoint); st != proxy.Live {
		t.Errorf("with every third use good it is %v, want live", st)
	}
	if e, _ := p.Find(found[0].Endpoint); e.Latency < 200*time.Millisecond || e.Latency > time.Second {
		t.Errorf("latency = %v, want an average of .1s and 1s", e.Latency)
	}
}

// TestOlderSnapshotsSeeIt: an ejection takes effect without a new snapshot.
func TestOlderSnapshotsSeeIt(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 100)
	for _, c := range found[:50] {
		report(p, c.Endpoint, proxy.Refused)
	}
	dead := map[proxy.Endpoint]bool{}
	for _, c := range found[:50] {
		dead[c.Endpoint] = true
	}
	for range 500 {
		if l := pick(t, p, proxy.Want{}); dead[l.Entry.Endpoint] {
			t.Fatalf("%v was picked after its check had failed", l.Entry.Endpoint)
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
		for _, c := range found {
			for range 3 {
				use(t, p, proxy.Want{Filter: proxy.Filter{URL: c.Endpoint.String()}}, refused())
			}
			if st := p.Stats(); st.Live == 4 {
				break
			}
		}
		seen := map[proxy.Endpoint]bool{}
		for range 500 {
			seen[pick(t, p, proxy.Want{}).Entry.Endpoint] = true
		}
		if len(seen) != 10 {
			t.Errorf("with 4 of 10 left %d are used, want all: ejections do not count then", len(seen))
		}
		if x := p.Explain(proxy.Want{}); !x.Panic {
			t.Errorf("Explain = %+v, want it to say panic", x)
		}
		report(p, found[0].Endpoint, proxy.Refused)
		for range 500 {
			if pick(t, p, proxy.Want{}).Entry.Endpoint == found[0].Endpoint {
				t.Fatal("one that failed its check is used in panic")
			}
		}
		time.Sleep(11 * time.Minute)
		for _, c := range found[6:] {
			report(p, c.Endpoint, proxy.OK)
		}
		for range 500 {
			if e := pick(t, p, proxy.Want{}).Entry; e.State != proxy.Live {
				t.Fatalf("%v was live more than ten minutes ago and is used", e.Endpoint)
			}
		}
	})
}

// TestAllDead: threats row 49.
func TestAllDead(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 1000)
	for _, c := range found {
		report(p, c.Endpoint, proxy.Refused)
	}
	began := time.Now()
	for range 1000 {
		if _, err := p.Pick(context.Background(), proxy.Want{}); !errors.Is(err, proxy.ErrNone) {
			t.Fatalf("Pick = %v, want that there is none", err)
		}
	}
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("1000 picks of nothing took %v", d)
	}
	report(p, found[0].Endpoint, proxy.OK)
	pick(t, p, proxy.Want{})
}

func TestLeases(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{Rotation: "least-used"}, pool.Env{}, 3)
	count := map[proxy.Endpoint]int{}
	var leases []proxy.Lease
	for range 9 {
		l := pick(t, p, proxy.Want{})
		count[l.Entry.Endpoint]++
		leases = append(leases, l)
	}
	if len(count) != 3 || count[found[0].Endpoint] != 3 {
		t.Errorf("least-used over 3 gave %v, want 3 each", count)
	}
	back := leases[4]
	for range 3 {
		back.Close()
		back.Report(proxy.Outcome{Class: proxy.Canceled})
		back.Report(refused())
	}
	if l := pick(t, p, proxy.Want{}); l.Entry.Endpoint != back.Entry.Endpoint {
		t.Errorf("%v was picked, want %v, the only one that was closed", l.Entry.Endpoint, back.Entry.Endpoint)
	}
	if e, _ := p.Find(back.Entry.Endpoint); e.Uses != (proxy.Tally{}) || e.Score != back.Entry.Score {
		t.Errorf("a cancelled use changed %+v", e)
	}
	other := leases[0]
	other.Report(refused())
	other.Report(refused())
	if e, _ := p.Find(other.Entry.Endpoint); e.Uses.Failed != 1 {
		t.Errorf("a lease reported twice counts %d times", e.Uses.Failed)
	}
}

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{Rotation: "round-robin"}, pool.Env{}, 50)
	count := map[proxy.Endpoint]int{}
	for range 500 {
		count[pick(t, p, proxy.Want{}).Entry.Endpoint]++
	}
	for ep, n := range count {
		if n != 10 {
			t.Errorf("%v was picked %d times, want 10", ep, n)
		}
	}
}

func TestFastest(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{Rotation: "fastest"}, pool.Env{})
	found := many(20)
	add(t, p, "a", found)
	for i, c := range found {
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.OK)
		v.Outcomes[0].Phases.FirstByte = time.Duration((i*7)%20+1) * 100 * time.Millisecond
		p.Report(v)
	}
	var want proxy.Want
	last := time.Duration(0)
	for range 20 {
		l := pick(t, p, want)
		if l.Entry.Latency < last {
			t.Fatalf("%v came after %v", l.Entry.Latency, last)
		}
		last = l.Entry.Latency
		want.Avoid = append(want.Avoid, l.Entry.Endpoint)
	}
}

// TestAdaptivePrefersTheGood: success matters more than anything, then speed;
// but nobody gets everything.
func TestAdaptivePrefersTheGood(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 30)
	all := many(1030)
	add(t, p, "list", all)
	for _, c := range all[30:] {
		report(p, c.Endpoint, proxy.Refused)
	}
	for range 20 {
		for _, c := range found[:10] {
			report(p, c.Endpoint, proxy.OK)
		}
	}
	p.Eligible(proxy.Want{}) // makes a snapshot
	good := map[proxy.Endpoint]int{}
	const picks = 2000
	for range picks {
		l := pick(t, p, proxy.Want{})
		good[l.Entry.Endpoint]++
		l.Close()
	}
	sum, most := 0, 0
	for _, c := range found[:10] {
		sum += good[c.Endpoint]
		most = max(most, good[c.Endpoint])
	}
	if sum < picks*8/10 || most > picks/4 {
		t.Errorf("the ten proven of thirty got %d of %d picks and one of them %d; want most, spread", sum, picks, most)
	}
}

// TestEqualsShare: of exits that are as good and as fast but for milliseconds, each gets its share,
// also where there are no more than the choice compares. Who was used first has proved
// more than the others, which must not keep them out.
func TestEqualsShare(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 14} {
		p, found := livePool(t, pool.Config{}, pool.Env{}, n)
		x := target(t, "a.example")
		count := map[proxy.Endpoint]int{}
		const each = 400
		for i := range each * n {
			l := pick(t, p, proxy.Want{Target: x})
			count[l.Entry.Endpoint]++
			l.Report(proxy.Outcome{Target: x, Stage: proxy.StageBody, Class: proxy.OK, Phases: proxy.Phases{FirstByte: time.Duration(1+i%4) * time.Millisecond}})
			l.Close()
			if i%20 == 0 {
				p.Eligible(proxy.Want{}) // makes a snapshot
			}
		}
		for _, c := range found {
			if got := count[c.Endpoint]; got < each/8 || got > each*8/5 {
				e, _ := p.Find(c.Endpoint)
				t.Errorf("of %d: %v got %d picks, want about %d; score %.3f, latency %v", n, c.Endpoint, got, each, e.Score, e.Latency)
			}
		}
	}
}

// TestLoadSpreads: the one that looks best does not get everything.
func TestLoadSpreads(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 3)
	for range 50 {
		report(p, found[0].Endpoint, proxy.OK)
	}
	count := map[proxy.Endpoint]int{}
	for range 120 {
		count[pick(t, p, proxy.Want{}).Entry.Endpoint]++ // never closed
	}
	if n := count[found[1].Endpoint] + count[found[2].Endpoint]; n < 10 {
		t.Errorf("of 120 uses at a time the others got %d, want some", n)
	}
}

// TestCrowd: nobody has more than 64 uses at a time while there are others,
// and with nobody else there is no limit.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for _, rotation := range []string{"fastest", "random", "adaptive"} {
		p, _ := livePool(t, pool.Config{Rotation: rotation}, pool.Env{}, 2)
		count := map[proxy.Endpoint]int{}
		for range 128 {
			count[pick(t, p, proxy.Want{}).Entry.Endpoint]++
		}
		for ep, n := range count {
			if n != 64 {
				t.Errorf("%s: %v has %d uses at a time, want 64", rotation, ep, n)
			}
		}
		for range 100 {
			pick(t, p, proxy.Want{})
		}
	}
}

// TestTargetFilter: per-target checks that passed can be asked for.
func TestTargetFilter(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s}, 5)
	for i, names := range [][]string{{"Shop"}, {"search", "shop"}, {"search"}} {
		ep := found[i].Endpoint
		v := verdict(proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{{Endpoint: ep}}}, proxy.OK)
		v.Reached = map[proxy.Endpoint][]string{ep: names}
		p.Report(v)
	}
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*pool.Pool{p, open(t, pool.Config{}, pool.Env{Store: s})} {
		for names, want := range map[string]int{"shop": 2, "search": 2, "SHOP,search": 3, "mail": 0} {
			var f proxy.Filter
			if err := f.Set("target", names); err != nil {
				t.Fatal(err)
			}
			if n := p.Eligible(proxy.Want{Filter: f}); n != want {
				t.Errorf("target=%s: %d eligible, want %d", names, n, want)
			}
			if _, n, _ := list(t, p, pool.Query{Filter: f}); n != want {
				t.Errorf("target=%s: %d listed, want %d", names, n, want)
			}
		}
	}
}

// TestRotationCountsExits: a farm of ports on one address is one exit.
func TestRotationCountsExits(t *testing.T) {
	t.Parallel()
	for _, rotation := range []string{"adaptive", "random", "round-robin"} {
		t.Run(rotation, func(t *testing.T) {
			t.Parallel()
			p := open(t, pool.Config{Rotation: rotation}, pool.Env{})
			found := many(20)
			for port := range 500 {
				found = append(found, candidate(t, fmt.Sprintf("http://5.5.5.5:%d", port+1)))
			}
			add(t, p, "a", found)
			for _, c := range found {
				report(p, c.Endpoint, proxy.OK)
			}
			if n := p.Eligible(proxy.Want{}); n != len(found) { // brings the snapshot up to date
				t.Fatalf("%d of %d are eligible", n, len(found))
			}
			farm := 0
			for range 2100 {
				l := pick(t, p, proxy.Want{})
				if l.Entry.Endpoint.Host == "5.5.5.5" {
					farm++
				}
				l.Close()
			}
			if farm > 300 || farm == 0 {
				t.Errorf("500 ports of one of 21 exits got %d of 2100 picks, want about 100", farm)
			}
		})
	}
}

// TestPoisoning: threats row 61. A flood of one owner gets a quarter, one of
// many owners from one list a half.
func TestPoisoning(t *testing.T) {
	t.Parallel()
	geo := func(a netip.Addr) (string, uint32, string) {
		if a.As4()[0] == 99 {
			return "XX", 666, "One Owner"
		}
		return "DE", uint32(a.As4()[1])<<8 | uint32(a.As4()[2]) + 1000, "Many"
	}
	owned := make([]proxy.Candidate, 900)
	for i := range owned {
		owned[i].Endpoint = proxy.Endpoint{Protocol: proxy.HTTP, Host: fmt.Sprintf("99.%d.%d.1", i/250, i%250), Port: 80}
	}
	honest := many(1000)
	for _, tt := range []struct {
		name  string
		flood []proxy.Candidate
		list  []proxy.Candidate
		most  int // of 4000
	}{{"one owner", owned, honest[:100], 1300}, {"one list", honest[200:1000], honest[:300], 2700}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, pool.Config{}, pool.Env{Geo: geo})
			add(t, p, "a", tt.list)
			add(t, p, "b", tt.list)
			add(t, p, "flood", tt.flood)
			bad := map[proxy.Endpoint]bool{}
			for _, c := range tt.flood {
				bad[c.Endpoint] = true
				report(p, c.Endpoint, proxy.OK)
			}
			for _, c := range tt.list {
				if !bad[c.Endpoint] { // those that others name, too, are known equally well
					report(p, c.Endpoint, proxy.OK)
				}
			}
			n := 0
			for range 4000 {
				l := pick(t, p, proxy.Want{})
				if bad[l.Entry.Endpoint] {
					n++
				}
				l.Close()
			}
			if n > tt.most {
				t.Errorf("the flood got %d of 4000 picks, want at most %d", n, tt.most)
			}
		})
	}
}

func TestGeneralFilter(t *testing.T) {
	t.Parallel()
	country := func(a netip.Addr) (string, uint32, string) {
		return []string{"DE", "FR", "US"}[a.As4()[2]%3], uint32(a.As4()[2]) + 1, ""
	}
	for _, tt := range []struct {
		name   string
		filter pool.FilterConfig
		want   int
	}{
		{"none", pool.FilterConfig{}, 9},
		{"countries", pool.FilterConfig{Countries: []string{"de", "FR"}}, 6},
		{"deny_countries", pool.FilterConfig{DenyCountries: []string{"DE"}}, 6},
		{"deny_asns", pool.FilterConfig{DenyASNs: []uint32{1, 2}}, 7},
		{"deny_cidrs", pool.FilterConfig{DenyCIDRs: []netip.Prefix{netip.MustParsePrefix("20.0.4.0/22")}}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, _ := livePool(t, pool.Config{}, pool.Env{Geo: country}, 9)
			if err := p.Apply(pool.Config{Filter: tt.filter}); err != nil {
				t.Fatal(err)
			}
			if n := p.Eligible(proxy.Want{}); n != tt.want {
				t.Errorf("%d of 9 are eligible, want %d", n, tt.want)
			}
		})
	}
	p := open(t, pool.Config{Filter: pool.FilterConfig{DenyCIDRs: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/22")}}}, pool.Env{})
	if y := add(t, p, "a", many(9)); y.Refused["denied by filter"] != 4 {
		t.Errorf("Add = %+v, want 4 denied", y)
	}
}

func TestUnsafe(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 3)
	for i, class := range []proxy.Class{proxy.Tampered, proxy.Forbidden} {
		ep := found[i].Endpoint
		report(p, ep, class)
		if st := state(t, p, ep); st != proxy.Unsafe {
			t.Errorf("%v made it %v, want unsafe", class, st)
		}
		add(t, p, "list", found)
		if st := state(t, p, ep); st != proxy.Unsafe {
			t.Errorf("a list made it %v, want still unsafe", st)
		}
	}
	use(t, p, proxy.Want{}, proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Tampered})
	if n := p.Eligible(proxy.Want{}); n != 0 {
		t.Errorf("%d eligible, want none: all tamper", n)
	}
	if _, err := p.Pick(context.Background(), proxy.Want{}); !errors.Is(err, proxy.ErrNone) {
		t.Errorf("Pick = %v; unsafe ones are not used in panic either", err)
	}
}

func TestLostCapabilities(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 1)
	before, _ := p.Find(found[0].Endpoint)
	odd := proxy.Want{Target: target(t, "example.com:8443"), Need: proxy.NeedTunnelAny}
	use(t, p, odd, proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.PortDenied, Status: 403})
	if p.Eligible(odd) != 0 || p.Eligible(proxy.Want{Need: proxy.NeedTunnel}) != 1 {
		t.Error("403 to port 8443 must lose other ports and nothing else")
	}
	use(t, p, proxy.Want{Target: target(t, "example.com"), Need: proxy.NeedTunnel}, proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.NoConnect, Status: 405})
	if p.Eligible(proxy.Want{Need: proxy.NeedTunnel}) != 0 || p.Eligible(proxy.Want{Need: proxy.NeedForward}) != 1 {
		t.Error("405 must lose tunnels and leave forwarding")
	}
	if after, _ := p.Find(found[0].Endpoint); after.Score != before.Score || after.State != proxy.Live {
		t.Errorf("capabilities were lost, and the score went from %v to %v", before.Score, after.Score)
	}
}

func TestPickConcurrently(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	p, found := livePool(t, pool.Config{}, pool.Env{}, 200)
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			want := proxy.Want{Target: target(t, fmt.Sprintf("site%d.example", w%3))}
			for i := range 300 {
				l, err := p.Pick(ctx, want)
				if err != nil {
					continue
				}
				class := []proxy.Class{proxy.OK, proxy.OK, proxy.OK, proxy.Timeout, proxy.Banned, proxy.BadGateway}[(i+w)%6]
				l.Report(proxy.Outcome{Class: class, Stage: proxy.StageTunnel, Target: want.Target})
				l.Close()
				p.Record(proxy.Trace{ID: fmt.Sprint(w, i), At: time.Now()})
			}
		})
	}
	workers.Go(func() {
		for i := range 20 {
			add(t, p, "more", many(1000+100*i))
			for _, c := range found[:50] {
				report(p, c.Endpoint, proxy.OK)
			}
		}
	})
	workers.Go(func() {
		for range 50 {
			p.Stats()
			p.Explain(proxy.Want{})
			if _, _, _, err := p.List(pool.Query{}); err != nil {
				t.Errorf("List: %v", err)
			}
		}
	})
	workers.Wait()
	cancel()
	wg.Wait()
}

// TestPickFindsWhatJustWentLive: whoever asks when an endpoint has gone live
// gets it, though the snapshot that shows it is due, or somebody else is making it.
func TestPickFindsWhatJustWentLive(t *testing.T) {
	t.Parallel()
	for round := range 100 {
		p, found := open(t, pool.Config{}, pool.Env{}), many(8)
		add(t, p, "list", found)
		_, _ = p.Pick(context.Background(), proxy.Want{}) // in vain
		for _, c := range found {
			report(p, c.Endpoint, proxy.OK)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				l, err := p.Pick(context.Background(), proxy.Want{})
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				l.Close()
			})
		}
		wg.Wait()
	}
}

// TestOvertaken: what another endpoint was faster than is blamed for nothing,
// but checked soon, and others are preferred until it works.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
	slow, other := found[0].Endpoint, found[1].Endpoint
	before, _ := p.Find(slow)
	for range 4 {
		use(t, p, proxy.Want{Avoid: []proxy.Endpoint{other}}, proxy.Outcome{Stage: proxy.StageHandshake, Class: proxy.Canceled, Overtaken: true})
	}
	after, _ := p.Find(slow)
	if after.State != proxy.Live || after.Score < before.Score-1e-6 || after.Uses != before.Uses {
		t.Errorf("it was blamed: %+v, before %+v", after, before)
	}
	if wait := time.Until(after.NextCheck); wait > 20*time.Second {
		t.Errorf("checked in %v, want soon", wait)
	}
	for range 20 {
		l := pick(t, p, proxy.Want{})
		if l.Entry.Endpoint != other {
			t.Fatalf("picked %v", l.Entry.Endpoint)
		}
		l.Close()
	}
}

// TestBehind: a snapshot of few endpoints is always made anew when it does not show
// everything, one of many only in a part of the time, also when the filter leaves few of them:
// all are looked at. Else picks in vain would keep the pool busy.
func TestBehind(t *testing.T) {
	t.Parallel()
	none := pool.FilterConfig{Countries: []string{"DE"}}
	for _, tt := range []struct {
		n      int
		filter pool.FilterConfig
		want   bool
	}{{1, pool.FilterConfig{}, true}, {64, none, true}, {65, pool.FilterConfig{}, false}, {65, none, false}} {
		p, _ := livePool(t, pool.Config{Filter: tt.filter}, pool.Env{}, tt.n)
		if got := p.Behind(); got != tt.want {
			t.Errorf("%d with filter %v: behind %v, want %v", tt.n, tt.filter, got, tt.want)
		}
	}
}
