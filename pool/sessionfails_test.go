package pool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"freeway/pool"
	"freeway/proxy"
)

// TestSessionExitFailsAgain: an exit that delivers nothing any more, or lacks what is
// needed, does not hold its session until that ends; one that merely meets a target
// that is down does, and so does one that there is nobody to replace.
func TestSessionExitFailsAgain(t *testing.T) {
	t.Parallel()
	tunnel := func(c proxy.Class) proxy.Outcome { return proxy.Outcome{Stage: proxy.StageTunnel, Class: c} }
	answer := func(c proxy.Class) proxy.Outcome { return proxy.Outcome{Stage: proxy.StageHandshake, Class: c} }
	for _, tt := range []struct {
		name    string
		o       proxy.Outcome
		domains int // that the uses go to, one after the other
		n       int
		between bool // another use works before the last
		alone   bool // there is no other exit
		lost    bool
	}{
		{"breaks off", tunnel(proxy.Reset), 1, 3, false, false, true},
		{"breaks off twice", tunnel(proxy.Reset), 1, 2, false, false, false},
		{"breaks off, works, breaks off", tunnel(proxy.Reset), 1, 3, true, false, false},
		{"breaks off, nobody else", tunnel(proxy.Reset), 1, 3, false, true, false},
		{"wants credentials", answer(proxy.AuthRequired), 1, 3, false, false, true},
		{"reaches nothing", answer(proxy.BadGateway), 3, 3, false, false, true},
		{"does not reach one target", answer(proxy.BadGateway), 1, 6, false, false, false},
		{"is banned", proxy.Outcome{Stage: proxy.StageBody, Class: proxy.Banned}, 3, 6, false, false, false},
		{"does not tunnel any more", answer(proxy.NoConnect), 1, 1, false, false, true},
		{"does not tunnel, nobody else", answer(proxy.NoConnect), 1, 1, false, true, false},
	} {
		for _, kind := range []string{"normal", "soft", "strict"} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				n := 20
				if tt.alone {
					n = 1
				}
				p, _ := livePool(t, pool.Config{}, pool.Env{}, n)
				want := sticky("bob", "a")
				want.Strict, want.Soft, want.Need = kind == "strict", kind == "soft", proxy.NeedTunnel
				if want.Soft && tt.n > tt.domains+1 {
					return // it leaves an exit that fails at one target, or is banned there, sooner
				}
				first := pick(t, p, want).Entry.Endpoint
				for i := range tt.n {
					want.Target = target(t, fmt.Sprintf("www.site%d.example", i%tt.domains))
					l, err := p.Pick(context.Background(), want)
					if err != nil || l.Entry.Endpoint != first {
						t.Fatalf("use %d is at %v, %q, %v, want %v", i, l.Entry.Endpoint, l.Why, err, first)
					}
					o := tt.o
					if tt.between && i == tt.n-1 {
						o = proxy.Outcome{Stage: proxy.StageTunnel, Class: proxy.OK}
					}
					o.Target, o.Request = want.Target, fmt.Sprint("request ", i)
					l.Report(o)
					l.Close()
					if o.Class != proxy.NoConnect {
						report(p, first, proxy.OK) // its checks pass all the same
					}
					p.Eligible(proxy.Want{}) // makes a snapshot
				}
				want.Target = target(t, "www.next.example")
				leaves := tt.lost && (kind != "strict" || tt.o.Class == proxy.NoConnect)
				if held := p.Explain(want).Held; (held == nil) != leaves {
					t.Errorf("explained as held: %v", held)
				}
				l, err := p.Pick(context.Background(), want)
				switch {
				case kind == "soft":
					if (l.Entry.Endpoint != first) != tt.lost && err == nil || tt.lost && !strings.HasPrefix(l.Why, "session moved") {
						t.Errorf("Pick = %v, %q, %v; it was at %v", l.Entry.Endpoint, l.Why, err, first)
					}
				case kind == "normal" && tt.lost:
					if !errors.Is(err, proxy.ErrSessionLost) {
						t.Fatalf("Pick = %v, %v, want that the session is lost", l.Entry.Endpoint, err)
					}
					l, err = p.Pick(context.Background(), want)
					if err != nil || l.Entry.Endpoint == first || !strings.HasPrefix(l.Why, "new session") {
						t.Errorf("then Pick = %v, %q, %v, want another exit", l.Entry.Endpoint, l.Why, err)
					}
				case errors.Is(err, proxy.ErrSessionLost) != (kind == "strict" && tt.lost && tt.o.Class == proxy.NoConnect):
					t.Errorf("Pick = %v, %v", l.Entry.Endpoint, err)
				case err == nil && l.Entry.Endpoint != first:
					t.Errorf("it moved to %v, %q", l.Entry.Endpoint, l.Why)
				}
			})
		}
	}
}
