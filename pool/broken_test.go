package pool_test

import (
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestAdaptiveShunsWhoBreaksOff: an upstream that resets answers in the middle
// fails fast, but nothing can take its place then, so that is not cheap.
func TestAdaptiveShunsWhoBreaksOff(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 40)
	breaks := map[proxy.Endpoint]bool{}
	for _, c := range found[:10] { // a quarter passes two checks of three
		breaks[c.Endpoint] = true
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.Reset)
		v.Outcomes[0].Stage, v.Outcomes[0].Phases = proxy.StageBody, proxy.Phases{Connect: time.Millisecond, FirstByte: time.Millisecond}
		p.Report(v)
		report(p, c.Endpoint, proxy.OK)
	}
	for _, c := range found[10:] {
		report(p, c.Endpoint, proxy.OK)
		report(p, c.Endpoint, proxy.OK)
	}
	p.Eligible(proxy.Want{}) // makes a snapshot
	const picks = 1000
	broken := 0
	for range picks {
		l := pick(t, p, proxy.Want{})
		if breaks[l.Entry.Endpoint] {
			broken++
		}
		l.Close()
	}
	if limit := picks * 3 / 100; broken > limit { // all three of the sample are such: 1.2 %
		t.Errorf("%d of %d picks chose one that breaks off, want at most %d", broken, picks, limit)
	}
}
