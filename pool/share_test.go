package pool_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// TestFarmsShare: an exit with many endpoints has the share of one, also when uses overlap.
func TestFarmsShare(t *testing.T) {
	t.Parallel()
	for _, rotation := range []string{"adaptive", "least-used", "round-robin", "random"} {
		for _, atATime := range []int{1, 3, 40} {
			for _, lists := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, %d at a time, lists %d", rotation, atATime, lists), func(t *testing.T) {
					t.Parallel()
					farmShare(t, rotation, atATime, lists)
				})
			}
		}
	}
}

func farmShare(t *testing.T, rotation string, atATime, lists int) {
	p := open(t, pool.Config{Rotation: rotation}, pool.Env{})
	farm := netip.MustParseAddr("9.9.9.9")
	var found []proxy.Candidate
	for i := range 22 {
		found = append(found, candidate(t, fmt.Sprintf("http://20.%d.1.1:80", i)))
	}
	if lists == 1 {
		add(t, p, "list", found)
	} else {
		add(t, p, "one", found[:12])
		add(t, p, "another", found[12:])
	}
	for i, c := range found {
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.OK)
		if i < 12 {
			v.Outcomes[0].Learned.ExitIP = farm
		}
		for range 30 {
			p.Report(v)
		}
	}
	p.Eligible(proxy.Want{})
	n, all := 0, 1100
	var leases []proxy.Lease
	for i := range all {
		x := target(t, fmt.Sprintf("site%d.example", i%40))
		if i%50 == 0 {
			p.Eligible(proxy.Want{})
		}
		if len(leases) == atATime {
			l := leases[0]
			leases = leases[1:]
			l.Report(proxy.Outcome{Target: x, Stage: proxy.StageBody, Class: proxy.OK, Phases: proxy.Phases{FirstByte: 200 * time.Millisecond}})
			l.Close()
		}
		l := pick(t, p, proxy.Want{Target: x})
		if l.Entry.Traits.ExitIP == farm {
			n++
		}
		leases = append(leases, l)
	}
	for _, l := range leases {
		l.Close()
	}
	if n < all/22 || n > all/11*5/2 {
		t.Errorf("twelve endpoints of one exit, beside ten others, had %d of %d uses, want about %d", n, all, all/11)
	}
}

// TestFeedbackTarget: the target may be said as a URL.
func TestFeedbackTarget(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 5)
	for i, s := range []string{"www.a.example", "b.example:8443", "https://u:p@www.c.example:8443/x?y=@d#z", "HTTP://d.example?q", "ws://[2606:4700::1]"} {
		if _, err := p.Feedback(pool.Feedback{Proxy: found[i].Endpoint.String(), Target: s, Verdict: "banned"}); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	var got []string
	for _, x := range p.Targets() {
		got = append(got, x.Domain)
	}
	slices.Sort(got)
	if want := []string{"2606:4700::1", "a.example", "b.example", "c.example", "d.example"}; !slices.Equal(got, want) {
		t.Errorf("bans at %v, want %v", got, want)
	}
	for _, s := range []string{"ftp://a.example", "https://", "https:///x", "https://a.example:x/"} {
		if _, err := p.Feedback(pool.Feedback{Proxy: found[0].Endpoint.String(), Target: s, Verdict: "banned"}); !errors.Is(err, pool.ErrInput) {
			t.Errorf("%s: %v, want ErrInput", s, err)
		}
	}
}

// TestFeedbackFailsThere: an exit of which a client says that it failed at a domain goes
// elsewhere next, also when a check passes right away.
func TestFeedbackFailsThere(t *testing.T) {
	t.Parallel()
	for _, verdict := range []string{"failed", "bad_content"} {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 8)
		for range 20 {
			for _, c := range found {
				report(p, c.Endpoint, proxy.OK)
			}
		}
		ep := found[3].Endpoint
		if _, err := p.Feedback(pool.Feedback{Proxy: ep.String(), Target: "shop.example", Verdict: verdict}); err != nil {
			t.Fatal(err)
		}
		for range 40 { // its checks pass
			report(p, ep, proxy.OK)
		}
		p.Eligible(proxy.Want{}) // makes a snapshot
		uses := map[string]int{}
		for i := range 400 {
			name := []string{"shop.example", "else.example"}[i%2]
			l := pick(t, p, proxy.Want{Target: target(t, name)})
			if l.Entry.Endpoint == ep {
				uses[name]++
			}
			l.Report(proxy.Outcome{Target: target(t, name), Stage: proxy.StageBody, Class: proxy.OK, Phases: proxy.Phases{FirstByte: 100 * time.Millisecond}})
			l.Close()
		}
		if uses["shop.example"] > 3 || uses["else.example"] < 4 {
			t.Errorf("%s: of 200 uses at each it had %v, want none at shop.example, some at else.example", verdict, uses)
		}
	}
}
