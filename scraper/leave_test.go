package scraper_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"freeway/scraper"
)

// TestSwitchedOffSourcesAreWithdrawn: the sink forgets who named these
// endpoints, and gets the whole list again when the source is switched on.
func TestSwitchedOffSourcesAreWithdrawn(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, entries(0, 30))
	})
	a, b := scraper.Source{Name: "a", URL: url + "/a"}, scraper.Source{Name: "b", URL: url + "/b"}
	r := open(t, scraper.Config{}, list(a, b))
	both := func(when string, na, nb int) {
		t.Helper()
		for name, want := range map[string]int{"a": na, "b": nb} {
			if n, _ := r.pool.has(name); n != want {
				t.Errorf("%s %s names %d endpoints, want %d", when, name, n, want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) {
		t.Helper()
		_, err := r.once(t, name)
		must(err)
	}
	read("a")
	read("b")
	both("at first", 30, 30)
	must(r.Enable("a", false))
	both("switched off", 0, 30)
	must(r.Enable("a", true))
	read("a")
	both("switched on again", 30, 30)
	must(r.Apply(scraper.Config{}, list(a)))
	both("dropped", 30, 0)
	must(r.Apply(scraper.Config{}, list(a, b)))
	read("b")
	both("back again", 30, 30)
	off := false
	b.Enabled = &off
	must(r.Apply(scraper.Config{}, list(a, b)))
	both("off in the configuration", 30, 0)
	read("b")
	must(r.Apply(scraper.Config{}, list(a, b)))
	both("tried while it is off", 30, 30)
}

// TestBrokenSourcesAreNotWithdrawn: failing, alarming and moving somewhere else
// erase nothing.
func TestBrokenSourcesAreNotWithdrawn(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !broken.Load() {
			io.WriteString(w, entries(0, 30))
		}
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	for _, bad := range []bool{false, true, true} {
		broken.Store(bad)
		if _, err := r.once(t, "a"); (err != nil) != bad {
			t.Errorf("RunNow() = %v", err)
		}
	}
	if err := r.Apply(scraper.Config{}, list(scraper.Source{Name: "a", URL: "http://127.0.0.1:1/"})); err != nil {
		t.Fatal(err)
	}
	if _, err := r.once(t, "a"); err == nil {
		t.Error("RunNow() = nil, want a refused connection")
	}
	if n, _ := r.pool.has("a"); n != 30 || r.pool.retired["a"] != 0 {
		t.Errorf("a names %d endpoints after %d withdrawals, want 30 after none", n, r.pool.retired["a"])
	}
}

// TestLeavingWhileNobodyLooks: what was dropped or switched off between two
// starts is withdrawn at the second.
func TestLeavingWhileNobodyLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := wire(func(req *http.Request) (*http.Response, error) { return reply(req, 200, listFor(req.URL.Path)), nil })
		off := false
		a, b, c := scraper.Source{Name: "a", URL: "http://a.example/a"}, scraper.Source{Name: "b", URL: "http://a.example/b"}, scraper.Source{Name: "c", URL: "http://a.example/c"}
		r := open(t, scraper.Config{}, list(a, b, c))
		r.SetTransport(answer)
		run(t, r, time.Minute)
		b.Enabled = &off
		again := open(t, scraper.Config{}, list(b, c), func(e *scraper.Env) { e.Sink, e.Notebook = r.pool, r.pool })
		again.SetTransport(answer)
		run(t, again, time.Minute)
		for name, want := range map[string]int{"a": 0, "b": 0, "c": 30} {
			if n, _ := r.pool.has(name); n != want {
				t.Errorf("%s names %d endpoints, want %d", name, n, want)
			}
		}
	})
}

// TestLeavingInTheMiddleOfARun: what the run still gives is withdrawn behind it.
func TestLeavingInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	begun, release := make(chan bool), make(chan bool)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-release
		io.WriteString(w, entries(0, 30))
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url + "/a"}, scraper.Source{Name: "b", URL: url + "/b"}))
	for _, name := range []string{"a", "b"} {
		done := make(chan error)
		go func() { _, err := r.RunNow(context.WithoutCancel(t.Context()), name); done <- err }()
		<-begun
		if name == "a" {
			if err := r.Enable("a", false); err != nil {
				t.Error(err)
			}
		} else if err := r.Apply(scraper.Config{}, scraper.Sources{}); err != nil {
			t.Error(err)
		}
		release <- true
		if err := <-done; err != nil {
			t.Errorf("RunNow(%s) = %v", name, err)
		}
		if n, _ := r.pool.has(name); n != 0 || r.pool.retired[name] == 0 {
			t.Errorf("%s names %d endpoints after it has left", name, n)
		}
	}
}

// TestWithdrawalIsTriedAgain: a sink that fails does not keep a source for ever.
func TestWithdrawalIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: "http://a.example/a"}))
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) { return reply(req, 200, entries(0, 30)), nil }))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		r.pool.setFail(errors.New("disk full"))
		if err := r.Enable("a", false); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if n, _ := r.pool.has("a"); n != 30 {
			t.Errorf("a names %d endpoints while the sink fails, want 30", n)
		}
		r.pool.setFail(nil)
		time.Sleep(time.Minute)
		if n, _ := r.pool.has("a"); n != 0 {
			t.Errorf("a names %d endpoints, want none", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}
