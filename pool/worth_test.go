package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestWorth: five are of both sources, five of a only; the first check fails for
// two of each, and later one of them works and one does not any more.
func TestWorth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s})
		found := many(10)
		add(t, p, "a", found)
		add(t, p, "b", found[:5])
		if w := p.Worth("a"); w != (proxy.Worth{Listed: 10, Exclusive: 5}) {
			t.Errorf("Worth before any check = %+v", w)
		}
		for i, c := range found {
			class := proxy.OK
			if i%5 < 2 {
				class = proxy.Timeout
			}
			v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, class)
			v.Outcomes[0].Phases = proxy.Phases{FirstByte: time.Duration(i+1) * 100 * time.Millisecond}
			p.Report(v)
		}
		report(p, found[5].Endpoint, proxy.OK)      // too late to be live at first; 100 ms
		report(p, found[9].Endpoint, proxy.Refused) // not live any more
		time.Sleep(10 * time.Second)
		want := map[string]proxy.Worth{
			"a": {Listed: 10, Live: 6, EverLive: 7, Checked: 10, FirstLive: 6, Exclusive: 5, OnlyLive: 3, Latency: 500 * time.Millisecond},
			"b": {Listed: 5, Live: 3, EverLive: 3, Checked: 5, FirstLive: 3, Latency: 400 * time.Millisecond},
			"c": {},
		}
		for name, w := range want {
			if got := p.Worth(name); got != w {
				t.Errorf("Worth(%q) = %+v, want %+v", name, got, w)
			}
		}
		if err := p.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := open(t, pool.Config{}, pool.Env{Store: s}).Worth("a"); got != want["a"] {
			t.Errorf("after a restart Worth = %+v, want %+v", got, want["a"])
		}
		if err := p.Retire(context.Background(), "b"); err != nil {
			t.Fatal(err)
		}
		if got := p.Worth("a"); got.Exclusive != 10 || got.OnlyLive != 6 {
			t.Errorf("without the other source Worth = %+v, want all exclusive", got)
		}
	})
}
