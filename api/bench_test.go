package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"freeway/api"
	"freeway/pool"
	"freeway/proxy"
)

// benchPool holds n endpoints, of which every tenth is live.
func benchPool(b *testing.B, n int) *pool.Pool {
	b.Helper()
	p, err := pool.Open(b.Context(), pool.Config{}, pool.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var all []proxy.Candidate
	protocols := proxy.Protocols()
	for i := range n {
		host := netip.AddrFrom4([4]byte{byte(11 + i%5), byte(i >> 16), byte(i >> 8), byte(i)}).String()
		all = append(all, proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: protocols[i%len(protocols)], Host: host, Port: 8080}})
	}
	for i, part := 0, 1000; i < n; i += part {
		if _, err := p.Add(b.Context(), fmt.Sprintf("list-%d", i/part), all[i:min(i+part, n)]); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		job, err := p.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		v := proxy.Verdict{Job: job}
		for _, e := range job.Entries {
			o := proxy.Outcome{Endpoint: e.Endpoint, At: time.Now(), Origin: proxy.FromCheck, Stage: proxy.StageConnect, Class: proxy.Refused}
			if i%10 == 0 {
				o.Stage, o.Class = proxy.StageVerify, proxy.OK
				o.Phases.FirstByte = time.Duration(i%3000) * time.Millisecond
				o.Learned = &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, Anonymity: proxy.Elite, ExitIP: e.Endpoint.Addr(), Country: "DE"}
			}
			v.Outcomes = append(v.Outcomes, o)
		}
		p.Report(v)
	}
	return p
}

// BenchmarkListPage measures /api/proxies over 100,000 entries, without a network.
func BenchmarkListPage(b *testing.B) {
	p := benchPool(b, 100_000)
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: p})
	if err != nil {
		b.Fatal(err)
	}
	for _, query := range []string{"limit=50", "limit=50&state=live", "limit=50&state=live&country=de&sort=latency", "limit=50&protocol=socks5&sort=-last_checked", "limit=50&min_score=0.1", "limit=50&distinct=asn"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/api/proxies?"+query, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

// BenchmarkListUnchecked is the first page of 100,000 of which nothing is
// known: all have the same score.
func BenchmarkListUnchecked(b *testing.B) {
	p, err := pool.Open(b.Context(), pool.Config{}, pool.Env{})
	if err != nil {
		b.Fatal(err)
	}
	var all []proxy.Candidate
	for i := range 100_000 {
		all = append(all, proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: proxy.SOCKS5, Host: netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}).String(), Port: 1080}})
	}
	if _, err := p.Insert(b.Context(), all); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if items, total, _, err := p.List(pool.Query{}); err != nil || total != len(all) || len(items) != 50 {
			b.Fatal(len(items), total, err)
		}
	}
}

// BenchmarkRandom measures what /api/proxies/random does, without HTTP.
func BenchmarkRandom(b *testing.B) {
	p := benchPool(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		lease, err := p.Pick(b.Context(), proxy.Want{})
		if err != nil {
			b.Fatal(err)
		}
		lease.Close()
	}
}

// BenchmarkExport measures a full txt export of a million entries and the
// memory that it takes at its peak.
func BenchmarkExport(b *testing.B) {
	const n = 1_000_000
	p := benchPool(b, n)
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: p})
	if err != nil {
		b.Fatal(err)
	}
	for _, query := range []string{"format=txt", "format=txt&state=live", "format=ndjson"} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				c := &counter{header: http.Header{}}
				a.Handler().ServeHTTP(c, httptest.NewRequest("GET", "http://127.0.0.1/api/proxies?"+query, nil))
				rows += c.lines
				b.ReportMetric(float64(c.peak)/1e6, "peak-MB")
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// counter throws an answer away and notes the largest heap meanwhile.
type counter struct {
	header http.Header
	lines  int
	writes int
	base   uint64
	peak   uint64
}

func (c *counter) Header() http.Header { return c.header }
func (c *counter) WriteHeader(int)     {}

func (c *counter) Write(b []byte) (int, error) {
	for _, x := range b {
		if x == '\n' {
			c.lines++
		}
	}
	if c.writes++; c.writes%100 == 1 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if c.base == 0 {
			c.base = m.HeapAlloc
		}
		if m.HeapAlloc > c.base {
			c.peak = max(c.peak, m.HeapAlloc-c.base)
		}
	}
	return len(b), nil
}

var _ io.Writer = (*counter)(nil)
