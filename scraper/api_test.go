package scraper_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"freeway/proxy"
	"freeway/scraper"
)

// TestEverythingAtOnce calls all methods from many goroutines while Run works;
// the race detector looks on.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		switch n % 5 {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.WriteHeader(http.StatusNotFound)
		default:
			io.WriteString(w, listFor(r.URL.Path))
		}
	})
	sources := func(n int) scraper.Sources {
		var all []scraper.Source
		for i := range n {
			all = append(all, scraper.Source{Name: fmt.Sprint("s", i), URL: fmt.Sprint(url, "/", i)})
		}
		return list(all...)
	}
	r := open(t, scraper.Config{Schedule: "@every 1s"}, sources(5))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 20 {
				switch name := fmt.Sprint("s", j%6); (i + j) % 5 {
				case 0:
					r.RunNow(ctx, name)
				case 1:
					r.Apply(scraper.Config{Schedule: "@every 1s", Concurrency: 1 + j%4}, sources(4+j%3))
				case 2:
					r.Enable(name, j%2 == 0)
				case 3:
					r.Fetch(ctx, scraper.Source{URL: url})
				case 4:
					r.Results()
				}
			}
		})
	}
	group.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run() = %v", err)
	}
	if asked.Load() == 0 {
		t.Error("nothing was asked")
	}
}

// TestNamesAreCheckedWhenTheyAreDialled redirects to a name that looks public
// and resolves to this machine.
func TestNamesAreCheckedWhenTheyAreDialled(t *testing.T) {
	t.Parallel()
	hosts, err := os.ReadFile("/etc/hosts")
	name := ""
	for field := range strings.FieldsSeq(string(hosts)) {
		if field == "ip6-localhost" || field == "ip6-loopback" {
			name = field
		}
	}
	if err != nil || name == "" {
		t.Skip("needs a name for ::1 in /etc/hosts")
	}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+name+":9/", http.StatusFound)
	})
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url}))
	if _, err := r.once(t, "a"); err == nil {
		t.Error("RunNow() = nil, want a refusal")
	}
	// the first hop is refused already, because it goes to this machine; a public
	// server's would not be, so ask the second transport alone
	if err := r.Hop(t.Context(), "http://"+name+":9/"); err == nil || !strings.Contains(err.Error(), "forbidden address") {
		t.Errorf("a dial to %s = %v, want a forbidden address", name, err)
	}
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{"", "/a", "//127.0.0.1/", "http://[::ffff:10.0.0.1]/", "file:///etc/passwd", "http://localhost./", "HTTP://127.0.0.1:80@1.1.1.1/", "http://0x7f.1/", "http://2130706433/", "\\\\127.0.0.1\\x"} {
		f.Add(s)
	}
	s, err := scraper.Open(scraper.Config{}, scraper.Sources{}, scraper.Env{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string) {
		u, err := s.Follow("https://lists.example/a/b", location)
		if err != nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Errorf("follow(%q) = %q", location, u)
		}
		if a, err := netip.ParseAddr(u.Hostname()); strings.EqualFold(u.Hostname(), "localhost") || err == nil && (proxy.AddrPolicy{}).Check(a) != nil {
			t.Errorf("follow(%q) = %q, which is not public", location, u)
		}
	})
}
