package pool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// million is a pool of a million entries over a real store, of which some lived.
func million(b *testing.B, path string) (*pool.Pool, *store.Store, []proxy.Candidate) {
	b.Helper()
	s, err := store.Open(path, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p := open(b, pool.Config{}, pool.Env{Store: s})
	found := many(1_000_000)
	for i := range 10 {
		add(b, p, fmt.Sprint("list", i), found[i*100_000:(i+1)*100_000])
	}
	for i := range 2000 {
		report(p, found[i*500].Endpoint, proxy.OK)
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return p, s, found
}

// BenchmarkLoadMillion opens a store of a million entries and loads the pool.
func BenchmarkLoadMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f.db")
	_, s, _ := million(b, path)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := store.Open(path, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		p := open(b, pool.Config{}, pool.Env{Store: s})
		if n := p.Stats().Total; n != 1_000_000 {
			b.Fatalf("%d entries", n)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerdicts takes 5,000 verdicts a second into a pool of a million over a
// real store, while picks go on at a steady pace, in turns with pauses without
// verdicts. It lasts FREEWAY_VERDICT_SECONDS, or 20 seconds; half of it is under
// load. It reports the 99th percentiles of what picks took with and without, and
// what was written to the disk for each verdict.
func BenchmarkVerdicts(b *testing.B) {
	seconds, err := strconv.Atoi(os.Getenv("FREEWAY_VERDICT_SECONDS"))
	if err != nil {
		seconds = 20
	}
	p, s, found := million(b, filepath.Join(b.TempDir(), "f.db"))
	ctx, stop := context.WithCancel(b.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = p.Run(ctx) })
	for b.Loop() {
		before := written(b)
		var with, without []time.Duration
		n := 0
		for range max(seconds/10, 1) {
			without = append(without, paced(p, 5*time.Second, nil)...)
			with = append(with, paced(p, 5*time.Second, func() {
				for range 25 { // each 5 ms
					c := found[(n*7919)%len(found)]
					class := proxy.Timeout
					if (n*7919)%len(found)%500 == 0 {
						class = proxy.OK
					}
					report(p, c.Endpoint, class)
					n++
				}
			})...)
		}
		if err := p.Flush(ctx); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n)/float64(max(seconds/10, 1)*5), "verdicts/s")
		b.ReportMetric(float64(written(b)-before)/float64(n), "B-disk/verdict")
		b.ReportMetric(micros(percentile(without, .99)), "µs-p99-without")
		b.ReportMetric(micros(percentile(with, .99)), "µs-p99-with")
	}
	stop()
	run.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// paced picks once each 5 ms for so long, and does something else beside it; it
// returns what the picks took.
func paced(p *pool.Pool, d time.Duration, beside func()) []time.Duration {
	var took []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range int(d / (5 * time.Millisecond)) {
			<-tick.C
			if beside != nil {
				beside()
			}
		}
	}()
	x := proxy.Target{Host: "example.com", Domain: "example.com", Port: 443}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return took
		case <-tick.C:
			began := time.Now()
			l, err := p.Pick(context.Background(), proxy.Want{Target: x, Need: proxy.NeedTunnel})
			if err == nil {
				l.Report(proxy.Outcome{Target: x, Class: proxy.OK, Stage: proxy.StageTunnel, Phases: proxy.Phases{FirstByte: time.Millisecond}})
				l.Close()
			}
			took = append(took, time.Since(began))
		}
	}
}

// percentile sorts.
func percentile(all []time.Duration, q float64) time.Duration {
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// written is how many bytes this process has had written to disks, 0 where the
// system does not say.
func written(b *testing.B) int64 {
	doc, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(doc), "\n") {
		var n int64
		if _, err := fmt.Sscanf(line, "write_bytes: %d", &n); err == nil {
			return n
		}
	}
	b.Log("the system does not say what was written")
	return 0
}
