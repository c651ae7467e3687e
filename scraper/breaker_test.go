package scraper_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"freeway/scraper"
)

// TestBreakerOfASource: three failures in a row open it; while it is open a
// source that is switched on anew is not asked, somebody who insists is served,
// and one good run closes it.
func TestBreakerOfASource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{}, list(scraper.Source{Name: "bad", URL: "http://a.example/bad"}, scraper.Source{Name: "good", URL: "http://b.example/good"}))
		d := newDiary()
		healthy := false
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response {
			if req.URL.Path == "/bad" && !healthy {
				return reply(req, 500, "")
			}
			return reply(req, 200, listFor(req.URL.Path))
		}))
		state := func() string { return r.Results()[0].Breaker }
		time.AfterFunc(2*time.Minute, func() { // 0 s, 30 s and 1m30s were failures
			if got := state(); got != "open" {
				t.Errorf("after three failures the breaker is %s", got)
			}
			asked := len(d.of("/bad"))
			for _, on := range []bool{false, true} {
				if err := r.Enable("bad", on); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(10 * time.Second)
			if got := len(d.of("/bad")); got != asked {
				t.Errorf("an open breaker let %d requests through", got-asked)
			}
			if _, err := r.RunNow(t.Context(), "bad"); err == nil || len(d.of("/bad")) != asked+1 || state() != "open" {
				t.Errorf("RunNow at a bad list: %v, %d requests, %s", err, len(d.of("/bad"))-asked, state())
			}
			healthy = true
			if _, err := r.RunNow(t.Context(), "bad"); err != nil || state() != "closed" {
				t.Errorf("RunNow at a list that is well: %v, %s", err, state())
			}
			if got := r.Results()[1].Breaker; got != "closed" {
				t.Errorf("the neighbour's breaker is %s", got)
			}
		})
		run(t, r, 3*time.Minute)
	})
}

// TestBreakerHalfOpen: after its rest one run decides.
func TestBreakerHalfOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Schedule: "@every 5s"}, list(scraper.Source{Name: "bad", URL: "http://a.example/bad"}))
		d := newDiary()
		r.SetTransport(d.wire(func(n int, req *http.Request) *http.Response {
			if n < 4 {
				return reply(req, 500, "")
			}
			return reply(req, 200, listFor(req.URL.Path))
		}))
		run(t, r, 3*time.Minute)
		if res := r.Results()[0]; res.Breaker != "closed" || res.Failures != 0 {
			t.Errorf("a source that is well again: %s after %d failures", res.Breaker, res.Failures)
		}
	})
}

// TestRest: a source that rests is not read on its schedule, nor after a reload,
// but by RunNow; it is read again when the rest is over or is ended.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sources := list(scraper.Source{Name: "a", URL: "http://a.example/a"}, scraper.Source{Name: "b", URL: "http://b.example/b"})
		r := open(t, scraper.Config{Schedule: "@every 1m"}, sources)
		d := newDiary()
		r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response { return reply(req, 200, listFor(req.URL.Path)) }))
		began := time.Now()
		during := func(from, to time.Duration) (n int) {
			for _, at := range d.of("/a") {
				if at >= from && at < to {
					n++
				}
			}
			return n
		}
		time.AfterFunc(5*time.Minute, func() {
			if err := r.Rest("a", time.Now().Add(20*time.Minute)); err != nil {
				t.Error(err)
			}
			if res := r.Results(); !res[0].RestsUntil.Equal(began.Add(25*time.Minute)) || !res[1].RestsUntil.IsZero() {
				t.Errorf("they rest until %v and %v", res[0].RestsUntil, res[1].RestsUntil)
			}
			if err := r.Apply(scraper.Config{Schedule: "@every 2m"}, sources); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Minute)
			if _, err := r.RunNow(t.Context(), "a"); err != nil {
				t.Errorf("RunNow of one that rests: %v", err)
			}
			time.Sleep(20 * time.Minute)
			if err := r.Rest("a", time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Minute)
			if err := r.Rest("a", time.Time{}); err != nil {
				t.Error(err)
			}
		})
		run(t, r, time.Hour)
		first := d.of("/a")[0]
		for _, tt := range []struct {
			from, to time.Duration
			least    int
			most     int
		}{{0, 5 * time.Minute, 4, 7}, {5*time.Minute + time.Second, 25*time.Minute - time.Second, 1, 1}, {25*time.Minute - time.Second, 35 * time.Minute, 3, 8}, {35*time.Minute + 10*time.Second, 40*time.Minute - time.Second, 0, 0}, {40*time.Minute - time.Second, 41 * time.Minute, 1, 2}} {
			if n := during(tt.from-first, tt.to-first); n < tt.least || n > tt.most {
				t.Errorf("from %v to %v it was read %d times, want %d to %d", tt.from, tt.to, n, tt.least, tt.most)
			}
		}
		if err := r.Rest("nobody", time.Now()); !errors.Is(err, scraper.ErrUnknown) {
			t.Errorf("Rest of an unknown source: %v", err)
		}
	})
}
