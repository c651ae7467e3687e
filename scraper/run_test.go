package scraper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/scraper"
)

// TestAlarmIsNoErasure has a good list turn into garbage, nothing, a web page
// and hardly anything.
func TestAlarmIsNoErasure(t *testing.T) {
	t.Parallel()
	for name, garbage := range map[string]string{
		"array": strings.Repeat("Array\n", 1323), "empty": "", "html": "<html><body><h1>502 Bad Gateway</h1></body></html>", "few": entries(9000, 2),
	} {
		var broken atomic.Bool
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() {
				io.WriteString(w, garbage)
				return
			}
			io.WriteString(w, entries(0, 100))
		})
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
		if _, err := r.once(t, "a"); err != nil {
			t.Fatalf("RunNow() = %v", err)
		}
		broken.Store(true)
		for i := range 3 {
			res, err := r.once(t, "a")
			if !errors.Is(err, scraper.ErrAlarm) || !strings.Contains(res.Err, "alarm") || res.Failures != i+1 {
				t.Errorf("%s: RunNow() = %v, %q, want an alarm", name, err, res.Err)
			}
		}
		if n, adds := r.pool.has("a"); n != 100 || adds != 1 {
			t.Errorf("%s: the sink has %d endpoints after %d calls, want 100 after 1", name, n, adds)
		}
		broken.Store(false)
		if res, err := r.once(t, "a"); err != nil || res.Failures != 0 || res.Err != "" {
			t.Errorf("%s: when it is well again RunNow() = %+v, %v", name, res, err)
		}
	}
}

// TestSmallListsMayShrink: few endpoints more or less are no alarm. A file that
// was emptied names nothing any more.
func TestSmallListsMayShrink(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "own.txt")
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "own", File: path, Pool: "own"}))
	for i, n := range []int{19, 1, 0} {
		if err := os.WriteFile(path, []byte("# mine\n"+entries(0, n)), 0o600); err != nil {
			t.Fatal(err)
		}
		if res, err := r.once(t, "own"); err != nil || res.Candidates != n {
			t.Errorf("RunNow() of %d lines = %+v, %v", n, res, err)
		}
		if got, adds := r.pool.has("own"); got != n || adds != min(i+1, 2) {
			t.Errorf("the sink has %d endpoints after %d calls, want %d after %d", got, adds, n, min(i+1, 2))
		}
	}
}

// TestALastingChangeIsBelieved: a list that shrank for good is taken in the end.
func TestALastingChangeIsBelieved(t *testing.T) {
	t.Parallel()
	usual, runs := 1000, 0
	for ; scraper.IsAlarm(10, usual) && runs < 1000; runs++ {
		usual = scraper.FadeUsual(usual)
	}
	if runs < 10 || runs > 100 {
		t.Errorf("a list that shrank from 1000 to 10 is believed after %d runs, want some dozen", runs)
	}
	usual = 1000
	for range 1000 {
		if !scraper.IsAlarm(0, usual) {
			t.Fatal("an empty list is believed")
		}
		usual = scraper.FadeUsual(usual)
	}
}

func pages(t *testing.T, answer func(w http.ResponseWriter, page int)) (url string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		n, _ := strconv.Atoi(r.URL.Query().Get("p"))
		answer(w, n)
	}) + "/?p={page}", asked
}

func TestPages(t *testing.T) {
	t.Parallel()
	url, asked := pages(t, func(w http.ResponseWriter, page int) {
		io.WriteString(w, entries(100*min(page, 3), 100)) // from page 4 on the third again
	})
	src := scraper.Source{Name: "a", URL: url, Pages: scraper.Pages{From: 1, To: 50}}
	r := open(t, scraper.Config{}, list(src))
	if res, err := r.once(t, "a"); err != nil || res.Candidates != 300 || res.Pages != 4 || asked.Load() != 4 {
		t.Errorf("RunNow() = %+v, %v after %d requests, want 300 candidates of 4 pages", res, err, asked.Load())
	}
	src.Pages = scraper.Pages{From: 2, To: 40, Step: 19}
	if res, err := r.Fetch(t.Context(), src); err != nil || len(res.Found) != 200 {
		t.Errorf("Fetch() in steps = %d, %v, want 200", len(res.Found), err)
	}
}

func TestTheListEndsBehindTheLastPage(t *testing.T) {
	t.Parallel()
	url, _ := pages(t, func(w http.ResponseWriter, page int) {
		if page > 2 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		io.WriteString(w, entries(100*page, 100))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url, Pages: scraper.Pages{From: 1, To: 50}}))
	if res, err := r.once(t, "a"); err != nil || res.Candidates != 200 {
		t.Errorf("RunNow() = %+v, %v, want 200 candidates", res, err)
	}
}

func TestAFailingPage(t *testing.T) {
	t.Parallel()
	var fail atomic.Int32 // the page that fails
	url, _ := pages(t, func(w http.ResponseWriter, page int) {
		if page == int(fail.Load()) {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		io.WriteString(w, entries(100*page, 100))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url, Pages: scraper.Pages{From: 1, To: 10}}))
	for _, c := range []struct{ page, found, adds int }{{0, 1000, 1}, {3, 1000, 1}, {9, 800, 2}, {1, 800, 2}} {
		fail.Store(int32(c.page))
		res, err := r.once(t, "a")
		if (err != nil) != (c.page != 0) {
			t.Errorf("page %d fails: RunNow() = %+v, %v", c.page, res, err)
		}
		if n, adds := r.pool.has("a"); n != c.found || adds != c.adds {
			t.Errorf("page %d fails: the sink has %d endpoints after %d calls, want %d after %d", c.page, n, adds, c.found, c.adds)
		}
	}
}

func TestAFullSink(t *testing.T) {
	t.Parallel()
	var unchanged atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") != "" {
			unchanged.Add(1)
		}
		io.WriteString(w, entries(0, 50))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	full := errors.New("disk full")
	r.pool.fail = full
	if _, err := r.once(t, "a"); !errors.Is(err, full) {
		t.Errorf("RunNow() = %v, want the sink's error", err)
	}
	r.pool.fail = nil
	if res, err := r.once(t, "a"); err != nil || res.Yield.New != 50 || unchanged.Load() != 0 {
		t.Errorf("RunNow() = %+v, %v, want the whole list again", res, err)
	}
}

func TestRunNowWaits(t *testing.T) {
	t.Parallel()
	begun, release := make(chan bool, 2), make(chan bool)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-release
		io.WriteString(w, entries(0, 5))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	done := make(chan error)
	go func() { _, err := r.RunNow(t.Context(), "a"); done <- err }()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := r.RunNow(ctx, "a"); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled RunNow() = %v, want Canceled", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("RunNow() = %v", err)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "10.0.0.1:80\n10.0.0.2:80\n1.1.1.1:99999\n"+entries(0, 40))
	})
	r := open(t, scraper.Config{}, scraper.Sources{})
	res, err := r.Fetch(t.Context(), scraper.Source{URL: url + "/?api_key=secret"})
	if err != nil || len(res.Found) != 40 || res.Format != "text" {
		t.Errorf("Fetch() = %+v, %v, want 40 endpoints of a text", res, err)
	}
	counted := 0
	for _, n := range res.Refused {
		counted += n
	}
	if len(res.Rejections) != 3 || counted != 3 || len(res.Refused) != 2 {
		t.Errorf("rejections = %+v, counted %v, want 3 of two kinds", res.Rejections, res.Refused)
	}
	if strings.Contains(fmt.Sprintf("%+v", res), "secret") {
		t.Errorf("the result shows a key: %q", res.URL)
	}
	if len(r.Results()) != 0 || len(r.pool.docs) != 0 || len(r.pool.sets) != 0 {
		t.Error("Fetch left something behind")
	}
	for _, src := range []scraper.Source{{}, {URL: "ftp://1.1.1.1/"}, {URL: url, File: "x"}, {URL: url, As: "pdf"}} {
		if _, err := r.Fetch(t.Context(), src); err == nil {
			t.Errorf("Fetch(%+v) = nil, want an error", src)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "list.gz")
	if err := os.WriteFile(path, pack(t, "gzip", strings.NewReader(entries(0, 50))), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, scraper.Config{MaxBytes: 1000}, scraper.Sources{})
	if res, err := r.Fetch(t.Context(), scraper.Source{File: path}); err != nil || len(res.Found) != 50 || res.Status != 0 {
		t.Errorf("Fetch() = %+v, %v, want 50 endpoints", res, err)
	}
	if err := os.WriteFile(path, []byte(entries(0, 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{path: "larger", dir: "regular", filepath.Join(dir, "none"): "no such file"} {
		if _, err := r.Fetch(t.Context(), scraper.Source{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Fetch(%s) = %v, want %q", filepath.Base(file), err, want)
		}
	}
}

func TestEnable(t *testing.T) {
	t.Parallel()
	off := false
	sources := list(scraper.Source{Name: "a", URL: "http://127.0.0.1:1/"}, scraper.Source{Name: "b", URL: "http://127.0.0.1:1/", Enabled: &off})
	r := open(t, scraper.Config{}, sources)
	for _, err := range []error{r.Enable("a", false), r.Enable("b", true)} {
		if err != nil {
			t.Errorf("Enable() = %v", err)
		}
	}
	if err := r.Enable("c", true); !errors.Is(err, scraper.ErrUnknown) {
		t.Errorf("Enable(c) = %v, want ErrUnknown", err)
	}
	check := func(r rig, when string) {
		t.Helper()
		for _, res := range r.Results() {
			if want := res.Name == "b"; res.Enabled != want {
				t.Errorf("%s %s is enabled: %v, want %v", when, res.Name, res.Enabled, want)
			}
		}
	}
	check(r, "at once")
	if err := r.Apply(scraper.Config{}, sources); err != nil {
		t.Errorf("Apply() = %v", err)
	}
	check(r, "after a reload")
	check(open(t, scraper.Config{}, sources, func(e *scraper.Env) { e.Notebook = r.pool }), "after a restart")
}

func TestApply(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		io.WriteString(w, listFor(r.URL.Path))
	})
	a, b := scraper.Source{Name: "a", URL: url + "/a"}, scraper.Source{Name: "b", URL: url + "/b"}
	r := open(t, scraper.Config{}, list(a))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-asked:
			if got != want {
				t.Errorf("%s was read, want %s", got, want)
			}
		case <-time.After(patience):
			t.Errorf("%s was not read", want)
		}
	}
	expect("/a")
	bad := list(a, scraper.Source{Name: "b"})
	if err := r.Apply(scraper.Config{}, bad); err == nil || len(r.Results()) != 1 {
		t.Errorf("Apply() of a mistake = %v with %d sources, want an error and no change", err, len(r.Results()))
	}
	if err := r.Apply(scraper.Config{Concurrency: 2}, list(a, b)); err != nil {
		t.Errorf("Apply() = %v", err)
	}
	expect("/b")
	a.URL = url + "/a2"
	if err := r.Apply(scraper.Config{}, list(a)); err != nil {
		t.Errorf("Apply() = %v", err)
	}
	expect("/a2")
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v", err)
	}
	if got := r.Results(); len(got) != 1 || got[0].Name != "a" {
		t.Errorf("Results() = %+v, want a", got)
	}
	if _, ok := r.Lookup("b"); ok {
		t.Error("Lookup(b) finds a source that is gone")
	}
}

func TestOpenReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := scraper.Open(scraper.Config{Schedule: "0 0 30 2 *", Concurrency: -1}, list(scraper.Source{Name: "a b"}), scraper.Env{})
	for _, want := range []string{"never comes", "concurrency", "list[0].name", "url:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open() = %v, want %q in it", err, want)
		}
	}
}

// breaking is a Sink that panics.
type breaking struct{ *pool }

func (breaking) Add(context.Context, string, []proxy.Candidate) (proxy.Yield, error) {
	panic("nil map")
}

// threat 55: a panic behind the reader.
func TestThreat92APanicOfTheSinkEndsOneRunOnly(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 5)) })
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}), func(e *scraper.Env) { e.Sink = breaking{newPool()} })
	for range 2 {
		if _, err := r.once(t, "a"); err == nil || !strings.Contains(err.Error(), "panicked") {
			t.Errorf("RunNow() = %v, want a panic that was caught", err)
		}
	}
}

// TestEnded: who wants to know is told of every run, with its result.
func TestEnded(t *testing.T) {
	t.Parallel()
	type end struct {
		candidates int
		failed     bool
	}
	var got []end
	var broken atomic.Bool
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		io.WriteString(w, entries(0, 3))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}), func(env *scraper.Env) {
		env.Ended = func(res scraper.Result, err error) { got = append(got, end{res.Candidates, err != nil}) }
	})
	for _, b := range []bool{false, true} {
		broken.Store(b)
		_, _ = r.once(t, "a")
	}
	want := []end{{3, false}, {0, true}}
	if !slices.Equal(got, want) {
		t.Errorf("told of %+v, want %+v", got, want)
	}
}
