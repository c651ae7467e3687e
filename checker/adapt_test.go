package checker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freeway/checker"
	"freeway/lab"
	"freeway/proxy"
)

func TestLimitsFollowWhatLiveOnesNeed(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second
	many := func(n int, d time.Duration) (out []time.Duration) {
		for range n {
			out = append(out, d)
		}
		return out
	}
	for _, tt := range []struct {
		name     string
		times    []time.Duration
		age      time.Duration
		from, to time.Duration
	}{
		{"nothing known", nil, 0, most, most},
		{"too little known", many(49, time.Millisecond), 0, most, most},
		{"fast ones", many(50, 10*time.Millisecond), 0, checker.MinConnect, checker.MinConnect},
		{"long ago", many(500, 10*time.Millisecond), 2 * time.Minute, most, most},
		{"the slowest of a hundred do not count", append(many(990, 10*time.Millisecond), many(5, 3*time.Second)...), 0, checker.MinConnect, checker.MinConnect},
		{"more than one in a hundred does", append(many(900, 10*time.Millisecond), many(20, time.Second)...), 0, 2 * time.Second, 2400 * time.Millisecond},
		{"slow ones", many(100, 3*time.Second), 0, 6 * time.Second, 7200 * time.Millisecond},
		{"never more than configured", many(100, 9*time.Second), 0, most, most},
		{"old ones count less and less", append(many(4095, 9*time.Second), many(250_000, 10*time.Millisecond)...), 0, checker.MinConnect, checker.MinConnect},
	} {
		if got := checker.LimitAfter(tt.times, tt.age, most); got < tt.from || got > tt.to {
			t.Errorf("%s: limit %v, want %v to %v", tt.name, got, tt.from, tt.to)
		}
	}
}

// TestElasticTimeOuts: a time-out that becomes shorter holds for who waits already,
// one that becomes longer as well, and the first look is not too early.
func TestElasticTimeOuts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		before, after time.Duration // the change comes after a second
		ends          time.Duration
	}{
		{"shorter", 10 * time.Second, 3 * time.Second, 3 * time.Second},
		{"shorter than the first look", 10 * time.Second, time.Second, 2 * time.Second},
		{"longer", 3 * time.Second, 7 * time.Second, 7 * time.Second},
		{"the same", 5 * time.Second, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, stop := checker.Elastic(t.Context(), 2*time.Second, func() time.Duration {
					if time.Since(began) < time.Second {
						return tt.before
					}
					return tt.after
				})
				defer stop()
				child, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				<-child.Done()
				if took := time.Since(began); took < tt.ends || took > tt.ends+500*time.Millisecond || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
					t.Errorf("it ends after %v with %v, want %v", took, ctx.Err(), tt.ends)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		ctx, stop := checker.Elastic(parent, time.Second, func() time.Duration { return time.Minute })
		time.Sleep(3 * time.Second)
		cancel()
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("it ends with its parent: %v", ctx.Err())
		}
		stop()
	})
}

// TestAdaptiveLimits: once live ones are known, a silent candidate is waited for
// as long as these need; not when the time-outs are fixed, and a proxy in use has
// all the time that is configured.
func TestAdaptiveLimits(t *testing.T) {
	t.Parallel()
	const configured = time.Minute // nobody waits for that here
	for _, fixed := range []bool{false, true} {
		b := newBench(t, timeout(configured), func(c *checker.Config, _ *checker.Env) { c.FixedTimeouts = fixed })
		ep, waits := b.add(t, lab.Upstream{}), make(chan proxy.Verdict, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { waits <- b.Check(ctx, jobOf(b.add(t, lab.Upstream{Behaviour: lab.Silent}))) }()
		for range 60 {
			b.one(t, ep, passedOnce)
		}
		if fixed {
			cancel()
		} else {
			until(t, "a shorter limit", func() bool { return b.Limits(false) < configured })
		}
		v := <-waits // the one that was there before anything was known: it is not waited for any longer
		cancel()
		if fixed == (len(v.Outcomes) > 0) || !fixed && v.Outcomes[0].Class != proxy.Timeout {
			t.Errorf("fixed %v: of the silent one %+v", fixed, v)
		}
		fresh, live := b.Limits(false), b.Limits(true)
		if short := fresh < configured; short == fixed || live != configured {
			t.Errorf("fixed %v: %v for a candidate, %v for one in use, configured %v", fixed, fresh, live, configured)
		}
	}
}

// TestSlowStepsAddUp: every step may take its time-out; one that is honest and
// slow in each passes, though all of them together take longer. It takes some
// seconds because that is what it is about.
func TestSlowStepsAddUp(t *testing.T) {
	t.Parallel()
	j := newJudge(t, true, nil)
	b := newBench(t, judges(j.URL), trusting(j), timeout(2*time.Second))
	began := time.Now()
	v, o := b.one(t, relay(t, nil, "", 800*time.Millisecond))
	if took := time.Since(began); o.Class != proxy.OK || took < 2*time.Second {
		t.Errorf("outcome = %v %v after %v, want a pass after more than one time-out; notes %q", o.Stage, o.Class, took, v.Notes)
	}
}

// TestEachCanaryHasItsOwnTime: pages that come slowly, each within the time-out,
// do not share one. It takes some seconds because that is what it is about.
func TestEachCanaryHasItsOwnTime(t *testing.T) {
	t.Parallel()
	j := newJudge(t, false, meddledWith(func(w http.ResponseWriter, r *http.Request, page http.Handler) {
		if !strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") {
			time.Sleep(1100 * time.Millisecond)
		}
		page.ServeHTTP(w, r)
	}))
	b := newBench(t, judges(j.URL), timeout(2*time.Second))
	b.OneStep()
	began := time.Now()
	v, o := b.one(t, b.add(t, lab.Upstream{Latency: 600 * time.Millisecond}))
	if took := time.Since(began); o.Class != proxy.OK || took < 2*time.Second {
		t.Errorf("outcome = %v %v after %v, want a pass after more than one time-out; notes %q", o.Stage, o.Class, took, v.Notes)
	}
}

// TestSlowSOCKSIsNotNudgedAway: where the protocol is not sure, a silent peer is
// sent the end of a line. One that speaks SOCKS after all, only late, passes: what
// was sent is not left in the tunnel. It takes some seconds because it is late.
func TestSlowSOCKSIsNotNudgedAway(t *testing.T) {
	t.Parallel()
	for _, p := range []proxy.Protocol{proxy.SOCKS4, proxy.SOCKS5} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			l := start(t, lab.Config{AllowLoopback: true})
			b := benchOver(t, l, judges(l.JudgeHTTP()), timeout(3*time.Second))
			ep := b.add(t, lab.Upstream{Protocol: p, Latency: 2400 * time.Millisecond})
			if v, o := b.one(t, ep, guess, func(e *proxy.Entry) { e.Checks.OK = 1 }); o.Class != proxy.OK {
				t.Errorf("outcome = %v %v, want a pass; notes %q", o.Stage, o.Class, v.Notes)
			}
		})
	}
}

// TestSlowGreetingIsNotSpoiltForGood: one that is slow with its greeting already is
// sent the end of a line in the middle of it and hangs up; it is asked once more without.
// It takes some seconds because it is slow.
func TestSlowGreetingIsNotSpoiltForGood(t *testing.T) {
	t.Parallel()
	for _, p := range []proxy.Protocol{proxy.SOCKS4, proxy.SOCKS5} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			l := start(t, lab.Config{AllowLoopback: true})
			b := benchOver(t, l, judges(l.JudgeHTTP()), timeout(4*time.Second))
			up := b.add(t, lab.Upstream{Protocol: p})
			ep := as(scripted(t, func(c net.Conn) { // passes on what comes, when it has slept
				out, err := (&net.Dialer{Timeout: 10 * time.Second}).Dial("tcp", up.Address())
				if err != nil {
					return
				}
				defer out.Close()
				time.Sleep(2200 * time.Millisecond)
				go func() {
					io.Copy(out, c)
					out.Close()
				}()
				io.Copy(c, out)
			}), p)
			if v, o := b.one(t, ep, guess, func(e *proxy.Entry) { e.Checks.OK = 1 }); o.Class != proxy.OK {
				t.Errorf("outcome = %v %v, want a pass; notes %q", o.Stage, o.Class, v.Notes)
			}
		})
	}
}
