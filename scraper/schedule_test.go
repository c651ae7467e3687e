package scraper_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freeway/proxy"
	"freeway/scraper"
)

// diary notes when each path of a wire was asked.
type diary struct {
	mu    sync.Mutex
	start time.Time
	at    map[string][]time.Duration
	now   int // requests under way
	most  int
}

func newDiary() *diary { return &diary{start: time.Now(), at: map[string][]time.Duration{}} }

// wire answers with f after taking a note.
func (d *diary) wire(f func(n int, r *http.Request) *http.Response) wire {
	return func(r *http.Request) (*http.Response, error) {
		d.mu.Lock()
		n := len(d.at[r.URL.Path])
		d.at[r.URL.Path] = append(d.at[r.URL.Path], time.Since(d.start))
		d.now++
		d.most = max(d.most, d.now)
		d.mu.Unlock()
		defer func() {
			d.mu.Lock()
			d.now--
			d.mu.Unlock()
		}()
		resp := f(n, r)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return resp, nil
	}
}

// listFor gives each path a list of its own.
func listFor(path string) string {
	n := 0
	for _, c := range path {
		n = (n*31 + int(c)) % 40000
	}
	return entries(n*200, 30)
}

func (d *diary) of(path string) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at[path]
}

// run lets r work for a while of virtual time.
func run(t *testing.T, r rig, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(d)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v, want nil", err)
	}
}

func TestRunKeepsTheSchedules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		off := false
		r := open(t, scraper.Config{}, list(
			scraper.Source{Name: "general", URL: "http://a.example/general"},
			scraper.Source{Name: "hourly", URL: "http://b.example/hourly", Schedule: "5 * * * *"},
			scraper.Source{Name: "off", URL: "http://c.example/off", Enabled: &off},
		))
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response { return reply(req, 200, listFor(req.URL.Path)) }))
		run(t, r, 3*time.Hour+time.Minute)
		if got := d.of("/general"); len(got) != 7 || got[0] > time.Second || got[1] < 30*time.Minute || got[1] > 31*time.Minute {
			t.Errorf("general was read at %v, want at once and then every 30 minutes", got)
		}
		if got := d.of("/hourly"); len(got) != 4 || got[1] != 5*time.Minute || got[2] != 65*time.Minute {
			t.Errorf("hourly was read at %v, want at once and at five past", got)
		}
		if got := d.of("/off"); len(got) != 0 {
			t.Errorf("a disabled source was read at %v", got)
		}
		for _, res := range r.Results() {
			if !res.Next.IsZero() {
				t.Errorf("%s: Next = %v after Run has ended, want none", res.Name, res.Next)
			}
		}
	})
}

func TestFirstTurnsAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []scraper.Source
		for i := range 100 {
			all = append(all, scraper.Source{Name: fmt.Sprint("s", i), URL: fmt.Sprintf("http://h%d.example/%d", i, i)})
		}
		r := open(t, scraper.Config{Concurrency: 100}, list(all...), func(e *scraper.Env) { e.Jitter = nil })
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response { return reply(req, 200, entries(0, 1)) }))
		run(t, r, 5*time.Second)
		early := 0
		for i := range 100 {
			at := d.of(fmt.Sprint("/", i))
			if len(at) != 1 {
				t.Fatalf("source %d was read at %v, want once", i, at)
			}
			if at[0] < time.Second {
				early++
			}
		}
		if early == 0 || early > 70 {
			t.Errorf("%d of 100 sources were read within the first second, want a spread", early)
		}
	})
}

func TestLimitsOnRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []scraper.Source
		for i := range 12 {
			all = append(all, scraper.Source{Name: fmt.Sprint("s", i), URL: fmt.Sprintf("http://h%d.example/%d", i, i)})
			all = append(all, scraper.Source{Name: fmt.Sprint("t", i), URL: fmt.Sprintf("http://same.example/t%d", i)})
		}
		r := open(t, scraper.Config{Concurrency: 3}, list(all...))
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response {
			time.Sleep(2 * time.Second)
			return reply(req, 200, entries(0, 1))
		}))
		run(t, r, 2*time.Minute)
		if d.most != 3 {
			t.Errorf("%d requests at the same time, want 3", d.most)
		}
		var same []time.Duration
		for i := range 12 {
			same = append(same, d.of(fmt.Sprint("/t", i))...)
		}
		for i, a := range same {
			for _, b := range same[i+1:] {
				if gap := (a - b).Abs(); gap < 2*time.Second+500*time.Millisecond {
					t.Fatalf("one host was asked %v apart, want an interval behind the answer", gap)
				}
			}
		}
		if len(same) != 12 {
			t.Errorf("%d of 12 lists of one host were read", len(same))
		}
	})
}

func TestBackOffAfterErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{}, list(
			scraper.Source{Name: "down", URL: "http://a.example/down"},
			scraper.Source{Name: "gone", URL: "http://b.example/gone"},
			scraper.Source{Name: "fine", URL: "http://c.example/fine"},
		))
		d := newDiary()
		r.SetTransport(d.wire(func(n int, req *http.Request) *http.Response {
			switch {
			case req.URL.Path == "/down" && n < 5:
				return reply(req, 500, "")
			case req.URL.Path == "/gone":
				return reply(req, 404, "")
			}
			return reply(req, 200, listFor(req.URL.Path))
		}))
		run(t, r, 2*time.Hour+time.Minute)
		if got := fmt.Sprint(rounded(d.of("/down"))); !strings.HasPrefix(got, "[0s 30s 1m30s 3m30s 7m30s 15m30s ") {
			t.Errorf("a server in trouble was asked at %s, want after 30s, doubling until it is well", got)
		}
		if got := d.of("/gone"); len(got) != 3 { // 0, 30m, 90m
			t.Errorf("a list that is gone was asked at %v, want ever more seldom", got)
		}
		if got := d.of("/fine"); len(got) != 5 {
			t.Errorf("the neighbour was read at %v, want undisturbed", got)
		}
		for _, res := range r.Results() {
			if want := map[string]int{"gone": 3}[res.Name]; res.Failures != want {
				t.Errorf("%s: %d failures in a row, want %d", res.Name, res.Failures, want)
			}
		}
	})
}

func rounded(in []time.Duration) []time.Duration {
	out := make([]time.Duration, len(in))
	for i, d := range in {
		out[i] = d.Round(time.Second)
	}
	return out
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Schedule: "@every 1m"}, list(
			scraper.Source{Name: "a", URL: "http://same.example/a"},
			scraper.Source{Name: "b", URL: "http://same.example/b"},
			scraper.Source{Name: "c", URL: "http://other.example/c"},
		))
		d := newDiary()
		start := time.Now()
		r.SetTransport(d.wire(func(n int, req *http.Request) *http.Response {
			if req.URL.Path == "/a" && n == 0 {
				return reply(req, 429, "", "Retry-After", "1800")
			}
			if time.Since(start) < 30*time.Minute && n > 0 && req.URL.Host == "same.example" {
				t.Errorf("%s was asked after %v, though the host wanted quiet", req.URL, time.Since(start))
			}
			return reply(req, 200, listFor(req.URL.Path))
		}))
		time.AfterFunc(5*time.Minute, func() {
			if _, err := r.RunNow(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "asked to wait") {
				t.Errorf("RunNow() = %v, want a word about the wish of the server", err)
			}
		})
		run(t, r, time.Hour)
		if got := d.of("/a"); len(got) < 10 || got[1] < 30*time.Minute || got[1] > 32*time.Minute {
			t.Errorf("a was asked at %v, want again after 30 minutes", got)
		}
		if got := d.of("/c"); len(got) < 50 {
			t.Errorf("another host was asked %d times in an hour, want every minute", len(got))
		}
	})
}

func TestRetryAfterSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := list(scraper.Source{Name: "a", URL: "http://same.example/a"})
		d := newDiary()
		w := d.wire(func(n int, req *http.Request) *http.Response { return reply(req, 503, "", "Retry-After", "3600") })
		r := open(t, scraper.Config{}, src)
		r.SetTransport(w)
		run(t, r, time.Minute)
		again := open(t, scraper.Config{}, src, func(e *scraper.Env) { e.Notebook = r.pool })
		again.SetTransport(w)
		run(t, again, 58*time.Minute)
		if got := d.of("/a"); len(got) != 1 {
			t.Errorf("the server was asked at %v, want once within the hour", got)
		}
	})
}

// threat 62: a run that takes longer than its interval.
//
// TestNoOverlap has a list that takes longer to read than its interval.
func TestNoOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Schedule: "@every 1m", Timeout: 10 * time.Minute}, list(scraper.Source{Name: "a", URL: "http://a.example/a"}))
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response {
			time.Sleep(150 * time.Second)
			return reply(req, 200, listFor(req.URL.Path))
		}))
		time.AfterFunc(10*time.Second, func() { // waits for the run under way
			if _, err := r.RunNow(t.Context(), "a"); err != nil {
				t.Errorf("RunNow() = %v", err)
			}
		})
		run(t, r, time.Hour)
		if d.most != 1 {
			t.Errorf("%d runs of one source at the same time, want 1", d.most)
		}
		if got := d.of("/a"); len(got) < 15 || len(got) > 24 {
			t.Errorf("%d runs in an hour, want about 20", len(got))
		}
	})
}

// threat 55: a page that makes the reader panic.
func TestThreat92APanicStaysInItsSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Schedule: "@every 10m"}, list(
			scraper.Source{Name: "bad", URL: "http://a.example/bad"}, scraper.Source{Name: "good", URL: "http://b.example/good"}))
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response {
			return reply(req, 200, req.URL.Path+"\n"+listFor(req.URL.Path))
		}))
		r.SetParse(func(body io.Reader, o scraper.ParseOptions) iter.Seq2[proxy.Candidate, error] {
			text, _ := io.ReadAll(body)
			if strings.HasPrefix(string(text), "/bad") {
				panic("index out of range\x1b[2J")
			}
			return scraper.Parse(strings.NewReader(string(text)), o)
		})
		run(t, r, 55*time.Minute)
		if got := len(d.of("/good")); got != 6 {
			t.Errorf("the neighbour was read %d times, want 6", got)
		}
		for _, res := range r.Results() {
			if bad := res.Name == "bad"; bad != strings.Contains(res.Err, "panicked") || bad != (res.Failures >= 3) || strings.Contains(res.Err, "\x1b") {
				t.Errorf("%s: %q after %d failures", res.Name, res.Err, res.Failures)
			}
		}
		if _, adds := r.pool.has("bad"); adds != 0 {
			t.Error("a list that made the reader panic was added")
		}
	})
}

func TestADeadHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []scraper.Source
		for i := range 20 {
			all = append(all, scraper.Source{Name: fmt.Sprint("s", i), URL: fmt.Sprintf("http://dead.example/%d", i)})
		}
		r := open(t, scraper.Config{}, list(all...))
		asked := 0
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			asked++ // one at a time: the host's gate
			<-req.Context().Done()
			return nil, req.Context().Err()
		}))
		run(t, r, 75*time.Second)
		if asked != 3 {
			t.Errorf("a dead host with 20 lists was asked %d times in 75 s, want 3", asked)
		}
		for _, res := range r.Results() {
			if res.Err == "" {
				t.Errorf("%s: no error", res.Name)
			}
		}
	})
}

func TestMirrorsAndWorthlessSourcesAreReadLess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Schedule: "@every 1h"}, list(
			scraper.Source{Name: "first", URL: "http://a.example/first"},
			scraper.Source{Name: "copy", URL: "http://b.example/copy"},
			scraper.Source{Name: "other", URL: "http://c.example/other"},
			scraper.Source{Name: "worthless", URL: "http://d.example/worthless"},
			scraper.Source{Name: "good", URL: "http://e.example/good"},
			scraper.Source{Name: "own", URL: "http://f.example/own", Pool: "own"},
		))
		r.pool.worth["worthless"] = proxy.Worth{Listed: 5000, Checked: 5000, EverLive: 1}
		r.pool.worth["good"] = proxy.Worth{Listed: 1000, Checked: 1000, EverLive: 300}
		bodies := map[string]string{
			"/first": entries(0, 1000), "/copy": entries(20, 1000), "/other": entries(2000, 1000), "/own": entries(0, 1000),
			"/worthless": entries(4000, 1000), "/good": entries(8000, 1000),
		}
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response {
			if req.URL.Path == "/copy" {
				time.Sleep(time.Second)
			}
			return reply(req, 200, bodies[req.URL.Path])
		}))
		run(t, r, 12*time.Hour+30*time.Minute)
		mirrors := map[string]string{}
		for _, res := range r.Results() {
			if res.Mirror != "" {
				mirrors[res.Name] = res.Mirror
			}
		}
		if len(mirrors) != 1 || mirrors["copy"] != "first" {
			t.Errorf("mirrors = %v, want copy of first", mirrors)
		}
		for path, want := range map[string][2]int{"/first": {12, 13}, "/other": {12, 13}, "/own": {12, 13}, "/copy": {4, 5}, "/worthless": {4, 5}, "/good": {22, 26}} {
			if got := len(d.of(path)); got < want[0] || got > want[1] {
				t.Errorf("%s was read %d times, want %v", path, got, want)
			}
		}
	})
}

// threat 62: the clock jumps.
func TestThreat93TheClockIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var shift time.Duration
		r := open(t, scraper.Config{Schedule: "@every 10m"}, list(scraper.Source{Name: "a", URL: "http://a.example/a"}), func(e *scraper.Env) {
			e.Now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return time.Now().Add(shift)
			}
		})
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response { return reply(req, 200, listFor(req.URL.Path)) }))
		time.AfterFunc(15*time.Minute, func() {
			mu.Lock()
			defer mu.Unlock()
			shift = -24 * time.Hour
		})
		run(t, r, time.Hour)
		if got := len(d.of("/a")); got < 5 || got > 7 {
			t.Errorf("%d runs in an hour in which the clock was set back a day, want about 6", got)
		}
	})
}

func TestRunOnlyOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{}, scraper.Sources{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		if err := r.Run(ctx); err == nil {
			t.Error("a second Run() = nil, want an error")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v, want nil", err)
		}
	})
}

// TestStopping ends Run in the middle of a request: nobody failed.
func TestStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: "http://a.example/a"}))
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}))
		run(t, r, 10*time.Second)
		if res := r.Results()[0]; res.Failures != 0 || res.Err != "" {
			t.Errorf("after a stop the source has %d failures and %q, want none", res.Failures, res.Err)
		}
	})
}

func TestBackOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n     int
		every time.Duration
		soon  bool
		want  time.Duration
	}{
		{1, time.Hour, true, 30 * time.Second}, {2, time.Hour, true, time.Minute}, {20, time.Hour, true, 6 * time.Hour},
		{1, time.Second, true, time.Second}, {3, time.Second, true, 4 * time.Second},
		{1, time.Hour, false, time.Hour}, {2, time.Hour, false, 2 * time.Hour}, {9, time.Hour, false, 6 * time.Hour},
		{1, 24 * time.Hour, false, 24 * time.Hour}, {5, 24 * time.Hour, false, 24 * time.Hour}, {1000, time.Minute, true, 6 * time.Hour},
	} {
		if got := scraper.BackOff(c.n, c.every, c.soon); got != c.want {
			t.Errorf("backOff(%d, %v, %v) = %v, want %v", c.n, c.every, c.soon, got, c.want)
		}
	}
}
