package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

func TestNextWaitsForWhatIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{}, pool.Env{})
		began := time.Now()
		go func() {
			time.Sleep(time.Hour)
			add(t, p, "a", many(1))
		}()
		j := next2(t, p)
		if wait := time.Since(began); wait != time.Hour {
			t.Errorf("the first job came after %v, want at once when it was added, after 1h", wait)
		}
		for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute} {
			p.Report(verdict(j, proxy.Timeout))
			at := time.Now()
			j = next2(t, p)
			near(t, "a dead one", time.Since(at), want)
		}
	})
}

// next2 is next without a deadline, for virtual time.
func next2(t *testing.T, p *pool.Pool) proxy.Job {
	t.Helper()
	j, err := p.Next(t.Context())
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return j
}

// near allows for the jitter of a tenth and the grain of the clock.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got < want*9/10-time.Millisecond || got > want*11/10+time.Millisecond {
		t.Errorf("%s was due after %v, want %v give or take a tenth", what, got, want)
	}
}

func TestDueTimes(t *testing.T) {
	t.Parallel()
	for _, recheck := range []time.Duration{0, time.Second, time.Hour} {
		t.Run(recheck.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := open(t, pool.Config{Recheck: recheck}, pool.Env{})
				scale := 1.0
				if recheck != 0 {
					scale = float64(recheck) / float64(5*time.Minute)
				}
				add(t, p, "a", many(1))
				j := next2(t, p)
				step := func(class proxy.Class, minutes float64) {
					t.Helper()
					p.Report(verdict(j, class))
					at := time.Now()
					j = next2(t, p)
					near(t, class.String(), time.Since(at), time.Duration(minutes*scale*float64(time.Minute)))
				}
				step(proxy.OK, 5)
				step(proxy.OK, 5)
				for _, m := range []float64{.25, .5, 1, 2, 5, 10, 15, 20} {
					step(proxy.Timeout, m)
				}
				step(proxy.OK, 5)
				step(proxy.Refused, .25)
			})
		})
	}
}

// TestMetered: what costs money is checked rarely.
func TestMetered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{Metered: []string{"paid"}}, pool.Env{})
		found := many(1)
		found[0].Pool = "paid"
		add(t, p, "a", found)
		for _, want := range []struct {
			class proxy.Class
			after time.Duration
		}{{proxy.OK, time.Hour}, {proxy.Timeout, 3 * time.Minute}, {proxy.OK, time.Hour}} {
			p.Report(verdict(next2(t, p), want.class))
			e, _ := p.Find(found[0].Endpoint)
			near(t, want.class.String(), time.Until(e.NextCheck), want.after)
		}
	})
}

func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 200)
		early, late := time.Hour, time.Duration(0)
		for _, c := range found {
			e, _ := p.Find(c.Endpoint)
			d := time.Until(e.NextCheck)
			early, late = min(early, d), max(late, d)
		}
		if early < 270*time.Second-time.Millisecond || early > 280*time.Second || late < 320*time.Second || late > 330*time.Second {
			t.Errorf("live ones are due after %v to %v, want 270s to 330s", early, late)
		}
	})
}

func TestOneJobPerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{}, pool.Env{})
		add(t, p, "a", candidates(t, "http://5.1.1.1:80", "socks5://5.1.1.1:80", "socks4://5.1.1.1:80", "http://5.1.1.2:80"))
		first, second := next2(t, p), next2(t, p)
		if n := len(first.Entries) + len(second.Entries); n != 4 || first.Host == second.Host {
			t.Errorf("two jobs hold %d entries of %s and %s, want all 4 of two hosts", n, first.Host, second.Host)
		}
		add(t, p, "a", candidates(t, "http://5.1.1.1:80", "https://5.1.1.1:80"))
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
		defer cancel()
		if j, err := p.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while both addresses are claimed Next = %+v, %v", j, err)
		}
		began := time.Now()
		j := next2(t, p)
		if d := time.Since(began); d < 50*time.Second || d > 3*time.Minute {
			t.Errorf("claims that were never reported came back after 9m + %v, want 10m and a little", d)
		}
		p.Report(verdict(j, proxy.Refused))
	})
}

func TestGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{}, pool.Env{})
		add(t, p, "a", many(1))
		j := next2(t, p)
		p.Report(proxy.Verdict{Job: j})
		began := time.Now()
		again := next2(t, p)
		if d := time.Since(began); d < time.Second || d > 5*time.Minute {
			t.Errorf("a job given back came again after %v, want soon but not at once", d)
		}
		if e := again.Entries[0]; e.State != proxy.New || e.Checks != (proxy.Tally{}) {
			t.Errorf("a job given back changed the entry: %+v", e)
		}
	})
}

// TestInconclusive: what is the judge's fault costs no score, and only three
// times in a row the place among the live.
func TestInconclusive(t *testing.T) {
	t.Parallel()
	for _, class := range []proxy.Class{proxy.TargetFailed, proxy.Banned} {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 1)
		ep := found[0].Endpoint
		before, _ := p.Find(ep)
		for i := range 3 {
			if st := state(t, p, ep); st != proxy.Live {
				t.Errorf("after %d checks that ended %v it is %v, want live", i, class, st)
			}
			report(p, ep, class)
		}
		e, _ := p.Find(ep)
		if e.State != proxy.Resting || e.Checks.Failed != 0 || e.Score != before.Score || e.Error.Class != class {
			t.Errorf("after 3 checks that ended %v it is %+v, want resting with its score", class, e)
		}
		fresh := many(2)[1].Endpoint
		add(t, p, "list", many(2))
		report(p, fresh, class)
		if st := state(t, p, fresh); st != proxy.Dead {
			t.Errorf("a new one whose check ended %v is %v, want dead", class, st)
		}
	}
}

func TestCheckNow(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 10)
	if p.CheckNow("pnothing") {
		t.Error("CheckNow of an unknown id = true")
	}
	if !p.CheckNow(found[7].Endpoint.ID()) {
		t.Fatal("CheckNow = false")
	}
	if j := next(t, p); j.Entries[0].Endpoint != found[7].Endpoint {
		t.Errorf("the next job is %v, want %v", j.Entries[0].Endpoint, found[7].Endpoint)
	}
}

func TestBetterSourcesFirst(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{Rand: rand.New(rand.NewPCG(1, 2)).Uint64})
	all := many(3000)
	for i, c := range all[:200] { // half of good's worked, none of bad's
		src := [2]string{"good", "bad"}[i%2]
		add(t, p, fmt.Sprint(src, i), []proxy.Candidate{c})
	}
	good, bad := all[200:1600], all[1600:]
	add(t, p, "good", slices.Concat(good, all[:100]))
	add(t, p, "bad", slices.Concat(bad, all[100:200]))
	for i, c := range all[:200] {
		class := proxy.Refused
		if i < 50 {
			class = proxy.OK
		}
		report(p, c.Endpoint, class)
	}
	count := map[string]int{}
	for range 300 {
		for _, s := range next(t, p).Entries[0].Sources {
			count[s]++
		}
	}
	if count["good"] < 10*count["bad"] || count["bad"] == 0 {
		t.Errorf("of the first 300 new ones %d came from the source with yield .5 and %d from the one with 0; want many more, but not only", count["good"], count["bad"])
	}
}

func TestFarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{}, pool.Env{})
		var farm []proxy.Candidate
		for port := range 100 {
			farm = append(farm, candidate(t, fmt.Sprintf("socks5://5.5.5.5:%d", 1000+port)))
		}
		add(t, p, "a", append(farm, many(1)...))
		a, b := next2(t, p), next2(t, p)
		if a.Host == b.Host {
			t.Errorf("two ports of %s at once, want one to stand for the host", a.Host)
		}
		if a.Host != "5.5.5.5" {
			a, b = b, a
		}
		p.Report(verdict(b, proxy.OK))
		for i := 1; i <= 4; i++ { // live is checked again on the way
			p.Report(verdict(a, proxy.Timeout))
			at := time.Now()
			for a = next2(t, p); a.Host != "5.5.5.5" || a.Entries[0].Checks.Failed > 0; a = next2(t, p) {
				class := proxy.OK
				if a.Host == "5.5.5.5" {
					class = proxy.Timeout // a dead port again
				}
				p.Report(verdict(a, class))
			}
			if d := time.Since(at); d != time.Duration(i)*time.Minute {
				t.Errorf("after %d dead ports the next came after %v, want %d minutes", i, d, i)
			}
		}
		p.Report(verdict(a, proxy.OK))
		began, seen := time.Now(), 0
		for seen < 90 {
			j := next2(t, p)
			if j.Host == "5.5.5.5" {
				seen++
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("once a port had passed the others came after %v, want at once", d)
		}
	})
}

func TestFarmPortDeleted(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	add(t, p, "a", candidates(t, "http://5.5.5.5:1", "http://5.5.5.5:2", "http://5.5.5.5:3"))
	first := next(t, p)
	if ok, err := p.Delete(context.Background(), first.Entries[0].Endpoint.ID()); !ok || err != nil {
		t.Fatalf("Delete = %v, %v", ok, err)
	}
	second := next(t, p)
	if second.Port == first.Port || second.Host != "5.5.5.5" {
		t.Errorf("after the port that stood for the host was deleted came %v, want another port", second)
	}
	p.Report(verdict(first, proxy.OK))
	if _, ok := p.Find(first.Entries[0].Endpoint); ok {
		t.Error("a verdict brought back what was deleted")
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{Once: true}, pool.Env{})
	if _, err := p.Next(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("Next of an empty one-shot pool = %v, want EOF", err)
	}
	release := p.Hold()
	found := many(2000)
	for port := range 50 {
		found = append(found, candidate(t, fmt.Sprintf("http://5.5.5.5:%d", port+1)))
	}
	add(t, p, "a", found)
	add(t, p, "b", found)
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for w := range 20 {
		wg.Go(func() {
			for {
				j, err := p.Next(context.Background())
				if errors.Is(err, io.EOF) {
					return
				}
				if err != nil {
					t.Errorf("Next: %v", err)
					return
				}
				mu.Lock()
				seen[j.Entries[0].Endpoint.String()]++
				if len(seen) == len(found) {
					release()
				}
				mu.Unlock()
				p.Report(verdict(j, []proxy.Class{proxy.OK, proxy.Timeout, proxy.TargetFailed, proxy.BadGateway}[w%4]))
			}
		})
	}
	wg.Wait()
	if len(seen) != len(found) {
		t.Errorf("%d addresses were given out, want %d", len(seen), len(found))
	}
	for ep, n := range seen {
		if n != 1 {
			t.Errorf("%s was given out %d times, want once", ep, n)
		}
	}
}

// TestOnceFindsAnotherProtocol: what a check found instead of a guess has had its
// turn with it, and so has what nobody had a word on.
func TestOnceFindsAnotherProtocol(t *testing.T) {
	t.Parallel()
	for _, judged := range []bool{true, false} {
		p := open(t, pool.Config{Once: true}, pool.Env{})
		guess := candidate(t, "http://5.5.5.5:1080")
		guess.Guess = true
		add(t, p, "a", []proxy.Candidate{guess})
		found := candidate(t, "socks5://5.5.5.5:1080")
		v := verdict(next(t, p), proxy.Garbage)
		v.Found = []proxy.Candidate{found}
		if judged {
			v.Outcomes = append(v.Outcomes, proxy.Outcome{Endpoint: found.Endpoint, Stage: proxy.StageVerify, Class: proxy.OK})
		}
		p.Report(v)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if j, err := p.Next(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("judged %v: Next = %+v, %v, want EOF", judged, j, err)
		}
		cancel()
		if st := state(t, p, found.Endpoint); judged && st != proxy.Live {
			t.Errorf("what was found is %v, want live", st)
		}
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := p.Next(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("Next = %v, want that it was cancelled", err)
			}
		})
	}
	cancel()
	wg.Wait()
	if _, err := p.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a context that has ended = %v", err)
	}
}

// TestADay runs a virtual day of 1,000 entries and 16 workers and checks that
// live ones are checked on time and dead ones less and less.
func TestADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		p := open(t, pool.Config{}, pool.Env{})
		found := many(1000)
		add(t, p, "a", found)
		alive := map[string]bool{}
		for _, c := range found[:20] {
			alive[c.Endpoint.Host] = true
		}
		var mu sync.Mutex
		checks := map[bool]int{}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		for range 16 {
			wg.Go(func() {
				for {
					j, err := p.Next(ctx)
					if err != nil {
						return
					}
					time.Sleep(time.Second)
					class := proxy.Timeout
					if alive[j.Host] {
						class = proxy.OK
					}
					p.Report(verdict(j, class))
					mu.Lock()
					checks[alive[j.Host]]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if n := checks[true]; n < 20*270 || n > 20*310 {
			t.Errorf("20 live ones had %d checks in a day, want about %d", n, 20*288)
		}
		if n := checks[false]; n < 980*20 || n > 980*27 {
			t.Errorf("980 dead ones had %d checks in a day, want about 24 each", n)
		}
		if st := p.Stats(); st.Live != 20 || st.Dead != 980 {
			t.Errorf("after a day: %+v", st)
		}
	})
}

func TestForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s})
		all := many(4)
		add(t, p, "a", all[:3])
		if _, err := p.Insert(t.Context(), all[3:]); err != nil {
			t.Fatal(err)
		}
		report(p, all[0].Endpoint, proxy.OK)
		for _, c := range all[1:] {
			report(p, c.Endpoint, proxy.Timeout)
		}
		add(t, p, "a", all[:2]) // the third is named no more
		runFor := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			if err := p.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		report(p, all[0].Endpoint, proxy.Timeout)
		runFor(2 * time.Minute)
		if st := state(t, p, all[0].Endpoint); st != proxy.Resting {
			t.Errorf("just failed: %v, want resting", st)
		}
		time.Sleep(25 * time.Hour)
		runFor(2 * time.Minute)
		if st := state(t, p, all[0].Endpoint); st != proxy.Dead {
			t.Errorf("failed a day ago: %v, want dead", st)
		}
		time.Sleep(7 * 24 * time.Hour)
		runFor(2 * time.Minute)
		if _, ok := p.Find(all[2].Endpoint); ok {
			t.Error("dead and named by nobody for a week, and still there")
		}
		for range 401 {
			report(p, all[1].Endpoint, proxy.Timeout)
			report(p, all[3].Endpoint, proxy.Timeout)
		}
		runFor(2 * time.Minute)
		if _, ok := p.Find(all[1].Endpoint); ok {
			t.Error("missed 402 times and still there")
		}
		if _, ok := p.Find(all[3].Endpoint); !ok {
			t.Error("the operator's was forgotten")
		}
		if _, _, recs := s.counts(); recs != 2 {
			t.Errorf("the store has %d records, want 2", recs)
		}
	})
}

// TestClockThatGoesBack: threats row 74. Nothing is from the future, due in a
// day, or lost, when the clock was set back between two runs or in one.
func TestClockThatGoesBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	wall := time.Unix(1_800_000_000, 0)
	set := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		wall = wall.Add(d)
	}
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return wall
	}
	s := newMemStore()
	p, found := livePool(t, pool.Config{}, pool.Env{Store: s, Now: now}, 3)
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	set(-24 * time.Hour)
	p = open(t, pool.Config{}, pool.Env{Store: s, Now: now})
	e, _ := p.Find(found[0].Endpoint)
	if e.LastLive.After(now()) || e.FirstSeen.After(now()) {
		t.Errorf("after the clock was set back the entry is from the future: %+v", e)
	}
	if d := e.NextCheck.Sub(now()); d < 0 || d > 11*time.Minute {
		t.Errorf("it is next checked in %v, want soon", d)
	}
	if p.Eligible(proxy.Want{}) != 3 {
		t.Error("live ones were lost with the clock")
	}
	set(-time.Hour)
	report(p, found[0].Endpoint, proxy.OK)
	if e, _ := p.Find(found[0].Endpoint); e.LastChecked.After(now().Add(2*time.Hour)) || e.Score < .3 {
		t.Errorf("a check after the clock was set back: %+v", e)
	}
	set(10 * 24 * time.Hour) // and forward, as after a sleep
	e, _ = p.Find(found[0].Endpoint)
	if age := now().Sub(e.LastLive); age < 0 || p.Eligible(proxy.Want{}) != 3 {
		t.Errorf("age %v, %d eligible: a leap forward must not demote", age, p.Eligible(proxy.Want{}))
	}
}

// TestOnceLetsGo: an address of which everything was judged is forgotten, with what was
// found there; one that is claimed, or of which something is to come, is not. So a source
// may name more than the pool holds.
func TestOnceLetsGo(t *testing.T) {
	t.Parallel()
	const most, named = 2000, 10_000
	p := open(t, pool.Config{Once: true, MaxEntries: most}, pool.Env{})
	defer p.Hold()()
	check := func() {
		j := next(t, p)
		if p.Checked(&j) {
			t.Error("an address that is claimed was forgotten")
		}
		v := verdict(j, proxy.Refused)
		found := proxy.Endpoint{Protocol: proxy.SOCKS5, Host: j.Host, Port: j.Port}
		v.Found = []proxy.Candidate{{Endpoint: found}}
		v.Outcomes = append(v.Outcomes, proxy.Outcome{Endpoint: found, Stage: proxy.StageVerify, Class: proxy.OK})
		p.Report(v)
		if _, ok := p.Find(found); !ok {
			t.Errorf("%v is not known before it was let go", found)
		}
		for range 2 { // the second time there is nothing
			if !p.Checked(&j) {
				t.Errorf("%s was not forgotten", j.Host)
			}
		}
		if _, ok := p.Find(found); ok {
			t.Errorf("%v is still there", found)
		}
	}
	checked := 0
	y, err := p.AddAll(t.Context(), "a", func(yield func(proxy.Candidate) bool) {
		for _, c := range many(named) {
			for ; p.Len() > most/2-1; checked++ {
				check()
			}
			if !yield(c) {
				return
			}
		}
	})
	if err != nil || y.New != named || len(y.Refused) > 0 {
		t.Errorf("AddAll = %+v, %v", y, err)
	}
	for ; p.Len() > 0; checked++ {
		check()
	}
	if s := p.Stats(); checked != named || s.Total != 0 {
		t.Errorf("%d were checked, want %d; %d are left", checked, named, s.Total)
	}
	add(t, p, "b", candidates(t, "http://5.1.1.1:80"))
	j := next(t, p)
	add(t, p, "c", candidates(t, "socks5://5.1.1.1:80"))
	p.Report(verdict(j, proxy.Refused))
	if p.Checked(&j) || p.Len() != 2 {
		t.Errorf("with an entry that is still to be checked %d of 2 are there", p.Len())
	}
}
