package checker_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// TestScoutsMakeNoDifference: with a scout, without, and without a place for errands,
// the same is found out of every behaviour in every protocol, claimed and guessed.
func TestScoutsMakeNoDifference(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	ways := map[string]func(*bench){"with a scout": func(*bench) {}, "without": func(b *bench) { b.WithoutScout() }, "without places": func(b *bench) { b.WithoutPlaces() }}
	var jobs []proxy.Job
	names := map[proxy.Endpoint]string{}
	for behaviour := lab.Healthy; behaviour <= lab.Marked; behaviour++ {
		if behaviour == lab.Flaky || behaviour == lab.RotatingExit || behaviour >= lab.Stable && behaviour <= lab.OneShot {
			continue // left to chance
		}
		for _, p := range proxy.Protocols() {
			ep, err := l.Add(lab.Upstream{Protocol: p, Behaviour: behaviour})
			if err != nil {
				t.Fatal(err)
			}
			for claimed, change := range map[proxy.Endpoint]func(*proxy.Entry){ep: checked, as(ep, proxy.SOCKS5): guess} {
				names[claimed] = fmt.Sprintf("%v, %v claimed as %v", behaviour, p, claimed.Protocol)
				jobs = append(jobs, jobOf(claimed, change))
			}
		}
	}
	told := map[string]map[proxy.Endpoint]string{}
	for way, change := range ways {
		q := newQueue(slices.Clone(jobs)...)
		b := benchOver(t, l, withQueue(q), workers(50), timeout(3*time.Second))
		change(b)
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		told[way] = map[proxy.Endpoint]string{}
		for _, v := range q.all() {
			told[way][v.Job.Entries[0].Endpoint] = whatFor(v)
		}
	}
	for ep, name := range names {
		want := told["without"][ep]
		for way := range ways {
			if got := told[way][ep]; got != want || got == "" {
				t.Errorf("%s, %s:\n got  %s\n want %s", name, way, got, want)
			}
		}
	}
}

// whatFor is what a verdict says, without times.
func whatFor(v proxy.Verdict) string {
	s := fmt.Sprint(v.Reached, v.Found)
	for _, o := range v.Outcomes {
		learned := proxy.Traits{}
		if o.Learned != nil {
			learned = *o.Learned
		}
		s += fmt.Sprintf("; %v %v %v %v %+v", o.Endpoint.Protocol, o.Stage, o.Class, o.Status, learned)
	}
	return s
}

// TestVoidChecksRestTogether: what cannot be said of hundreds of silent ones, since the
// process was paused, takes as long as for one.
func TestVoidChecksRestTogether(t *testing.T) {
	t.Parallel()
	const jobs = 500 // of a tenth of a second each
	q := newQueue()
	b := newBench(t, withQueue(q), workers(jobs), timeout(3*time.Second))
	silent := b.add(t, lab.Upstream{Behaviour: lab.Silent})
	for range jobs {
		q.jobs = append(q.jobs, jobOf(silent, checked))
	}
	b.Paused()
	_, ended := run(t, b.Checker)
	await(t, "the end", ended)
	for _, v := range q.all() {
		if len(v.Outcomes) != 0 {
			t.Fatalf("judged %+v", v.Outcomes)
		}
	}
	if n := len(q.all()); n != jobs {
		t.Errorf("%d of %d were given back", n, jobs)
	}
}

// TestScoutedInVain: a connection that a scout has made is closed when there is no
// judge left to ask over it.
func TestScoutedInVain(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(io.Discard, c)
		closed <- struct{}{}
	}()
	ep, err := proxy.Parse("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	q := newQueue(jobOf(ep))
	guard := loopback.Guard(t)
	var b *bench
	b = newBench(t, withQueue(q), func(c *checker.Config, env *checker.Env) {
		c.Judges = c.Judges[:1] // only plain HTTP, so that the scout connects and no more
		env.Dialer = dial.New(dial.Config{}, dial.Env{Policy: labPolicy, Control: func(network, addr string, raw syscall.RawConn) error {
			b.Unasked()
			return guard(network, addr, raw)
		}})
	})
	_, ended := run(t, b.Checker)
	await(t, "the end of the connection", closed)
	b.Wake()
	await(t, "the end", ended)
	if v := q.all(); len(v) != 1 || len(v[0].Outcomes) != 0 {
		t.Errorf("got %+v, want the job back", v)
	}
}
