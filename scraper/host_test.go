package scraper_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"freeway/scraper"
)

// TestHostsAreForgotten: redirects to ever new hosts do not fill the memory.
func TestHostsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := open(t, scraper.Config{}, scraper.Sources{})
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			n++
			return reply(req, 302, "", "Location", fmt.Sprintf("http://h%d.example/", n)), nil
		}))
		for range 1000 {
			if _, err := r.Fetch(t.Context(), scraper.Source{URL: "http://a.example/"}); err == nil {
				t.Fatal("Fetch() = nil, want too many redirects")
			}
			time.Sleep(time.Second)
		}
		if got := r.Hosts(); n != 4000 || got > 600 {
			t.Errorf("%d hosts are remembered after %d requests, want at most 600", got, n)
		}
	})
}

// TestRedirectsWaitForTheirHost: a hop to a host that is busy waits without
// holding up others, and never for ever.
func TestRedirectsWaitForTheirHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Concurrency: 1}, list(
			scraper.Source{Name: "a", URL: "http://a.example/a"}, scraper.Source{Name: "b", URL: "http://b.example/b"}))
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			switch req.URL.Path { // each sends to the other's host
			case "/a":
				return reply(req, 302, "", "Location", "http://b.example/end"), nil
			case "/b":
				return reply(req, 302, "", "Location", "http://a.example/end"), nil
			}
			return reply(req, 200, entries(0, 10)), nil
		}))
		run(t, r, time.Minute)
		for _, res := range r.Results() {
			if res.Err != "" || res.Candidates != 10 {
				t.Errorf("%s: %d candidates, %q, want 10", res.Name, res.Candidates, res.Err)
			}
		}
	})
}

// TestWaitingForATurnCostsNoTime has twelve lists on one slow host that send
// on to another one: most of them wait longer than a request may take.
func TestWaitingForATurnCostsNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all []scraper.Source
		for i := range 12 {
			all = append(all, scraper.Source{Name: fmt.Sprint("s", i), URL: fmt.Sprint("http://slow.example/", i)})
		}
		r := open(t, scraper.Config{Timeout: 20 * time.Second, Concurrency: 2}, list(all...))
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			time.Sleep(8 * time.Second)
			if err := req.Context().Err(); err != nil {
				return nil, err
			}
			if req.URL.Host == "slow.example" {
				return reply(req, 302, "", "Location", "http://other.example"+req.URL.Path), nil
			}
			return reply(req, 200, listFor(req.URL.Path)), nil
		}))
		run(t, r, 5*time.Minute)
		for _, res := range r.Results() {
			if res.Err != "" || res.Candidates != 30 {
				t.Errorf("%s: %d candidates, %q, want 30", res.Name, res.Candidates, res.Err)
			}
		}
	})
}

// TestRedirectsShareTheTimeLimit: each hop is within the limit, all of them are not.
func TestRedirectsShareTheTimeLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, scraper.Config{Timeout: 20 * time.Second}, scraper.Sources{})
		hops := 0
		r.SetTransport(wire(func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(8 * time.Second):
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
			hops++
			return reply(req, 302, "", "Location", "/"), nil
		}))
		if _, err := r.Fetch(t.Context(), scraper.Source{URL: "http://a.example/"}); !errors.Is(err, context.DeadlineExceeded) || hops != 2 {
			t.Errorf("Fetch() = %v after %d hops, want a deadline after 2", err, hops)
		}
	})
}
