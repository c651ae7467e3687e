package pool_test

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freeway/pool"
	"freeway/proxy"
)

// mixed makes a pool of 300: 90 live in three countries, 100 dead, 110 new.
func mixed(t testing.TB) (*pool.Pool, []proxy.Candidate) {
	t.Helper()
	p := open(t, pool.Config{}, pool.Env{Geo: func(a netip.Addr) (string, uint32, string) {
		n := uint32(a.As4()[2])
		return []string{"DE", "FR", "US"}[n%3], 100 + n%10, "net"
	}})
	found := many(300)
	for i := range found {
		found[i].Endpoint.Protocol = proxy.Protocols()[i%4]
	}
	add(t, p, "a", found[:200])
	add(t, p, "b", found[150:])
	for i, c := range found[:190] {
		v := verdict(proxy.Job{Host: c.Endpoint.Host, Port: c.Endpoint.Port, Entries: []proxy.Entry{{Endpoint: c.Endpoint}}}, proxy.Refused)
		if i < 90 {
			v = verdict(v.Job, proxy.OK)
			v.Outcomes[0].Phases.FirstByte = time.Duration(i%30+1) * 50 * time.Millisecond
			v.Outcomes[0].Learned.ExitIP = found[i/2].Endpoint.Addr() // two share an exit
		}
		p.Report(v)
	}
	return p, found
}

func list(t testing.TB, p *pool.Pool, q pool.Query) ([]proxy.Entry, int, string) {
	t.Helper()
	items, total, next, err := p.List(q)
	if err != nil {
		t.Fatalf("List(%+v): %v", q, err)
	}
	return items, total, next
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	p, found := mixed(t)
	for _, tt := range []struct {
		filters string
		want    int
	}{
		{"", 300},
		{"state=live", 90},
		{"state=live,dead", 190},
		{"state=new", 110},
		{"protocol=socks5", 75},
		{"source=b", 150},
		{"source=a,b", 300},
		{"country=de", 30},
		{"country=de,fr state=live", 60},
		{"anonymity=elite", 90},
		{"anonymity=elite protocol=http", 23},
		{"tunnel=true", 90},
		{"max_latency=100", 6},
		{"min_score=0.5", 90},
		{"pool=public", 300},
		{"pool=paid", 0},
		{"exit=20.0.0.0/24", 2},
		{"url=" + found[7].Endpoint.String(), 1},
		{"target=shop", 0},
	} {
		var f proxy.Filter
		for part := range strings.FieldsSeq(tt.filters) {
			k, v, _ := strings.Cut(part, "=")
			if err := f.Set(k, v); err != nil {
				t.Fatal(err)
			}
		}
		if _, total, _ := list(t, p, pool.Query{Filter: f}); total != tt.want {
			t.Errorf("%q matches %d, want %d", tt.filters, total, tt.want)
		}
		if n := len(slices.Collect(p.All(f))); n != tt.want {
			t.Errorf("All(%q) gives %d, want %d", tt.filters, n, tt.want)
		}
	}
}

func TestListSortsAndPages(t *testing.T) {
	t.Parallel()
	p, _ := mixed(t)
	for _, field := range pool.Sorts() {
		for _, order := range []string{field, "-" + field} {
			for _, distinct := range []string{"", "exit_ip", "asn", "country"} {
				whole, total, next := list(t, p, pool.Query{Sort: order, Limit: 1000, Distinct: distinct})
				if next != "" || len(whole) != total || total != map[string]int{"": 300, "exit_ip": 45, "asn": 10, "country": 3}[distinct] {
					t.Fatalf("%s %s: %d of %d, next %q", order, distinct, len(whole), total, next)
				}
				var paged []proxy.Entry
				q := pool.Query{Sort: order, Limit: 7, Distinct: distinct}
				for {
					items, n, next := list(t, p, q)
					if n != total {
						t.Fatalf("%s: total %d on a page, want %d", order, n, total)
					}
					paged = append(paged, items...)
					if q.Cursor = next; next == "" {
						break
					}
				}
				if urls(paged) != urls(whole) {
					t.Errorf("%s %s: pages and the whole differ:\n%s\n%s", order, distinct, urls(paged), urls(whole))
				}
				each, err := p.Each(pool.Query{Sort: order, Distinct: distinct})
				if err != nil {
					t.Fatal(err)
				}
				if all := slices.Collect(each); urls(all) != urls(whole) {
					t.Errorf("%s %s: Each and List differ", order, distinct)
				}
			}
		}
	}
}

func TestListOrder(t *testing.T) {
	t.Parallel()
	p, _ := mixed(t)
	byScore, _, _ := list(t, p, pool.Query{Limit: 300})
	if !slices.IsSortedFunc(byScore, func(a, b proxy.Entry) int { return int(1e9 * (b.Score - a.Score)) }) {
		t.Error("by default the best is not first")
	}
	byLatency, _, _ := list(t, p, pool.Query{Sort: "latency", Limit: 300})
	known := slices.IndexFunc(byLatency, func(e proxy.Entry) bool { return e.Latency == 0 })
	if known != 90 || !slices.IsSortedFunc(byLatency[:known], func(a, b proxy.Entry) int { return int(a.Latency - b.Latency) }) {
		t.Errorf("by latency the %d known ones are not in order, or not first", known)
	}
	best, _, _ := list(t, p, pool.Query{Distinct: "country", Limit: 300})
	for _, e := range best {
		for _, o := range byScore {
			if o.Traits.Country == e.Traits.Country && o.Score > e.Score {
				t.Errorf("%s: %v was kept and %v is better", e.Traits.Country, e.Score, o.Score)
			}
		}
	}
}

// TestPagesAreStable: what happens between two pages neither repeats nor drops
// what stays as it is.
func TestPagesAreStable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, found := livePool(t, pool.Config{}, pool.Env{}, 200)
		seen := map[proxy.Endpoint]int{}
		q := pool.Query{Limit: 20}
		for i := 0; ; i++ {
			items, _, next := list(t, p, q)
			for _, e := range items {
				seen[e.Endpoint]++
			}
			if q.Cursor = next; next == "" {
				break
			}
			time.Sleep(time.Hour) // scores fade
			more := many(300 + i)
			add(t, p, "more", more[200:])
			if i < 5 {
				if _, err := p.Delete(t.Context(), found[i].Endpoint.ID()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, c := range found[5:] {
			if seen[c.Endpoint] != 1 {
				t.Errorf("%v appears %d times, want once", c.Endpoint, seen[c.Endpoint])
			}
		}
	})
}

func TestListErrors(t *testing.T) {
	t.Parallel()
	p, _ := mixed(t)
	_, _, next := list(t, p, pool.Query{Sort: "url", Limit: 1})
	for _, q := range []pool.Query{{Sort: "size"}, {Distinct: "color"}, {Cursor: "x"}, {Cursor: "!"}, {Sort: "latency", Cursor: next}} {
		if _, _, _, err := p.List(q); err == nil {
			t.Errorf("List(%+v) succeeded", q)
		}
		if _, err := p.Each(q); err == nil {
			t.Errorf("Each(%+v) succeeded", q)
		}
	}
}

func TestEachStops(t *testing.T) {
	t.Parallel()
	p, _ := mixed(t)
	n := 0
	for range p.All(proxy.Filter{}) {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("the loop ran %d times", n)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	p, found := livePool(t, pool.Config{}, pool.Env{}, 2)
	ep := found[0].Endpoint
	x := target(t, "www.example.com")
	use(t, p, at(ep, x), outcome(proxy.Banned))
	v := verdict(proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{{Endpoint: ep}}}, proxy.Timeout)
	v.Notes = []string{"connect: no answer"}
	p.Report(v)
	d, ok := p.Get(ep.ID())
	if !ok || len(d.History) != 3 || d.History[0].Class != proxy.Timeout || d.History[1].Target.Host != "www.example.com" || d.History[2].Class != proxy.OK {
		t.Fatalf("Get = %+v, %v, want three outcomes, newest first", d, ok)
	}
	for _, part := range []string{"such observations", "source list", "not used: the last check failed (connect timeout, 1 in a row)"} {
		if !strings.Contains(d.Why, part) {
			t.Errorf("Why = %q, want %q in it", d.Why, part)
		}
	}
	if len(d.Notes) != 1 || d.Entry.Error.Class != proxy.Timeout {
		t.Errorf("Get = %+v, want the notes and the error of the check", d)
	}
	for range 50 {
		report(p, ep, proxy.OK)
	}
	if d, _ := p.Get(ep.ID()); len(d.History) != 20 {
		t.Errorf("%d outcomes are kept, want 20", len(d.History))
	}
	if _, ok := p.Get("p0"); ok {
		t.Error("Get of an unknown id = true")
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := open(t, pool.Config{}, pool.Env{})
		if got := p.Requests(10); len(got) != 0 {
			t.Errorf("%d requests in an empty pool", len(got))
		}
		for i := range 1500 {
			code := ""
			if i%3 == 0 {
				code = "no_upstream"
			}
			p.Record(proxy.Trace{ID: fmt.Sprint(i), At: time.Now(), Code: code})
		}
		got := p.Requests(5000)
		if len(got) != 1000 || got[0].ID != "1499" || got[999].ID != "500" {
			t.Errorf("%d requests from %s to %s, want the latest 1000", len(got), got[0].ID, got[len(got)-1].ID)
		}
		if got := p.Requests(2); len(got) != 2 || got[1].ID != "1498" {
			t.Errorf("Requests(2) = %+v", got)
		}
		if m := p.Stats().LastMinute; m.Requests != 1500 || m.Answered != 1000 {
			t.Errorf("last minute = %+v, want 1500 and 1000", m)
		}
		time.Sleep(61 * time.Second)
		if m := p.Stats().LastMinute; m.Requests != 0 {
			t.Errorf("a minute later %d requests within the last minute", m.Requests)
		}
		time.Sleep(24 * time.Hour)
		if got := p.Requests(10); len(got) != 0 {
			t.Errorf("%d requests are shown after a day", len(got))
		}
	})
}

// TestRunningRequests: those that run are in the list by their beginning, those
// that ended by their end, each once; a day after a long one began it hides nothing.
func TestRunningRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running []proxy.Trace
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s, Running: func(n int, want func(*proxy.Trace) bool) (out []proxy.Trace) {
			for i := range running {
				if want(&running[i]) && len(out) < n {
					out = append(out, running[i])
				}
			}
			return out
		}})
		began := time.Now()
		time.Sleep(25 * time.Hour)
		ids := func(traces []proxy.Trace) (out string) {
			for _, t := range traces {
				if out += t.ID; t.Running {
					out += "*"
				}
				out += " "
			}
			return out
		}
		ended := func(id string) {
			p.Record(proxy.Trace{ID: id, At: time.Now().Add(-time.Second), Took: time.Second})
			time.Sleep(time.Minute)
		}
		runs := func(id string, at time.Time) {
			running = append([]proxy.Trace{{ID: id, At: at, Running: true}}, running...)
			time.Sleep(time.Minute)
		}
		runs("old", began)
		ended("a")
		runs("b", time.Now())
		ended("c")
		runs("d", time.Now())
		p.Record(proxy.Trace{ID: "b", At: running[1].At, Took: time.Since(running[1].At)}) // is about to leave those that run
		if got := ids(p.Requests(10)); got != "b d* c a old* " {
			t.Errorf("Requests = %s", got)
		}
		if got := ids(p.Requests(2)); got != "b d* " {
			t.Errorf("Requests(2) = %s", got)
		}
		if got := ids(p.Running(10)); got != "d* b* old* " {
			t.Errorf("Running = %s", got)
		}
		running = nil
		p.Record(proxy.Trace{ID: "old", At: began, Took: time.Since(began)})
		time.Sleep(time.Second)
		if got := ids(p.Requests(10)); got != "old b c a " {
			t.Errorf("after the end of one that ran for a day Requests = %s", got)
		}
		running = []proxy.Trace{{ID: "e", At: time.Now(), Running: true}}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ids(open(t, pool.Config{}, pool.Env{Store: s}).Requests(10)); got != "old b c a " {
			t.Errorf("after a restart Requests = %s", got)
		}
	})
}

// TestRequestsSurviveRestart: for a day, with every attempt, and within bounds.
func TestRequestsSurviveRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemStore()
		p := open(t, pool.Config{}, pool.Env{Store: s})
		old := proxy.Trace{ID: "old", At: time.Now().Add(-23 * time.Hour)}
		full := proxy.Trace{ID: "full", At: time.Now(), Client: netip.MustParseAddr("127.0.0.1"), User: "bob", Tag: "job", Session: "s", Method: "GET",
			Target: target(t, "www.shop.example"), Status: 200, Code: "x", Up: 3, Down: 4, Took: 7 * time.Millisecond,
			Attempts: []proxy.Attempt{{Endpoint: many(1)[0].Endpoint, Exit: netip.MustParseAddr("5.5.5.5"), Country: "DE", Why: "w",
				Stage: proxy.StageTunnel, Class: proxy.Reset, Status: 9, Took: time.Second}}}
		p.Record(old)
		p.Record(full)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p = open(t, pool.Config{}, pool.Env{Store: s})
		got := p.Requests(10)
		if len(got) != 2 || got[1].ID != "old" {
			t.Fatalf("after a restart Requests = %+v, want two", got)
		}
		got[0].At = full.At
		if !reflect.DeepEqual(got[0], full) {
			t.Errorf("after a restart it is\n%+v, want\n%+v", got[0], full)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		if again := open(t, pool.Config{}, pool.Env{Store: s}).Requests(10); len(again) != 1 || strings.Contains(string(s.docs["requests/"]), "old") {
			t.Errorf("a day later Requests = %+v and the document %s, want the newer one", again, s.docs["requests/"])
		}
		long := strings.Repeat("x", 5000)
		for i := range 1200 {
			p.Record(proxy.Trace{ID: fmt.Sprint(i), At: time.Now(), User: long})
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := len(s.docs["requests/"]); n > 1<<20 || n < 1<<19 {
			t.Errorf("the document has %d bytes, want at most a MiB", n)
		}
		if got := open(t, pool.Config{}, pool.Env{Store: s}).Requests(1); len(got) != 1 || got[0].ID != "1199" {
			t.Errorf("the latest is %+v, want 1199", got)
		}
		time.Sleep(25 * time.Hour)
		p.Flush(t.Context())
		if doc := s.docs["requests/"]; doc != nil {
			t.Errorf("after a day without requests the document is still there: %.80s", doc)
		}
	})
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p, found := mixed(t)
	use(t, p, at(found[0].Endpoint, target(t, "shop.example")), outcome(proxy.Banned))
	want := proxy.Want{Target: target(t, "shop.example"), Need: proxy.NeedTunnel, Avoid: []proxy.Endpoint{found[3].Endpoint}}
	want.Filter.Countries = []string{"DE"}
	x := p.Explain(want)
	if x.Total != 300 || len(x.Chosen) != 5 || x.Exits == 0 {
		t.Errorf("Explain = %+v", x)
	}
	var steps []string
	left := x.Total
	for _, s := range x.Steps {
		steps = append(steps, fmt.Sprintf("%s %d", s.Name, s.Removed))
		if left -= s.Removed; left != s.Left {
			t.Errorf("step %+v does not add up", s)
		}
	}
	got := strings.Join(steps, "; ")
	if want := "state new 110; state dead 100; pool public 0; country=DE 60; need=tunnel 0; banned by or failed at shop.example "; !strings.HasPrefix(got, want) {
		t.Errorf("steps = %s, want %s...", got, want)
	}
	if x.Left != p.Eligible(want) || x.Left != left {
		t.Errorf("%d are left, %d eligible", x.Left, p.Eligible(want))
	}
	if x := p.Explain(proxy.Want{Pools: []string{"paid"}}); x.Left != 0 || len(x.Chosen) != 0 {
		t.Errorf("Explain of an empty pool = %+v", x)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	p, _ := mixed(t)
	st := p.Stats()
	if st.Total != 300 || st.Live != 90 || st.Dead != 100 || st.New != 110 || st.Exits != 45 || st.Countries["DE"] != 30 ||
		st.Protocols[proxy.HTTP] != 23 || st.Pools["public"] != 90 || st.LastMinute.Checks != 190 || st.LastMinute.Passed != 90 || st.Due != 110 {
		t.Errorf("Stats = %+v", st)
	}
	next(t, p)
	if st := p.Stats(); st.Due != 109 || st.Claimed != 1 {
		t.Errorf("after a claim Stats = %+v", st)
	}
}
