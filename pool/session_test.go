package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

func sticky(user, id string) proxy.Want {
	return proxy.Want{Session: proxy.SessionKey{User: user, ID: id}}
}

func TestSessionHoldsItsExit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{}, pool.Env{}, 100)
		first := pick(t, p, sticky("bob", "a1")).Entry
		for range 50 {
			if e := pick(t, p, sticky("bob", "a1")).Entry; e.Endpoint != first.Endpoint {
				t.Fatalf("the session moved from %v to %v", first.Endpoint, e.Endpoint)
			}
		}
		others := map[proxy.Endpoint]bool{}
		for i := range 20 {
			others[pick(t, p, sticky("bob", fmt.Sprint(i))).Entry.Endpoint] = true
			others[pick(t, p, sticky(fmt.Sprint("user", i), "a1")).Entry.Endpoint] = true
		}
		if len(others) < 5 {
			t.Errorf("40 other sessions share %d endpoints", len(others))
		}
		s := p.Sessions()
		if len(s) != 41 || p.Stats().Sessions != 41 {
			t.Errorf("%d sessions, want 41", len(s))
		}
		time.Sleep(9 * time.Minute)
		if e := pick(t, p, sticky("bob", "a1")).Entry; e.Endpoint != first.Endpoint {
			t.Error("the session moved before its ttl ended")
		}
		time.Sleep(time.Minute) // uses do not renew it
		moved := false
		for i := 0; i < 10 && !moved; i++ {
			moved = pick(t, p, sticky("bob", "a1")).Entry.Endpoint != first.Endpoint
			for _, s := range p.Sessions() {
				if s.User == "bob" && s.Session == "a1" {
					p.DropSession(s.ID)
				}
			}
		}
		if !moved {
			t.Error("after its ttl the session never moved")
		}
	})
}

func TestSessionTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{SessionTTL: time.Hour}, pool.Env{}, 10)
		pick(t, p, sticky("bob", "default"))
		short := sticky("bob", "short")
		short.SessionTTL = time.Minute
		pick(t, p, short)
		for _, s := range p.Sessions() {
			want := time.Hour
			if s.Session == "short" {
				want = time.Minute
			}
			if d := s.Until.Sub(s.Since); d != want {
				t.Errorf("session %s lasts %v, want %v", s.Session, d, want)
			}
		}
		time.Sleep(2 * time.Minute)
		if s := p.Sessions(); len(s) != 1 {
			t.Errorf("%d sessions after two minutes, want 1", len(s))
		}
		if p.DropSession("s123") {
			t.Error("a session that is not there was dropped")
		}
	})
}

// lose makes what a session uses fail its check.
func lose(t *testing.T, p *pool.Pool, want proxy.Want) proxy.Endpoint {
	t.Helper()
	ep := pick(t, p, want).Entry.Endpoint
	report(p, ep, proxy.Refused)
	return ep
}

func TestSessionLost(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
	want := sticky("bob", "a")
	old := lose(t, p, want)
	if _, err := p.Pick(context.Background(), want); !errors.Is(err, proxy.ErrSessionLost) {
		t.Fatalf("Pick = %v, want that the session is lost", err)
	}
	if e := pick(t, p, want).Entry; e.Endpoint == old {
		t.Error("the session has its dead endpoint again")
	}

	soft := sticky("bob", "soft")
	soft.Soft = true
	old = lose(t, p, soft)
	if e := pick(t, p, soft).Entry; e.Endpoint == old {
		t.Error("the soft session did not move")
	}

	strict := sticky("bob", "strict")
	strict.Strict = true
	old = lose(t, p, strict)
	for range 5 {
		if _, err := p.Pick(context.Background(), strict); !errors.Is(err, proxy.ErrSessionLost) {
			t.Fatalf("Pick = %v, want that a strict session stays lost", err)
		}
	}
	report(p, old, proxy.OK)
	p.Eligible(proxy.Want{})
	if e := pick(t, p, strict).Entry; e.Endpoint != old {
		t.Error("the strict session took another exit than its own")
	}
}

// TestSessionExitFails: an exit that failed a request again and again is lost,
// though the pool still takes it for alive: once, and not for the next one.
func TestSessionExitFails(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 2)
	for _, kind := range []string{"normal", "soft", "strict"} {
		want := sticky("bob", kind)
		want.Strict, want.Soft = kind == "strict", kind == "soft"
		first := pick(t, p, want).Entry.Endpoint
		failed := want
		failed.Avoid, failed.ExitLost = []proxy.Endpoint{first}, true
		l, err := p.Pick(context.Background(), failed)
		if kind == "soft" {
			if err != nil || l.Entry.Endpoint == first || !strings.HasPrefix(l.Why, "session moved") {
				t.Errorf("soft: Pick = %v, %q, %v, want that it moves", l.Entry.Endpoint, l.Why, err)
			}
		} else if !errors.Is(err, proxy.ErrSessionLost) {
			t.Errorf("%s: Pick = %v, want that the session is lost", kind, err)
		}
		for range 5 {
			if e := pick(t, p, want).Entry; (e.Endpoint == first) != (kind == "strict") {
				t.Errorf("%s: the next pick is %v, it was %v", kind, e.Endpoint, first)
			}
		}
	}
	if n := len(p.Sessions()); n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
}

func TestSessionStrictEndsWithItsTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
		want := sticky("bob", "strict")
		want.Strict = true
		lose(t, p, want)
		time.Sleep(10 * time.Minute)
		pick(t, p, want)
	})
}

// TestSessionOtherEndpoint: another endpoint with the same exit goes on.
func TestSessionOtherEndpoint(t *testing.T) {
	t.Parallel()
	p := open(t, pool.Config{}, pool.Env{})
	found := candidates(t, "http://5.1.1.1:80", "socks5://5.1.1.1:1080", "http://5.1.1.2:80", "http://5.1.1.3:80")
	add(t, p, "a", found)
	for _, c := range found {
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.OK)
		if c.Endpoint.Host != "5.1.1.3" {
			v.Outcomes[0].Learned.ExitIP = netip.MustParseAddr("5.9.9.9")
		}
		p.Report(v)
	}
	want := sticky("bob", "a")
	want.Filter.Exits = []netip.Prefix{netip.MustParsePrefix("5.9.9.9/32")}
	seen := map[proxy.Endpoint]bool{}
	for range 3 {
		e := pick(t, p, want).Entry
		seen[e.Endpoint] = true
		want.Avoid = append(want.Avoid, e.Endpoint)
	}
	if len(seen) != 3 {
		t.Errorf("the session used %v, want three endpoints of one exit", seen)
	}
	if _, err := p.Pick(context.Background(), want); !errors.Is(err, proxy.ErrNone) || errors.Is(err, proxy.ErrSessionLost) {
		t.Errorf("Pick with all of them avoided = %v, want that there is none", err)
	}
	want.Avoid = nil
	if e := pick(t, p, want).Entry; !seen[e.Endpoint] {
		t.Errorf("the next request is at %v, want the session's exit", e.Endpoint)
	}
}

// TestSessionStays: what this request has tried, needs or filters for does not
// cost the session its exit.
func TestSessionStays(t *testing.T) {
	t.Parallel()
	type change func(w *proxy.Want, e proxy.Entry)
	for _, tt := range []struct {
		name   string
		change change
		says   string
	}{
		{"endpoint tried", func(w *proxy.Want, e proxy.Entry) { w.Avoid = []proxy.Endpoint{e.Endpoint} }, "tried"},
		{"exit tried", func(w *proxy.Want, e proxy.Entry) { w.AvoidExits = []netip.Addr{e.Traits.ExitIP} }, "tried"},
		{"filter", func(w *proxy.Want, _ proxy.Entry) { w.Filter.Countries = []string{"DE"} }, "country"},
		{"need", func(w *proxy.Want, _ proxy.Entry) { w.Need = proxy.NeedIPv6 }, "need=ipv6"},
		{"pool", func(w *proxy.Want, _ proxy.Entry) { w.Pools = []string{"own"} }, "pool=own"},
	} {
		for _, kind := range []string{"normal", "strict", "soft"} {
			p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
			want := sticky("bob", "a")
			want.Strict, want.Soft = kind == "strict", kind == "soft"
			first := pick(t, p, want).Entry
			other := want
			tt.change(&other, first)
			l, err := p.Pick(context.Background(), other)
			switch {
			case kind == "soft" && tt.says == "tried":
				if err != nil || l.Entry.Endpoint == first.Endpoint {
					t.Errorf("%s, %s: Pick = %v, %v, want another exit for this request", tt.name, kind, l.Entry.Endpoint, err)
				}
			case !errors.Is(err, proxy.ErrNone) || !strings.Contains(err.Error(), tt.says):
				t.Errorf("%s, %s: Pick = %v, want none, with %q", tt.name, kind, err, tt.says)
			}
			if e := pick(t, p, want).Entry; e.Endpoint != first.Endpoint {
				t.Errorf("%s, %s: the session moved from %v to %v", tt.name, kind, first.Endpoint, e.Endpoint)
			}
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 5)
	for i := range 100_500 {
		pick(t, p, sticky("bob", fmt.Sprint(i))).Close()
	}
	if n := p.Stats().Sessions; n != 100_000 {
		t.Errorf("%d sessions, want at most 100,000", n)
	}
}

func TestSessionSurvivesRestart(t *testing.T) {
	t.Parallel()
	s := newMemStore()
	p, _ := livePool(t, pool.Config{}, pool.Env{Store: s}, 50)
	want := sticky("bob", "a")
	before := pick(t, p, want).Entry.Endpoint
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	again := open(t, pool.Config{}, pool.Env{Store: s})
	if e := pick(t, again, want).Entry; e.Endpoint != before {
		t.Errorf("after a restart the session is at %v, want %v", e.Endpoint, before)
	}
	if !again.DropSession(again.Sessions()[0].ID) || again.Flush(context.Background()) != nil {
		t.Fatal("DropSession failed")
	}
	if n := len(open(t, pool.Config{}, pool.Env{Store: s}).Sessions()); n != 0 {
		t.Errorf("a dropped session came back: %d", n)
	}
}

// TestSessionLostIsSaid: a snapshot that is made while a use is told that the
// exit is lost does not make the session move without a word.
func TestSessionLostIsSaid(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
	want := sticky("bob", "a")
	lose(t, p, want)
	p.Eligible(proxy.Want{}) // a snapshot without the exit
	if again, err := p.PickAndRebuild(want); again || !errors.Is(err, proxy.ErrSessionLost) {
		t.Errorf("looks again: %v, %v; want that the session is lost, once", again, err)
	}
	nothing := proxy.Want{Pools: []string{"no such"}}
	if again, err := p.PickAndRebuild(nothing); !again || err == nil {
		t.Errorf("looks again: %v, %v; want another look where nothing was found", again, err)
	}
}

// TestSessionIsRejected: a client that says that the exit of its session is banned gets
// another one with the next use, without being told that the session is lost; a strict
// session keeps its exit. A restart in between makes no difference.
func TestSessionIsRejected(t *testing.T) {
	t.Parallel()
	for _, verdict := range []string{"banned", "captcha", "failed", "ok"} {
		for _, kind := range []string{"normal", "soft", "strict"} {
			for _, restart := range []bool{false, true} {
				s := newMemStore()
				p, _ := livePool(t, pool.Config{}, pool.Env{Store: s}, 20)
				want := sticky("bob", "a")
				want.Strict, want.Soft = kind == "strict", kind == "soft"
				first := pick(t, p, want).Entry.Endpoint
				if _, err := p.Feedback(pool.Feedback{Session: "a", Target: "shop.example", Verdict: verdict}); err != nil {
					t.Fatal(err)
				}
				if restart {
					if err := p.Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
					p = open(t, pool.Config{}, pool.Env{Store: s})
				}
				leaves := kind != "strict" && (verdict == "banned" || verdict == "captcha")
				if held := p.Explain(want).Held; (held == nil) != leaves {
					t.Errorf("%s, %s, restart %v: explained as held %v", verdict, kind, restart, held)
				}
				l := pick(t, p, want)
				if (l.Entry.Endpoint != first) != leaves || leaves && !strings.HasPrefix(l.Why, "session moved") {
					t.Errorf("%s, %s, restart %v: the next use is at %v, %q; it was at %v", verdict, kind, restart, l.Entry.Endpoint, l.Why, first)
				}
				if e := pick(t, p, want).Entry; e.Endpoint != l.Entry.Endpoint {
					t.Errorf("%s, %s, restart %v: the one after it is at %v, want %v", verdict, kind, restart, e.Endpoint, l.Entry.Endpoint)
				}
			}
		}
	}
}

// TestSessionStaysWhereItIsBanned: what others find out does not move a session, nor
// does a word on its exit that does not name it.
func TestSessionStaysWhereItIsBanned(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 20)
	want := sticky("bob", "a")
	want.Target = target(t, "shop.example:443")
	l := pick(t, p, want)
	l.Report(proxy.Outcome{Target: want.Target, Stage: proxy.StageRequest, Class: proxy.Banned})
	if _, err := p.Feedback(pool.Feedback{Proxy: l.Entry.Endpoint.ID(), Target: "shop.example", Verdict: "banned"}); err != nil {
		t.Fatal(err)
	}
	if e := pick(t, p, want).Entry; e.Endpoint != l.Entry.Endpoint {
		t.Errorf("the session moved from %v to %v", l.Entry.Endpoint, e.Endpoint)
	}
}

// TestRejectedSessionHasNoOther: where there is no other exit a use elsewhere
// goes on with the only one, and one for the target that banned it finds none.
func TestRejectedSessionHasNoOther(t *testing.T) {
	t.Parallel()
	p, _ := livePool(t, pool.Config{}, pool.Env{}, 1)
	want := sticky("bob", "a")
	only := pick(t, p, want).Entry.Endpoint
	if _, err := p.Feedback(pool.Feedback{Session: "a", Target: "shop.example", Verdict: "banned"}); err != nil {
		t.Fatal(err)
	}
	there := want
	there.Target = target(t, "shop.example:443")
	if _, err := p.Pick(context.Background(), there); !errors.Is(err, proxy.ErrNone) || errors.Is(err, proxy.ErrSessionLost) {
		t.Errorf("Pick for the target = %v, want that there is none", err)
	}
	if e := pick(t, p, want).Entry; e.Endpoint != only {
		t.Errorf("a use elsewhere is at %v, want %v", e.Endpoint, only)
	}
}
