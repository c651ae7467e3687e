package pool_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestWalkShowsEachOnce: between pages, checks move entries up and down and new
// ones come; those that were there from the beginning are shown once each.
func TestWalkShowsEachOnce(t *testing.T) {
	t.Parallel()
	for _, q := range []pool.Query{{}, {Sort: "score"}, {Sort: "-last_checked"}, {Sort: "latency"}, {Sort: "next_check"}, {Sort: "url"}} {
		t.Run(q.Sort, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, found := livePool(t, pool.Config{}, pool.Env{}, 150)
				rng := rand.New(rand.NewPCG(1, 2))
				seen := map[proxy.Endpoint]int{}
				q.Limit = 11
				for pages := 0; ; pages++ {
					items, _, next := list(t, p, q)
					for i := range items {
						seen[items[i].Endpoint]++
					}
					again, _, nextAgain := list(t, p, q)
					if q.Cursor != "" && (urls(again) != urls(items) || nextAgain == "" != (next == "")) {
						t.Fatalf("page %d is another when it is asked for again:\n%s\n%s", pages, urls(items), urls(again))
					}
					if q.Cursor = next; next == "" {
						break
					}
					time.Sleep(time.Minute)
					for range 60 {
						class := proxy.OK
						if rng.IntN(3) == 0 {
							class = proxy.Timeout
						}
						report(p, found[rng.IntN(len(found))].Endpoint, class)
					}
					add(t, p, "more", many(160 + pages)[150:])
				}
				for _, c := range found {
					if seen[c.Endpoint] != 1 {
						t.Errorf("%v is shown %d times, want once", c.Endpoint, seen[c.Endpoint])
					}
				}
				if len(seen) != len(found) {
					t.Errorf("%d entries are shown, of which %d came later", len(seen), len(seen)-len(found))
				}
			})
		})
	}
}

// TestForgottenWalkGoesOn: a cursor outlives what is remembered of its walk.
func TestForgottenWalkGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 60)
		seen := map[proxy.Endpoint]int{}
		q := pool.Query{Limit: 7}
		for {
			items, _, next := list(t, p, q)
			for i := range items {
				seen[items[i].Endpoint]++
			}
			if q.Cursor = next; next == "" {
				break
			}
			time.Sleep(16 * time.Minute)
		}
		for _, c := range found {
			if seen[c.Endpoint] != 1 {
				t.Errorf("%v is shown %d times, want once", c.Endpoint, seen[c.Endpoint])
			}
		}
	})
}

// TestManyWalks: a walk that goes on is not forgotten for others that never do.
func TestManyWalks(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 40)
	_, _, cursor := list(t, p, pool.Query{Limit: 5})
	second, _, third := list(t, p, pool.Query{Limit: 5, Cursor: cursor})
	for range 4_200 {
		list(t, p, pool.Query{Limit: 5})
	}
	if walks, shown := p.Walks(); walks > 1001 || shown > 5*1001+10 {
		t.Errorf("%d walks of %d entries are remembered", walks, shown)
	}
	if again, _, next := list(t, p, pool.Query{Limit: 5, Cursor: cursor}); urls(again) != urls(second) || next != third {
		t.Error("a walk was forgotten before those of one page")
	}
}

// TestWalksAreLetGo: walks that have ended cost memory for a minute, others for
// a quarter of an hour, also while there are few.
func TestWalksAreLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{}, pool.Env{}, 60)
		page := func(q pool.Query) string { _, _, next := list(t, p, q); return next }
		begin := func() string { return page(pool.Query{Limit: 50}) }
		for range 100 {
			page(pool.Query{Limit: 50, Cursor: begin()}) // the last page
		}
		var open string
		for range 5 {
			open = begin()
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{30 * time.Second, 105}, {31 * time.Second, 5}, {15*time.Minute + time.Second, 1}} {
			time.Sleep(step.after)
			if step.want == 1 {
				begin()
			} else {
				page(pool.Query{Limit: 5, Cursor: open})
			}
			if n, _ := p.Walks(); n != step.want {
				t.Errorf("%v later: %d walks are remembered, want %d", step.after, n, step.want)
			}
		}
	})
}
