package checker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"freeway/checker"
	"freeway/lab"
	"freeway/proxy"
)

// run runs a checker until the test says so; the function it returns stops it and returns its error.
func run(t *testing.T, c *checker.Checker) (stop func() error, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = c.Run(ctx)
	}()
	stop = func() error {
		cancel()
		await(t, "the end of Run", done)
		return err
	}
	t.Cleanup(func() { stop() })
	return stop, done
}

func withQueue(q checker.Queue) option {
	return func(_ *checker.Config, env *checker.Env) { env.Queue = q }
}

func workers(n int) option {
	return func(c *checker.Config, _ *checker.Env) { c.Concurrency = n }
}

func TestRunJudgesEverythingAndEnds(t *testing.T) {
	t.Parallel()
	q := newQueue()
	b := newBench(t, withQueue(q), workers(8), timeout(4*time.Second))
	want := map[proxy.Endpoint]proxy.Class{}
	for i := range 40 {
		u, class := lab.Upstream{Protocol: proxy.Protocols()[i%3]}, proxy.OK
		switch i % 10 {
		case 1, 3, 5:
			u.Behaviour, class = lab.Refused, proxy.Refused
		case 2:
			u.Behaviour, class = lab.Silent, proxy.Timeout
		}
		ep := b.add(t, u)
		want[ep] = class
		q.jobs = append(q.jobs, jobOf(ep, checked))
	}
	_, ended := run(t, b.Checker)
	await(t, "the end of the queue", ended)
	got := map[proxy.Endpoint]proxy.Class{}
	for _, v := range q.all() {
		for _, o := range v.Outcomes {
			got[o.Endpoint] = o.Class
		}
	}
	for ep, class := range want {
		if c, ok := got[ep]; !ok || c != class {
			t.Errorf("%v: %v (reported %v), want %v", ep, c, ok, class)
		}
	}
	if s := b.Status(); len(q.all()) != len(want) || s.Checked != int64(len(want)) || s.Held != 0 || s.Running != 0 {
		t.Errorf("%d verdicts for %d jobs, status %+v", len(q.all()), len(want), s)
	}
}

func TestRunIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 5
	q := newQueue()
	b := newBench(t, withQueue(q), workers(limit))
	var now, most atomic.Int64
	release := make(chan struct{})
	full := make(chan struct{}, 100)
	ep := scripted(t, func(c net.Conn) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == limit {
			full <- struct{}{}
		}
		<-release
	})
	for range 30 {
		q.jobs = append(q.jobs, jobOf(ep, checked))
	}
	_, ended := run(t, b.Checker)
	await(t, "a check in every worker", full)
	if s := b.Status(); s.Running != limit || s.Workers != limit {
		t.Errorf("status %+v, want %d checks running", s, limit)
	}
	close(release)
	await(t, "the end", ended)
	if n := most.Load(); n > limit {
		t.Errorf("%d checks at the same time, want at most %d", n, limit)
	}
}

func TestRunGivesJobsBackWhenItIsStopped(t *testing.T) {
	t.Parallel()
	q := newQueue()
	b := newBench(t, withQueue(q), workers(4))
	begun := make(chan struct{}, 100)
	ep := scripted(t, func(c net.Conn) {
		begun <- struct{}{}
		io.Copy(io.Discard, c)
	})
	for range 10 {
		q.jobs = append(q.jobs, jobOf(ep, checked))
	}
	stop, _ := run(t, b.Checker)
	for range 4 {
		await(t, "a check", begun)
	}
	if err := stop(); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	all := q.all()
	for _, v := range all {
		if len(v.Outcomes) != 0 {
			t.Errorf("an interrupted check was judged: %+v", v.Outcomes)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d of 4 claims were given back", len(all))
	}
}

func TestRunGivesHeldFailuresBackWhenItIsStopped(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.wait = true
	j := newJudge(t, false, nil)
	b := newBench(t, withQueue(q), workers(4), timeout(20*time.Second), judges(j.URL))
	stuck := make(chan struct{}, 100)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		stuck <- struct{}{}
		<-r.Context().Done()
	}
	// It answers with garbage behind its handshake, for which the judge could be to blame; and then the judge hangs.
	ep := scripted(t, func(c net.Conn) {
		hangUp(c)
		j.set(hang)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
	})
	q.jobs = append(q.jobs, jobOf(ep, checked))
	stop, _ := run(t, b.Checker)
	await(t, "the judge to be asked again", stuck)
	if s := b.Status(); s.Held != 1 || len(q.all()) != 0 {
		t.Errorf("status %+v and %d reports, want one failure held", s, len(q.all()))
	}
	stop()
	if all := q.all(); len(all) != 1 || len(all[0].Outcomes) != 0 {
		t.Errorf("reports %+v, want the job given back", all)
	}
}

func TestRunWaitsForAJudge(t *testing.T) {
	t.Parallel()
	j := newJudge(t, false, down)
	asked := make(chan struct{}, 100)
	j.set(func(w http.ResponseWriter, r *http.Request) { down(w, r); asked <- struct{}{} })
	q := newQueue()
	b := newBench(t, withQueue(q), workers(2), judges(j.URL))
	ep := b.add(t, lab.Upstream{})
	q.jobs = append(q.jobs, jobOf(ep))
	_, ended := run(t, b.Checker)
	await(t, "the judge being asked", asked)
	if n := b.dialled(ep); n != 0 || len(q.all()) != 0 {
		t.Errorf("%d connections and %d reports without a judge, want none", n, len(q.all()))
	}
	j.set(nil)
	if err := b.Apply(checker.Config{Judges: []checker.Judge{{URL: j.URL + "/new"}}}); err != nil { // asked at once
		t.Fatal(err)
	}
	await(t, "the end", ended)
	if all := q.all(); len(all) != 1 || len(all[0].Outcomes) != 1 || all[0].Outcomes[0].Class != proxy.OK {
		t.Errorf("reports %+v, want a pass", all)
	}
}

func TestApplyChangesTheNumberOfWorkers(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.wait = true
	b := newBench(t, withQueue(q), workers(1))
	began, release := make(chan struct{}, 100), make(chan struct{})
	ep := scripted(t, func(c net.Conn) {
		began <- struct{}{}
		<-release
	})
	for range 12 {
		q.jobs = append(q.jobs, jobOf(ep, checked))
	}
	stop, _ := run(t, b.Checker)
	await(t, "one check", began)
	cfg := checker.Config{Concurrency: 3, Judges: []checker.Judge{{URL: b.lab.JudgeHTTP()}, {URL: b.lab.JudgeHTTPS()}}}
	if err := b.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	await(t, "a second check", began)
	await(t, "a third check", began)
	cfg.Concurrency = 1
	if err := b.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(checker.Config{Rate: -1}); err == nil {
		t.Error("a bad configuration was taken over")
	}
	close(release)
	for range 12 {
		await(t, "a verdict", q.reported)
	}
	if err := stop(); err != nil || b.Status().Workers != 1 {
		t.Errorf("Run = %v with %d workers at the end, want nil and 1", err, b.Status().Workers)
	}
}

type brokenQueue struct{ listQueue }

var errBroken = errors.New("broken")

func (*brokenQueue) Next(context.Context) (proxy.Job, error) { return proxy.Job{}, errBroken }

func TestRunReportsABrokenQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t, withQueue(&brokenQueue{}), workers(3))
	if err := b.Run(t.Context()); !errors.Is(err, errBroken) {
		t.Errorf("Run = %v, want the queue's error", err)
	}
	if err := newBench(t).Run(t.Context()); err == nil {
		t.Error("Run without a queue gives no error")
	}
}

func TestThreat93PauseDemotesNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, timeout(time.Second))
	ep := b.add(t, lab.Upstream{Behaviour: lab.Silent})
	b.one(t, ep) // without a pause it fails
	b.Pause(time.Now(), time.Now().Add(time.Hour))
	if v := b.Check(t.Context(), jobOf(ep)); len(v.Outcomes) != 0 || !anyNote(v, "paused") {
		t.Errorf("judged during a pause: %+v, notes %q", v.Outcomes, v.Notes)
	}
	if _, o := b.one(t, b.add(t, lab.Upstream{})); o.Class != proxy.OK {
		t.Errorf("a proxy that passed in spite of the pause: %v, want ok", o.Class)
	}
}

func TestPulse(t *testing.T) {
	t.Parallel()
	at := time.Unix(1000, 0)
	sec := func(s float64) time.Time { return at.Add(time.Duration(s * float64(time.Second))) }
	var p checker.Pulse
	if p.Missed(sec(0), sec(100)) {
		t.Error("a pulse that never beat missed something")
	}
	for _, s := range []float64{0, .25, .5, .75, 5, 5.25} { // it stood still from .75 to 5
		p.Tick(sec(s))
	}
	for _, tt := range []struct {
		from, to float64
		want     bool
	}{
		{0, .5, false}, {0, 1, true}, {1, 4, true}, {4, 6, true}, {0, 6, true}, {5, 6, false}, {5.25, 6, false},
		{5.25, 9, true}, // no beat since 5.25
	} {
		if got := p.Missed(sec(tt.from), sec(tt.to)); got != tt.want {
			t.Errorf("Missed(%v, %v) = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestThreat104RateLimitsConnections(t *testing.T) {
	t.Parallel()
	const rate, n = 50, 20
	q := newQueue()
	b := newBench(t, withQueue(q), workers(n), func(c *checker.Config, _ *checker.Env) { c.Rate = rate })
	ep := closedPort(t)
	for range n {
		q.jobs = append(q.jobs, jobOf(ep))
	}
	began := time.Now()
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A tenth of a second's worth goes at once.
	if took, least := time.Since(began), time.Duration(n-rate/10-1)*time.Second/rate; took < least {
		t.Errorf("%d connections at %d a second took %v, want at least %v", n, rate, took, least)
	}
}
