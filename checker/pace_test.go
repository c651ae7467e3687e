package checker_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/checker"
	"freeway/dial"
	"freeway/lab"
	"freeway/proxy"
)

func TestNetworkOf(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"1.2.3.4": "1.2.3.0/24", "1.2.3.255": "1.2.3.0/24", "::ffff:1.2.3.4": "1.2.3.0/24", "2a00:1:2:3::4": "2a00:1:2::/48",
		"127.0.0.1": "", "::1": "", "10.1.2.3": "", "fd00::1": "", "proxy.example": "",
	} {
		if got := checker.NetworkOf(host); got != want {
			t.Errorf("NetworkOf(%q) = %q, want %q", host, got, want)
		}
	}
}

// TestThreat104ConnectsArePacedPerNetwork counts connects under way where they begin: in the dialer's hook.
func TestThreat104ConnectsArePacedPerNetwork(t *testing.T) {
	t.Parallel()
	const limit, perNet, nets = 3, 12, 4
	var mu sync.Mutex
	now, most := map[string]int{}, 0
	full, release := make(chan struct{}, 1000), make(chan struct{})
	var total atomic.Int64
	q := newQueue()
	b := newBench(t, withQueue(q), workers(perNet*nets), func(c *checker.Config, env *checker.Env) {
		c.PerNetwork = limit
		env.Dialer = dial.New(dial.Config{}, dial.Env{Policy: labPolicy, Control: func(_, addr string, _ syscall.RawConn) error {
			net := addr[:len("127.9.1.")]
			mu.Lock()
			now[net]++
			most = max(most, now[net])
			mu.Unlock()
			total.Add(1)
			full <- struct{}{}
			<-release
			mu.Lock()
			now[net]--
			mu.Unlock()
			return syscall.ECONNREFUSED
		}})
	})
	b.PaceAll()
	b.WithoutScout() // which connects without a place to stop at
	for i := range perNet {
		for n := range nets {
			ep, err := proxy.Parse(fmt.Sprintf("http://127.9.%d.%d:8080", n+1, i+1))
			if err != nil {
				t.Fatal(err)
			}
			q.jobs = append(q.jobs, jobOf(ep))
		}
	}
	_, ended := run(t, b.Checker)
	for range limit * nets {
		await(t, "a connect", full)
	}
	if n := total.Load(); n != limit*nets {
		t.Errorf("%d connects under way, want %d in each of %d networks", n, limit, nets)
	}
	close(release)
	await(t, "the end", ended)
	if most > limit || total.Load() != perNet*nets || b.Lanes() != 0 {
		t.Errorf("%d at once in a network, %d in all, %d networks left; want at most %d, %d, none", most, total.Load(), b.Lanes(), limit, perNet*nets)
	}
}

// TestScoutsArePaced: as many connect to a network as may, the others wait, and a turn ends with the connect.
func TestScoutsArePaced(t *testing.T) {
	t.Parallel()
	const limit, jobs = 3, 12
	q := newQueue()
	b := newBench(t, withQueue(q), workers(jobs), func(c *checker.Config, _ *checker.Env) { c.PerNetwork = limit })
	b.PaceAll()
	silent, refused := b.add(t, lab.Upstream{Behaviour: lab.SilentConnect}), b.add(t, lab.Upstream{Behaviour: lab.Refused})
	for range 2 * limit { // none of these keeps its turn
		q.jobs = append(q.jobs, jobOf(refused))
	}
	for range jobs {
		q.jobs = append(q.jobs, jobOf(silent))
	}
	stop, _ := run(t, b.Checker)
	until(t, "the rest waiting for a turn", func() bool { return b.Queued() == jobs-limit })
	if n, r := b.dialled(silent), b.dialled(refused); n != limit || r != 2*limit {
		t.Errorf("%d silent and %d refused were dialled, want %d and %d", n, r, limit, 2*limit)
	}
	if err := stop(); err != nil || b.Lanes() != 0 {
		t.Errorf("%v, and %d networks busy afterwards, want none", err, b.Lanes())
	}
}

// TestWaitingForANetworkEndsWithTheContext, and passes the turn on.
func TestWaitingForANetworkEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *checker.Config, _ *checker.Env) { c.PerNetwork = 1 })
	b.PaceAll()
	b.one(t, b.add(t, lab.Upstream{}))
	silent := b.add(t, lab.Upstream{Behaviour: lab.SilentConnect})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if v := b.Check(ctx, jobOf(silent)); len(v.Outcomes) != 0 {
				t.Errorf("judged %+v though it was cancelled", v.Outcomes)
			}
		})
	}
	until(t, "a connect", func() bool { return b.dialled(silent) == 1 })
	time.AfterFunc(20*time.Millisecond, cancel) // the others wait by then, or do not begin
	all.Wait()
	if n := b.dialled(silent); n != 1 || b.Lanes() != 0 {
		t.Errorf("%d connects, %d networks busy afterwards, want 1 and none", n, b.Lanes())
	}
}
