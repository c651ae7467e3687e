package checker_test

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// TestSweeps: what counts when most of those that were live fail at once.
func TestSweeps(t *testing.T) {
	t.Parallel()
	type sweep struct {
		tested, passed int
		answers        bool
		atOnce, atEnd  int
		void           bool
	}
	usual := sweep{tested: 50, passed: 45, atOnce: 5}
	for _, tt := range []struct {
		name   string
		sweeps []sweep
	}{
		{"no control yet: all counts", []sweep{{tested: 50, passed: 0, atOnce: 50}}},
		{"small pools are not held up", []sweep{{tested: 9, passed: 9}, {tested: 9, passed: 0, atOnce: 9}}},
		{"as usual", []sweep{usual, {tested: 50, passed: 40, atOnce: 0, atEnd: 10}}},
		{"a bad day is not a collapse", []sweep{usual, {tested: 50, passed: 15, atEnd: 35}}},
		{"too few to say", []sweep{usual, {tested: 9, passed: 0, atEnd: 9}}},
		{"collapse", []sweep{usual, {tested: 50, passed: 5, void: true}}},
		{"collapse and back", []sweep{usual, {tested: 50, passed: 5, void: true}, {tested: 50, passed: 45, atEnd: 5}}},
		{"collapse that lasts", []sweep{usual, {tested: 50, passed: 0, void: true}, {tested: 50, passed: 0, atEnd: 50}, {tested: 50, passed: 0, atOnce: 50}}},
		{"nothing new is known", []sweep{usual, {tested: 50, passed: 0, void: true}, {tested: 3, passed: 0, void: true}, {tested: 50, passed: 45, atEnd: 5}}},
		{"not for ever", []sweep{usual, {tested: 50, passed: 0, void: true}, {tested: 3, void: true}, {tested: 3, void: true},
			{tested: 3, void: true}, {tested: 3, void: true}, {tested: 3, atEnd: 3}}},
		{"a closed port answers", []sweep{{tested: 3, passed: 1, answers: true, void: true}, {tested: 50, passed: 45, answers: true, void: true}, {tested: 50, passed: 45, atEnd: 5}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s checker.Sweeps
			for i, want := range tt.sweeps {
				atOnce, atEnd, reason := s.Sweep(want.tested, want.passed, want.answers)
				if i == 0 && want == usual {
					want.atOnce = 5
				}
				if atOnce != want.atOnce || atEnd != want.atEnd || (reason != "") != want.void {
					t.Errorf("sweep %d: %d failures counted at once, %d at the end, void %q; want %+v", i, atOnce, atEnd, reason, want)
				}
			}
		})
	}
}

// TestDeadPortsThatAnswer: what never took a connection is a control as well.
func TestDeadPortsThatAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		tried, took int
		void        bool
	}{{"as usual", 50, 0, false}, {"some came up", 50, 20, false}, {"too few to say", 9, 9, false}, {"all answer", 50, 50, true}} {
		var s checker.Sweeps
		s.Sweep(50, 45, false)
		if _, reason := s.Dead(tt.tried, tt.took); (reason != "") != tt.void {
			t.Errorf("%s: void %q, want %v", tt.name, reason, tt.void)
		}
		if _, _, reason := s.Sweep(50, 45, false); reason != "" {
			t.Errorf("%s: void %q after a sweep that is in order", tt.name, reason)
		}
	}
}

// TestInterceptorOfConnections: on the way something begins to take every
// connection. Nobody is scored by it, and the status says why.
func TestInterceptorOfConnections(t *testing.T) {
	t.Parallel()
	const n = 20
	q := &fedQueue{feed: make(chan proxy.Job, n), listQueue: *newQueue()}
	b := newBench(t, withQueue(q), workers(n))
	portal := scripted(t, func(c net.Conn) { c.Write([]byte("SSH-2.0-portal\r\n")); hangUp(c) })
	stop, _ := run(t, b.Checker)
	for range n {
		q.feed <- jobOf(portal, func(e *proxy.Entry) {
			e.LastChecked, e.Checks.Failed, e.Error = time.Now(), 5, proxy.Fault{Stage: proxy.StageConnect, Class: proxy.Refused}
		})
	}
	until(t, "the end of the checks", func() bool { return b.ForSweep() == n })
	why := ""
	until(t, "the end of the sweep", func() bool {
		b.EndSweep()
		if d := b.Status().Doubt; d != "" { // the next sweep, with nothing in it, has none
			why = d
		}
		return len(q.all()) == n
	})
	for _, v := range q.all() {
		if len(v.Outcomes) > 0 {
			t.Fatalf("judged %+v while everything answers, want all given back", v.Outcomes)
		}
	}
	if !strings.Contains(why, "20 of 20 ports that were always dead") {
		t.Errorf("doubt %q, want the reason", why)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// fedQueue hands out what it is fed.
type fedQueue struct {
	listQueue
	feed chan proxy.Job
}

func (q *fedQueue) Next(ctx context.Context) (proxy.Job, error) {
	select {
	case j := <-q.feed:
		return j, nil
	case <-ctx.Done():
		return proxy.Job{}, ctx.Err()
	}
}

// until waits for something that another goroutine does in its own time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// TestCollapseDemotesNobodyAtFirst: judges answer, and all proxies fail at once.
func TestCollapseDemotesNobodyAtFirst(t *testing.T) {
	t.Parallel()
	const n = 20
	q := &fedQueue{feed: make(chan proxy.Job, n), listQueue: *newQueue()}
	b := newBench(t, withQueue(q), workers(n))
	var eps []proxy.Endpoint
	for range n {
		eps = append(eps, b.add(t, lab.Upstream{Protocol: proxy.SOCKS5}))
	}
	// round checks all as live ones, ends the sweep and returns how many were judged, and how many of them failed.
	round := func() (judged, failed int) {
		before := len(q.all())
		for _, ep := range eps {
			q.feed <- jobOf(ep, passedOnce, func(e *proxy.Entry) { e.State = proxy.Live })
		}
		until(t, "the end of the checks", func() bool { return len(q.all())-before+b.ForSweep() == n })
		until(t, "the end of the sweep", func() bool {
			b.EndSweep()
			return len(q.all())-before == n
		})
		for _, v := range q.all()[before:] {
			if len(v.Outcomes) > 0 {
				judged++
			}
			if len(v.Outcomes) > 0 && v.Outcomes[0].Class != proxy.OK {
				failed++
			}
		}
		return judged, failed
	}
	stop, _ := run(t, b.Checker)
	if judged, failed := round(); judged != n || failed != 0 {
		t.Fatalf("%d judged, %d failed, want all to pass", judged, failed)
	}
	until(t, "the first control", func() bool { b.EndSweep(); return b.Usual() == 1 })
	for _, ep := range eps {
		if err := b.lab.Switch(ep, lab.Garbage); err != nil {
			t.Fatal(err)
		}
	}
	if judged, _ := round(); judged != 0 {
		t.Errorf("%d of %d judged when all of them failed at once, want none", judged, n)
	}
	if why := b.Status().Doubt; !strings.Contains(why, "only 0 of 20") {
		t.Errorf("doubt %q, want the collapse", why)
	}
	if judged, failed := round(); judged != n || failed != n || b.Status().Doubt != "" {
		t.Errorf("%d judged, %d failed, doubt %q when the next sweep says the same, want all", judged, failed, b.Status().Doubt)
	}
	stop()
}

// TestClosedPort: a judge that names a closed port, at which something answers after all.
func TestClosedPort(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"closed": false, "answers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := start(t, lab.Config{AllowLoopback: true})
			closed, err := l.Add(lab.Upstream{Behaviour: lab.Refused, Host: netip.MustParseAddr("127.0.0.1")}) // nobody else gets its port
			if err != nil {
				t.Fatal(err)
			}
			port := closed.Port
			if answers {
				port = scripted(t, func(c net.Conn) { hangUp(c) }).Port
			}
			var asked []string
			j := newJudge(t, false, judge.Handler(judge.Options{Closed: []uint16{port}}).ServeHTTP)
			q := newQueue()
			b := benchOver(t, l, withQueue(q), judges(j.URL), func(_ *checker.Config, env *checker.Env) {
				d := net.Dialer{Control: env.Control}
				env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if strings.HasSuffix(addr, ":"+strconv.Itoa(int(port))) {
						asked = append(asked, addr)
					}
					return d.DialContext(ctx, network, addr)
				}
			})
			q.jobs = []proxy.Job{jobOf(b.add(t, lab.Upstream{})), jobOf(closedPort(t))}
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			void := 0
			for _, v := range q.all() {
				if len(v.Outcomes) == 0 {
					void++
				}
			}
			if s := b.Status(); (s.Doubt != "") != answers || (void == 1) != answers || len(q.all()) != 2 {
				t.Errorf("doubt %q, %d of %d given back", s.Doubt, void, len(q.all()))
			}
			if len(asked) != 1 || !strings.HasPrefix(asked[0], "127.0.0.1:") {
				t.Errorf("the closed port was tried at %q, want once and at the judge's host", asked)
			}
		})
	}
}
