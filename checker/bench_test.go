package checker_test

import (
	"net/netip"
	"testing"
	"time"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// BenchmarkScan tests 5,000 upstreams, of which 10 % work, 40 % refuse, 30 %
// are silent and 20 % are garbage or slow, and compares the time with what
// cannot be avoided: the time-outs added up, divided by the concurrency, plus one.
func BenchmarkScan(b *testing.B) {
	b.Run("claimed", func(b *testing.B) { scan(b, false) })
	b.Run("guessed", func(b *testing.B) { scan(b, true) })
}

const (
	scanSize        = 5000
	scanConcurrency = 500
	scanTimeout     = 5 * time.Second
)

func scan(b *testing.B, guessed bool) {
	l, err := lab.Start(b.Context(), lab.Config{Seed: 1, Upstreams: scanSize, Mix: []lab.Share{
		{Behaviour: lab.Healthy, Weight: 10, Latency: 300 * time.Millisecond},
		{Behaviour: lab.Refused, Weight: 40}, {Behaviour: lab.Silent, Weight: 30},
		{Behaviour: lab.Garbage, Weight: 10}, {Behaviour: lab.Slow, Weight: 10},
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	works, waits := map[proxy.Endpoint]bool{}, 0
	var jobs []proxy.Job
	for _, tr := range l.Truth() {
		works[tr.Endpoint] = tr.Up
		if tr.Behaviour == lab.Silent || tr.Behaviour == lab.Slow {
			waits++
		}
		if guessed {
			jobs = append(jobs, jobOf(as(tr.Endpoint, proxy.HTTP), guess))
		} else {
			jobs = append(jobs, jobOf(tr.Endpoint))
		}
	}
	least := time.Duration(waits)*scanTimeout/scanConcurrency + scanTimeout
	for b.Loop() {
		q := newQueue(jobs...)
		began := time.Now()
		scanOnce(b, l, q)
		b.ReportMetric(time.Since(began).Seconds()/least.Seconds(), "x-unavoidable")
		compare(b, works, q.all())
	}
}

func scanOnce(b *testing.B, l *lab.Lab, q checker.Queue) {
	policy := proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))
	c, err := checker.Open(checker.Config{Concurrency: scanConcurrency, Timeout: scanTimeout, ConnectTimeout: scanTimeout,
		Judges: []checker.Judge{{URL: l.JudgeHTTP()}, {URL: l.JudgeHTTPS()}}},
		checker.Env{Queue: q, Roots: l.Roots(), Dialer: dial.New(dial.Config{}, dial.Env{Roots: l.Roots(), Policy: policy, Control: loopback.Control})})
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// compare counts what was found wrongly and what was missed.
func compare(b *testing.B, works map[proxy.Endpoint]bool, verdicts []proxy.Verdict) {
	missing := 0
	for _, up := range works {
		if up {
			missing++
		}
	}
	wrong := 0
	for _, v := range verdicts {
		for _, o := range v.Outcomes {
			switch {
			case o.Class != proxy.OK:
			case works[o.Endpoint]:
				missing--
			default:
				wrong++
			}
		}
	}
	b.ReportMetric(float64(missing), "missing")
	b.ReportMetric(float64(wrong), "wrong")
}
