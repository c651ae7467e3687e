package pool_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// BenchmarkPick picks and closes, freely and with a filter that one in ten
// matches.
func BenchmarkPick(b *testing.B) {
	geo := func(a netip.Addr) (string, uint32, string) {
		n := uint32(a.As4()[1])<<8 + uint32(a.As4()[2])
		return []string{"DE", "FR", "US", "GB", "NL", "RU", "CN", "BR", "IN", "ID"}[n%10], 1000 + n%500, ""
	}
	for _, live := range []int{10, 1000, 100_000} {
		p, _ := livePool(b, pool.Config{}, pool.Env{Geo: geo}, live)
		ctx := context.Background()
		run := func(name string, want proxy.Want, ok bool) {
			b.Run(fmt.Sprintf("%d/%s", live, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					l, err := p.Pick(ctx, want)
					if (err == nil) != ok {
						b.Fatal(err)
					}
					if ok {
						l.Close()
					}
				}
			})
		}
		run("free", proxy.Want{Need: proxy.NeedTunnel | proxy.NeedRemoteDNS}, true)
		run("country", proxy.Want{Filter: proxy.Filter{Countries: []string{"DE"}}}, true)
		run("session", sticky("bob", "a"), true)
		run("none", proxy.Want{Filter: proxy.Filter{Countries: []string{"ZZ"}}}, false)
	}
}

// BenchmarkPickParallel is what the gateway does: pick, report, close.
func BenchmarkPickParallel(b *testing.B) {
	p, _ := livePool(b, pool.Config{}, pool.Env{}, 2000)
	x := proxy.Target{Host: "example.com", Domain: "example.com", Port: 443}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l, err := p.Pick(context.Background(), proxy.Want{Target: x, Need: proxy.NeedTunnel})
			if err != nil {
				b.Error(err)
				return
			}
			l.Report(proxy.Outcome{Target: x, Class: proxy.OK, Stage: proxy.StageTunnel, Phases: proxy.Phases{FirstByte: time.Millisecond}})
			l.Close()
		}
	})
}

// BenchmarkAdd adds a list of 100,000.
func BenchmarkAdd(b *testing.B) {
	found := many(100_000)
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := open(b, pool.Config{}, pool.Env{})
			add(b, p, "a", found)
		}
	})
	b.Run("known", func(b *testing.B) {
		p := open(b, pool.Config{}, pool.Env{})
		add(b, p, "a", found)
		b.ReportAllocs()
		for b.Loop() {
			add(b, p, "a", found)
		}
	})
}

// BenchmarkQueue takes jobs of a million addresses and reports them.
func BenchmarkQueue(b *testing.B) {
	p := open(b, pool.Config{}, pool.Env{})
	for i := range 10 {
		add(b, p, fmt.Sprint("s", i), many(1_000_000)[i*100_000:(i+1)*100_000])
	}
	b.ReportAllocs()
	for b.Loop() {
		j, err := p.Next(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		p.Report(verdict(j, proxy.Timeout))
	}
}

// BenchmarkRebuild makes a snapshot when one of so many live ones has changed.
func BenchmarkRebuild(b *testing.B) {
	for _, live := range []int{64, 1000, 10_000} {
		b.Run(strconv.Itoa(live), func(b *testing.B) {
			p, found := livePool(b, pool.Config{}, pool.Env{}, live)
			b.ReportAllocs()
			for b.Loop() {
				report(p, found[0].Endpoint, proxy.OK)
				p.Stats()
			}
		})
	}
}

// BenchmarkList shows the first page of a million.
func BenchmarkList(b *testing.B) {
	p := open(b, pool.Config{}, pool.Env{})
	found := many(1_000_000)
	for i := range 4 {
		add(b, p, fmt.Sprint("s", i), found[i*250_000:(i+1)*250_000])
	}
	for _, c := range found[500_000:501_000] {
		report(p, c.Endpoint, proxy.OK)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, n, _, err := p.List(pool.Query{}); n != 1_000_000 || err != nil {
			b.Fatal(n, err)
		}
	}
}

// TestBytesPerEntry measures a million entries that never lived, on three
// lists each, with all indexes and the queue.
func TestBytesPerEntry(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("skipped: -short, or the race detector, which needs memory of its own")
	}
	const entries = 1_000_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	found := many(entries)
	before := heap()
	p := open(t, pool.Config{}, pool.Env{})
	for i := range 4 {
		part := found[i*entries/4 : (i+1)*entries/4]
		for _, list := range []string{"a", "b", "c"} {
			add(t, p, fmt.Sprint(list, i), part)
		}
	}
	after := heap()
	per := float64(after-before) / entries
	t.Logf("%.0f bytes per entry at %d entries", per, p.Stats().Total)
	if p.Stats().Total != entries || per > 200 {
		t.Errorf("%d entries of %.0f bytes, want %d of at most 200", p.Stats().Total, per, entries)
	}
	runtime.KeepAlive(found)
}
