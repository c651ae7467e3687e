package scraper_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/scraper"
)

func TestSourceValidate(t *testing.T) {
	t.Parallel()
	const url = "https://127.0.0.1/list"
	for _, c := range []struct {
		name string
		src  scraper.Source
		want string // "" for valid
	}{
		{"url", scraper.Source{Name: "a", URL: url}, ""},
		{"file", scraper.Source{Name: "A.b_c-9", File: "list.txt"}, ""},
		{"everything", scraper.Source{Name: "a", URL: url + "?p={page}&d={date}", As: "html", Protocols: []string{"http", "socks5"}, Pool: "own", Schedule: "@every 5m",
			Headers: map[string]string{"X-Key": "k"}, Pages: scraper.Pages{From: 0, To: 400, Step: 2}, HTML: map[string]string{"row": "tr", "host": "td", "port": "td", "protocol": "td"},
			JSON: map[string]string{"host": "h", "port": "p", "protocol": "t"}}, "pages: "},
		{"no name", scraper.Source{URL: url}, "name: "},
		{"long name", scraper.Source{Name: strings.Repeat("x", 65), URL: url}, "name: "},
		{"pool", scraper.Source{Name: "a", URL: url, Pool: "a b"}, "pool: "},
		{"neither", scraper.Source{Name: "a"}, "url: "},
		{"both", scraper.Source{Name: "a", URL: url, File: "x"}, "url: "},
		{"scheme", scraper.Source{Name: "a", URL: "file:///etc/passwd"}, "url: "},
		{"no host", scraper.Source{Name: "a", URL: "http:///x"}, "url: "},
		{"broken", scraper.Source{Name: "a", URL: "http://[::1"}, "url: "},
		{"format", scraper.Source{Name: "a", URL: url, As: "pdf"}, "as: unknown format"},
		{"protocol", scraper.Source{Name: "a", URL: url, Protocols: []string{"vmess"}}, "protocols: "},
		{"schedule", scraper.Source{Name: "a", URL: url, Schedule: "@every 1ms"}, "schedule: "},
		{"header name", scraper.Source{Name: "a", URL: url, Headers: map[string]string{"a b": "c"}}, "headers: "},
		{"header value", scraper.Source{Name: "a", URL: url, Headers: map[string]string{"a": "c\r\nd: e"}}, "headers: "},
		{"pages of a file", scraper.Source{Name: "a", File: "x", Pages: scraper.Pages{To: 3}}, "pages: "},
		{"pages without a mark", scraper.Source{Name: "a", URL: url, Pages: scraper.Pages{To: 3}}, "pages: "},
		{"backward", scraper.Source{Name: "a", URL: url + "{page}", Pages: scraper.Pages{From: 3, To: 1}}, "pages: "},
		{"step", scraper.Source{Name: "a", URL: url + "{page}", Pages: scraper.Pages{From: 1, To: 3, Step: -1}}, "pages: "},
		{"html", scraper.Source{Name: "a", URL: url, HTML: map[string]string{"rows": "tr"}}, "html: unknown key"},
		{"json", scraper.Source{Name: "a", URL: url, JSON: map[string]string{"ip": "x"}}, "json: unknown key"},
	} {
		err := c.src.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Validate() = %v, want %q", c.name, err, c.want)
		}
	}
}

func TestMistakesHideSecrets(t *testing.T) {
	t.Parallel()
	err := scraper.Source{Name: "a", URL: "ftp://bob:hunter2@127.0.0.1/?token=hunter2&x=1"}.Validate()
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Validate() = %v, want an error without the secrets", err)
	}
}

// TestDates: an address with the date in it is another list every day, so
// that yesterday's ETag is not sent.
func TestDates(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+r.Header.Get("If-None-Match"))
		w.Header().Set("ETag", `"x"`)
		io.WriteString(w, entries(0, 5))
	})
	now := time.Date(2026, 1, 31, 23, 59, 0, 0, time.FixedZone("", -3600))
	r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: url + "/{date}/{ymd}.txt"}), func(e *scraper.Env) {
		e.Now = func() time.Time { return now }
	})
	for range 2 {
		if _, err := r.once(t, "a"); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "/2026-02-01/20260201.txt"; len(asked) != 2 || asked[0] != want || asked[1] != want {
		t.Errorf("asked for %q, want %q twice", asked, want)
	}
	if res := r.Results()[0]; !strings.HasSuffix(res.URL, "/{date}/{ymd}.txt") {
		t.Errorf("URL = %q, want it as it was written", res.URL)
	}
}
