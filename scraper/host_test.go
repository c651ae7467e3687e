package scraper_test

import (
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
