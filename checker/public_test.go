package checker_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// abroad is a connection to a judge that looks as if it led to a public address.
type abroad struct{ net.Conn }

func (abroad) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(9, 9, 9, 9), Port: 443} }

// publicJudges are the lab's judges in httpbin's format, as if they were somebody else's.
func publicJudges(l *lab.Lab, urls ...string) option {
	return func(c *checker.Config, env *checker.Env) {
		judges(urls...)(c, env)
		d := net.Dialer{Control: env.Control}
		env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
			base := l.JudgeHTTP()
			if _, port, _ := net.SplitHostPort(addr); port == "443" {
				base = l.JudgeHTTPS()
			}
			u, err := url.Parse(base)
			if err != nil {
				return nil, err
			}
			conn, err := d.DialContext(ctx, network, u.Host)
			if err != nil {
				return nil, err
			}
			return abroad{conn}, nil
		}
	}
}

func TestPublicJudgesAreAskedSparingly(t *testing.T) {
	t.Parallel()
	const n = 8
	l := start(t, lab.Config{})
	q := newQueue()
	b := benchOver(t, l, publicJudges(l, "https://judge.lab.test/get"), withQueue(q), workers(n))
	var eps []proxy.Endpoint
	for range n {
		ep := b.add(t, lab.Upstream{Protocol: proxy.SOCKS5})
		eps = append(eps, ep)
		q.jobs = append(q.jobs, jobOf(ep))
	}
	began := time.Now()
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Two go at once, then two a second.
	if took := time.Since(began); took < (n-2)*time.Second/2-100*time.Millisecond {
		t.Errorf("%d requests to one operator took %v, want two a second", n, took)
	}
	again := 0
	for _, v := range q.all() {
		if len(v.Outcomes) != 1 || v.Outcomes[0].Class != proxy.OK {
			t.Errorf("verdict %+v, want a pass in spite of the queue; notes %q", v.Outcomes, v.Notes)
		}
	}
	for _, ep := range eps {
		if b.dialled(ep) > 1 {
			again++
		}
	}
	if again == 0 || again > n-2 {
		t.Errorf("%d of %d waited without a connection, want those that waited longer than a second", again, n)
	}
}

func TestDeadCandidatesCostPublicJudgesNothing(t *testing.T) {
	t.Parallel()
	const n = 60
	l := start(t, lab.Config{})
	q := newQueue()
	b := benchOver(t, l, publicJudges(l, "http://judge.lab.test/get", "https://judge.other.test/get"), withQueue(q), workers(n), timeout(time.Second))
	for i := range n {
		behaviour := []lab.Behaviour{lab.Silent, lab.Garbage, lab.Locked}[i%3]
		ep := b.add(t, lab.Upstream{Behaviour: behaviour})
		q.jobs = append(q.jobs, jobOf(ep))
	}
	began := time.Now()
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Turns for all would take half a minute. What takes time here are confirmations, every five seconds at most.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d dead candidates took %v: they seem to wait for turns", n, took)
	}
	if s := b.Status(); s.Checked != n || s.Judges[0].Operator == s.Judges[1].Operator {
		t.Errorf("status %+v, want %d checked and two operators", s, n)
	}
}

func TestOutcomesAreStamped(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	b := newBench(t, func(_ *checker.Config, env *checker.Env) { env.Now = func() time.Time { return at } })
	if _, o := b.one(t, b.add(t, lab.Upstream{})); !o.At.Equal(at) || !b.Status().Judges[0].LastProbe.Equal(at) {
		t.Errorf("outcome at %v, judge asked at %v, want %v", o.At, b.Status().Judges[0].LastProbe, at)
	}
}

// TestOperatorThatServesNotEverybody: the others are asked instead, as long as there are two.
func TestOperatorThatServesNotEverybody(t *testing.T) {
	t.Parallel()
	refuse := newJudge(t, false, nil)
	// The first operator refuses every address but ours.
	refuse.set(func(w http.ResponseWriter, r *http.Request) {
		if host, _, _ := net.SplitHostPort(r.RemoteAddr); host != "127.0.0.1" {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		judge.Handler(judge.Options{}).ServeHTTP(w, r)
	})
	other := start(t, lab.Config{AllowLoopback: true})
	named := strings.Replace(other.JudgeHTTP(), "127.0.0.1", "localhost", 1)
	third := func(_ *checker.Config, env *checker.Env) {
		d := net.Dialer{Control: env.Control}
		env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "judge.other.test:80" {
				addr = strings.TrimPrefix(other.JudgeHTTP(), "http://")
			}
			return d.DialContext(ctx, network, addr)
		}
	}
	b := benchOver(t, other, judges(refuse.URL, named, "http://judge.other.test/"), third)
	two := benchOver(t, other, judges(refuse.URL, named))
	for range 6 { // the order of judges is random
		ep := b.add(t, lab.Upstream{})
		if v, o := b.one(t, ep); o.Class != proxy.OK {
			t.Errorf("outcome = %v %v, want a pass by the two others; notes %q", o.Stage, o.Class, v.Notes)
		}
		if v, o := two.one(t, ep); o.Class != proxy.Banned {
			t.Errorf("outcome = %v %v with one other, want banned: only one agrees; notes %q", o.Stage, o.Class, v.Notes)
		}
	}
	alone := benchOver(t, other, judges(refuse.URL))
	if _, o := alone.one(t, alone.add(t, lab.Upstream{})); o.Class != proxy.Banned {
		t.Errorf("outcome = %v with that judge alone, want banned: the pair's matter", o.Class)
	}
}
