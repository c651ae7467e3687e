package pool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// Mistakes that other pools have shipped. TestClockThatGoesBack, TestPoisoning
// and TestDownTargetDrainsNobody are of the same kind.

// TestMistake05OneFailureDeletesNothing: neither a check nor a use that fails
// takes an entry away, and one check that passes brings it back.
func TestMistake05OneFailureDeletesNothing(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
	use(t, p, at(found[0].Endpoint, proxy.Target{}), refused())
	if st := state(t, p, found[0].Endpoint); st != proxy.Live {
		t.Errorf("after a use that failed it is %v, want live", st)
	}
	report(p, found[1].Endpoint, proxy.Refused)
	if st := state(t, p, found[1].Endpoint); st != proxy.Resting {
		t.Errorf("after a check that failed it is %v, want resting", st)
	}
	report(p, found[1].Endpoint, proxy.OK)
	if st := state(t, p, found[1].Endpoint); st != proxy.Live {
		t.Errorf("after a check that passed again it is %v, want live", st)
	}
}

// TestMistake18TargetsAnswersAreTheirs: what the target says to an exit costs the
// proxy no score, and keeps it from this target only.
func TestMistake18TargetsAnswersAreTheirs(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 429, 503} {
		now := time.Unix(1_800_000_000, 0)
		p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 3)
		before, _ := p.Find(found[0].Endpoint)
		use(t, p, at(found[0].Endpoint, target(t, "shop.example")), proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Banned, Status: status})
		after, _ := p.Find(found[0].Endpoint)
		if after.State != proxy.Live || after.Score != before.Score {
			t.Errorf("%d: the proxy is %v with score %v, want live with %v", status, after.State, after.Score, before.Score)
		}
		if here, elsewhere := p.Eligible(proxy.Want{Target: target(t, "shop.example")}), p.Eligible(proxy.Want{Target: target(t, "b.example")}); here != 2 || elsewhere != 3 {
			t.Errorf("%d: %d eligible there and %d elsewhere, want 2 and 3", status, here, elsewhere)
		}
	}
}

// TestMistake19DeadTargetDrainsNobody: a target that is down costs nobody its
// place, however often it is tried, and other targets are served meanwhile.
func TestMistake19DeadTargetDrainsNobody(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 20)
	down := target(t, "down.example")
	for i := range 200 {
		l, err := p.Pick(context.Background(), proxy.Want{Target: down})
		if err == nil {
			l.Report(proxy.Outcome{Target: down, Stage: proxy.StageHandshake, Class: proxy.BadGateway, Status: 502})
			l.Close()
		} else if !errors.Is(err, proxy.ErrTargetDown) {
			t.Fatalf("try %d: Pick = %v, want that the target is down", i, err)
		}
		now = now.Add(time.Second)
	}
	for _, c := range found {
		if st := state(t, p, c.Endpoint); st != proxy.Live {
			t.Errorf("%v is %v, want live", c.Endpoint, st)
		}
	}
	if n := p.Eligible(proxy.Want{Target: target(t, "up.example")}); n != 20 {
		t.Errorf("%d of 20 serve other targets", n)
	}
}

// TestMistake24EmptyPool: a pool with nothing in it says so, and goes on.
func TestMistake24EmptyPool(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{Store: newMemStore()})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	var none *proxy.NoneError
	if _, err := p.Pick(ctx, proxy.Want{}); !errors.As(err, &none) || none.RetryAfter <= 0 {
		t.Errorf("Pick from an empty pool = %v, want that there is none and when to ask again", err)
	}
	if _, n, _, err := p.List(pool.Query{}); n != 0 || err != nil {
		t.Errorf("List of an empty pool = %d, %v", n, err)
	}
	p.Stats()
	p.Explain(proxy.Want{})
	if err := p.Flush(ctx); err != nil {
		t.Errorf("Flush of an empty pool: %v", err)
	}
	add(t, p, "list", many(1))
	report(p, many(1)[0].Endpoint, proxy.OK)
	if n := p.Eligible(proxy.Want{}); n != 1 { // which Pick need not know so soon
		t.Errorf("%d are eligible, want the one that was added", n)
	}
	pick(t, p, proxy.Want{}).Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestOutageChangesNothing: while the judges or the uplink are down every job comes
// back without a verdict, and after an hour of that the pool is as one whose checks
// have stood still: nobody's state, counts or score differ.
func TestOutageChangesNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	env := pool.Env{Now: func() time.Time { return now }}
	p, found := livePool(t, pool.Config{}, env, 50)
	still, _ := livePool(t, pool.Config{}, env, 50)
	for _, q := range []*pool.Pool{p, still} {
		report(q, found[0].Endpoint, proxy.Timeout)
	}
	jobs := 0
	for end := now.Add(time.Hour); now.Before(end); {
		job, wait := p.Step()
		if len(job.Entries) == 0 {
			now = now.Add(wait)
			continue
		}
		jobs++
		p.Report(proxy.Verdict{Job: job})
	}
	if jobs < 50 {
		t.Fatalf("only %d jobs came within the outage", jobs)
	}
	for _, q := range []*pool.Pool{p, still} {
		if err := q.Minute(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range found {
		got, _ := p.Find(c.Endpoint)
		want, _ := still.Find(c.Endpoint)
		if got.State != want.State || got.Score != want.Score || got.Checks != want.Checks || !got.LastLive.Equal(want.LastLive) {
			t.Errorf("after the outage %+v, want %+v", got, want)
		}
	}
	if n := p.Stats().Live; n != 49 {
		t.Errorf("%d are live after the outage, want 49", n)
	}
}

// TestThreat93PausedMachine: a machine that stood still, for seconds or for hours, demotes
// nobody: what was being checked is given back unjudged, live ones stay live until
// a check has failed, and verdicts that were under way count.
func TestThreat93PausedMachine(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{3 * time.Second, time.Hour, 40 * time.Hour} {
		now := time.Unix(1_800_000_000, 0)
		p, found := livePool(t, pool.Config{}, pool.Env{Now: func() time.Time { return now }}, 20)
		now = now.Add(6 * time.Minute)
		job, _ := p.Step()
		if len(job.Entries) != 1 {
			t.Fatal("nothing is due")
		}
		now = now.Add(pause)
		if err := p.Minute(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.Step()
		for _, c := range found {
			if e, _ := p.Find(c.Endpoint); e.State != proxy.Live || e.Checks.Failed != 0 {
				t.Errorf("after a pause of %v it is %v with %d failures", pause, e.State, e.Checks.Failed)
			}
		}
		v := verdict(job, proxy.OK)
		v.Outcomes[0].At = now.Add(-pause)
		p.Report(v)
		if e, _ := p.Find(job.Entries[0].Endpoint); e.Checks.OK != 2 {
			t.Errorf("after a pause of %v the verdict that was under way does not count", pause)
		}
		pick(t, p, proxy.Want{}).Close()
	}
}
