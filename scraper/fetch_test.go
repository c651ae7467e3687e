package scraper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/scraper"
)

func TestRunNowGivesTheListToTheSink(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 30)) })
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url, Protocols: []string{"socks5"}, Pool: "own"}))
	res, err := r.once(t, "a")
	if err != nil || res.Candidates != 30 || res.Status != 200 || res.Pages != 1 || res.Yield.New != 30 || res.Pool != "own" {
		t.Errorf("RunNow() = %+v, %v, want 30 candidates", res, err)
	}
	if n, adds := r.pool.has("a"); n != 30 || adds != 1 {
		t.Errorf("the sink has %d endpoints after %d calls, want 30 after 1", n, adds)
	}
	if got := r.pool.sets["a"][0].Endpoint.String(); got != "socks5://5.0.0.0:8080" {
		t.Errorf("first endpoint = %s, want socks5://5.0.0.0:8080", got)
	}
	if all := r.Results(); len(all) != 1 || all[0].Candidates != 30 || all[0].Bytes == 0 || all[0].LastRun.IsZero() {
		t.Errorf("Results() = %+v", all)
	}
	if _, err := r.once(t, "b"); !errors.Is(err, scraper.ErrUnknown) {
		t.Errorf("RunNow(b) = %v, want ErrUnknown", err)
	}
}

func TestUnchangedListsAreNotReadAgain(t *testing.T) {
	t.Parallel()
	var full, unchanged atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
		if r.Header.Get("If-None-Match") == `"v1"` && r.Header.Get("If-Modified-Since") == "Wed, 21 Oct 2015 07:28:00 GMT" {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full.Add(1)
		io.WriteString(w, entries(0, 25))
	})
	src := scraper.Source{Name: "a", URL: url}
	r := open(t, scraper.Config{}, list(src))
	for range 2 {
		if res, err := r.once(t, "a"); err != nil || res.Candidates != 25 {
			t.Fatalf("RunNow() = %+v, %v, want 25 candidates", res, err)
		}
	}
	again := open(t, scraper.Config{}, list(src), func(e *scraper.Env) { e.Notebook = r.pool })
	res, err := again.once(t, "a")
	if err != nil || !res.NotModified || res.Candidates != 25 || res.Status != 304 {
		t.Errorf("after a restart RunNow() = %+v, %v, want not modified", res, err)
	}
	if full.Load() != 1 || unchanged.Load() != 2 {
		t.Errorf("%d full answers and %d unchanged, want 1 and 2", full.Load(), unchanged.Load())
	}
	if _, adds := again.pool.has("a"); adds != 0 {
		t.Errorf("an unchanged list was added %d times", adds)
	}
	src.Protocols = []string{"socks4"} // read differently: the copy at hand is worth nothing
	changed := open(t, scraper.Config{}, list(src), func(e *scraper.Env) { e.Notebook = r.pool })
	if res, err := changed.once(t, "a"); err != nil || res.NotModified {
		t.Errorf("with another definition RunNow() = %+v, %v, want a full answer", res, err)
	}
	if _, err := again.Fetch(t.Context(), src); err != nil || full.Load() != 3 {
		t.Errorf("Fetch() = %v with %d full answers, want 3", err, full.Load())
	}
}

// threat 53: endless redirects, redirects to files and to private addresses.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var private atomic.Int32
	canary := serve(t, func(w http.ResponseWriter, r *http.Request) {
		private.Add(1)
		io.WriteString(w, entries(0, 3))
	})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/1": "/2", "/2": "/3", "/3": "/list", "/0": "/1", "/loop": "/loop",
			"/file": "file:///etc/passwd", "/gopher": "gopher://127.0.0.1/", "/nowhere": "", "/bad": "http://[::1",
			"/private": canary, "/name": strings.Replace(canary, "127.0.0.1", "localhost", 1),
			"/metadata": "http://169.254.169.254/latest/", "/mapped": strings.Replace(canary, "127.0.0.1", "[::ffff:127.0.0.1]", 1),
			"/login": strings.Replace(canary, "http://", "http://root:secret@", 1),
		}
		if loc, ok := to[r.URL.Path]; ok {
			w.Header().Set("Location", loc)
			w.WriteHeader(http.StatusFound)
			return
		}
		io.WriteString(w, entries(0, 3))
	})
	for _, c := range []struct {
		path  string
		allow bool
		want  string // in the error; "" for success
	}{
		{"/1", true, ""}, {"/login", true, ""}, {"/private", true, ""},
		{"/0", true, "more than 3 redirects"}, {"/loop", true, "more than 3 redirects"},
		{"/file", true, "not http"}, {"/gopher", true, "not http"}, {"/nowhere", true, "nowhere"}, {"/bad", true, "nowhere"},
		{"/metadata", true, "not public"},
		{"/1", false, "not public"}, {"/private", false, "not public"}, {"/name", false, "this machine"}, {"/mapped", false, "not public"},
	} {
		before := private.Load()
		var adapt []func(*scraper.Env)
		if c.allow {
			adapt = append(adapt, allowLoopback)
		}
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url + c.path}), adapt...)
		res, err := r.once(t, "a")
		if c.want == "" && (err != nil || res.Candidates != 3) {
			t.Errorf("%s: RunNow() = %+v, %v, want 3 candidates", c.path, res, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s allowed=%v: RunNow() = %v, want %q", c.path, c.allow, err, c.want)
		}
		if !c.allow && private.Load() != before {
			t.Errorf("%s: a private address was asked", c.path)
		}
	}
}

func TestHeadersGoToTheOwnHostOnly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]http.Header{}
	note := func(who string, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[who] = r.Header.Clone()
	}
	other := serve(t, func(w http.ResponseWriter, r *http.Request) { note("other", r); io.WriteString(w, entries(0, 1)) })
	own := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			note("own", r)
			http.Redirect(w, r, "/again", http.StatusMovedPermanently)
			return
		}
		note("again", r)
		http.Redirect(w, r, other, http.StatusMovedPermanently)
	})
	src := scraper.Source{Name: "a", URL: strings.Replace(own, "http://", "http://bob:pw@", 1), Headers: map[string]string{"X-Key": "k", "User-Agent": "me/1"}}
	r := open(t, scraper.Config{}, list(src), allowLoopback)
	res, err := r.once(t, "a")
	if err != nil {
		t.Fatalf("RunNow() = %v", err)
	}
	for who, want := range map[string][3]string{"own": {"k", "me/1", "Basic Ym9iOnB3"}, "again": {"k", "me/1", "Basic Ym9iOnB3"}, "other": {"", "freeway/dev (+proxy list reader)", ""}} {
		h := seen[who]
		if got := [3]string{h.Get("X-Key"), h.Get("User-Agent"), h.Get("Authorization")}; got != want {
			t.Errorf("%s got %q, want %q", who, got, want)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v", res), "pw") {
		t.Errorf("the result holds a password: %+v", res)
	}
}

// threat 53: endless, silent and dripping pages.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(http.ResponseWriter, *http.Request){
		"silent":  func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless": endless,
		"drip": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "#")
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		},
	} {
		url := serve(t, behave)
		r := open(t, scraper.Config{Timeout: 150 * time.Millisecond, MaxBytes: 1 << 30}, list(scraper.Source{Name: "a", URL: url}))
		res, err := r.once(t, "a")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(res.Err, "150ms") {
			t.Errorf("%s: RunNow() = %v, %q, want a deadline", name, err, res.Err)
		}
		if _, adds := r.pool.has("a"); adds != 0 {
			t.Errorf("%s: a part of a list was added", name)
		}
	}
}

// endless never stops sending.
func endless(w http.ResponseWriter, r *http.Request) {
	line := []byte(strings.Repeat("# nothing here\n", 1000))
	for r.Context().Err() == nil {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

// threat 53: an endless page is cut by its size.
func TestSizeLimit(t *testing.T) {
	t.Parallel()
	url := serve(t, endless)
	r := open(t, scraper.Config{MaxBytes: 1 << 20}, list(scraper.Source{Name: "a", URL: url}))
	if _, err := r.once(t, "a"); !errors.Is(err, scraper.ErrTooLarge) {
		t.Errorf("RunNow() = %v, want ErrTooLarge", err)
	}
	exact := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 10)) })
	r = open(t, scraper.Config{MaxBytes: 10 * 13}, list(scraper.Source{Name: "a", URL: exact}))
	if res, err := r.once(t, "a"); err != nil || res.Candidates != 10 {
		t.Errorf("a list of exactly the limit: %+v, %v, want 10 candidates", res, err)
	}
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"404", "404 Not Found", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404); io.WriteString(w, entries(0, 50)) }},
		{"206", "206", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(206); io.WriteString(w, entries(0, 50)) }},
		{"304 unasked", "304", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) }},
		{"unknown coding", "encoding", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "compress")
			io.WriteString(w, entries(0, 50))
		}},
		{"not gzip", "gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, entries(0, 50))
		}},
		{"cut", "EOF", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99999")
			io.WriteString(w, entries(0, 50))
		}},
		{"reset", "", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }},
		{"huge header", "header", func(w http.ResponseWriter, r *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 4000))
			}
		}},
		{"login page", "no endpoints", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<html><body>Please log in</body></html>")
		}},
	} {
		url := serve(t, c.answer)
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
		res, err := r.once(t, "a")
		if err == nil || !strings.Contains(res.Err, c.want) || res.Failures != 1 {
			t.Errorf("%s: RunNow() = %v, %q after %d failures, want %q", c.name, err, res.Err, res.Failures, c.want)
		}
		if _, adds := r.pool.has("a"); adds != 0 {
			t.Errorf("%s: something was added", c.name)
		}
	}
}

func TestUnverifiedTLSIsRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 5)) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: srv.URL}))
	if res, err := r.once(t, "a"); err == nil || !strings.Contains(res.Err, "certificate") {
		t.Errorf("RunNow() = %v, %q, want a certificate error", err, res.Err)
	}
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if r := open(t, scraper.Config{}, scraper.Sources{}); r.UsesProxy() {
		t.Error("a transport asks for a proxy")
	}
}

func TestControlIsAskedWithEveryFinalAddress(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, entries(0, 5)) })
	asked := errors.New("asked")
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}), func(e *scraper.Env) {
		e.Control = func(_, address string, _ syscall.RawConn) error {
			return fmt.Errorf("%w for %s", asked, address)
		}
	})
	if _, err := r.once(t, "a"); !errors.Is(err, asked) || !strings.Contains(err.Error(), strings.TrimPrefix(url, "http://")) {
		t.Errorf("RunNow() = %v, want the hook's error with the address", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 7 ": 7 * time.Second, "-5": 0, "soon": 0, "99999999": 24 * time.Hour, "99999999999999999999": 24 * time.Hour, "-99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 02 Jan 2027 03:00:00 GMT": 24 * time.Hour,
	} {
		if got := scraper.RetryAfter(text, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", text, got, want)
		}
	}
}

// threat 59: escapes in what a server says of itself.
func TestTextOfServersIsEscaped(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "x\x1b[31mred")
		io.WriteString(w, entries(0, 5))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	if res, err := r.once(t, "a"); err == nil || strings.ContainsAny(res.Err, "\x1b\r\n") {
		t.Errorf("RunNow() = %v, %q, want an error without control characters", err, res.Err)
	}
}
