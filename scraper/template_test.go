package scraper_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/scraper"
)

// asked records what a list's server was asked for, and answers with answer.
type asked struct {
	mu   sync.Mutex
	what []string
}

func (a *asked) serve(t *testing.T, answer func(what string) (status int, body string)) string {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		what := r.URL.RequestURI() + string(b)
		a.mu.Lock()
		a.what = append(a.what, what)
		a.mu.Unlock()
		status, body := answer(what)
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func (a *asked) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.what)
}

// TestTemplates: what a url with placeholders asks for on the first of March.
func TestTemplates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		src  scraper.Source // URL: the path
		want []string
	}{
		{"none", scraper.Source{URL: "/a"}, []string{"/a"}},
		{"today", scraper.Source{URL: "/{date}/{ymd}"}, []string{"/2026-03-01/20260301"}},
		{"yesterday", scraper.Source{URL: "/{date-1}/{ymd-2}"}, []string{"/2026-02-28/20260227"}},
		{"a format", scraper.Source{URL: "/{date:2006/01/02}.txt?d={date-1:2.1.06}"}, []string{"/2026/03/01.txt?d=28.2.26"}},
		{"month", scraper.Source{URL: "/{date:Jan-2006}"}, []string{"/Mar-2026"}},
		{"days", scraper.Source{URL: "/{date:0102}", Days: 3}, []string{"/0301", "/0228", "/0227"}},
		{"days from yesterday", scraper.Source{URL: "/{ymd-1}", Days: 2}, []string{"/20260228", "/20260227"}},
		{"pages", scraper.Source{URL: "/{page}", Pages: scraper.Pages{From: 1, To: 3}}, []string{"/1", "/2", "/3"}},
		{"offsets", scraper.Source{URL: "/?page={page}&skip={offset}", Pages: scraper.Pages{From: 1, To: 201, Step: 100}},
			[]string{"/?page=1&skip=0", "/?page=101&skip=100", "/?page=201&skip=200"}},
		{"pages of days", scraper.Source{URL: "/{date:02}/{page}", Days: 2, Pages: scraper.Pages{From: 1, To: 2}}, []string{"/01/1", "/01/2", "/28/1", "/28/2"}},
		{"body", scraper.Source{URL: "/", Method: "POST", Body: proxy.NewSecret(`{"day":"{date}","q":"{ip}","n":{offset}}`), Pages: scraper.Pages{From: 0, To: 50, Step: 50}},
			[]string{`/{"day":"2026-03-01","q":"{ip}","n":0}`, `/{"day":"2026-03-01","q":"{ip}","n":50}`}},
	} {
		var a asked
		n := 0
		url := a.serve(t, func(string) (int, string) { n += 2; return 200, entries(n, 2) })
		c.src.URL, c.src.Name = url+c.src.URL, "a"
		r := open(t, scraper.Config{}, scraper.Sources{}, func(e *scraper.Env) { e.Now = func() time.Time { return now } })
		if _, err := r.Fetch(t.Context(), c.src); err != nil {
			t.Errorf("%s: Fetch() = %v", c.name, err)
		}
		if got := a.list(); !slices.Equal(got, c.want) {
			t.Errorf("%s: asked for %q, want %q", c.name, got, c.want)
		}
	}
}

// TestDaysWithoutAList are passed over; a source of which no day has a list fails,
// and so does one whose server is broken.
func TestDaysWithoutAList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status map[string]int // of a path; others: 200
		asked  int
		found  int
		err    string
	}{
		{"not yet today", map[string]int{"/01/1": 404}, 5, 4, ""},
		{"none in the middle", map[string]int{"/28/1": 410}, 5, 4, ""},
		{"fewer pages", map[string]int{"/01/2": 404}, 6, 5, ""},
		{"none", map[string]int{"/01/1": 404, "/28/1": 404, "/27/1": 404}, 3, 0, "404"},
		{"broken later", map[string]int{"/28/2": 500}, 4, 3, "page 4: the server answered 500"},
		{"broken", map[string]int{"/01/1": 500}, 1, 0, "the server answered 500"},
	} {
		var a asked
		n := 0
		url := a.serve(t, func(what string) (int, string) {
			if s := c.status[what]; s != 0 {
				return s, "none"
			}
			n++
			return 200, entries(n, 1)
		})
		r := open(t, scraper.Config{}, scraper.Sources{}, func(e *scraper.Env) { e.Now = func() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) } })
		res, err := r.Fetch(t.Context(), scraper.Source{URL: url + "/{date:02}/{page}", Days: 3, Pages: scraper.Pages{From: 1, To: 2}})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: Fetch() = %v, want %q", c.name, err, c.err)
		}
		if got := a.list(); len(got) != c.asked || len(res.Found) != c.found {
			t.Errorf("%s: asked for %q and found %d, want %d and %d", c.name, got, len(res.Found), c.asked, c.found)
		}
	}
}

// TestMistakesInTemplates are named when the configuration is read, with what was meant.
func TestMistakesInTemplates(t *testing.T) {
	t.Parallel()
	pages := scraper.Pages{From: 1, To: 3}
	for _, c := range []struct {
		name string
		src  scraper.Source
		want string
	}{
		{"letters swapped", scraper.Source{URL: "/{pgae}", Pages: pages}, `url: unknown placeholder "{pgae}"; is it {page}?`},
		{"another name", scraper.Source{URL: "/{offest}", Pages: pages}, "is it {offset}?"},
		{"capitals", scraper.Source{URL: "/{Date}"}, "is it {date}?"},
		{"a name for a day", scraper.Source{URL: "/{dates}"}, "is it {date}?"},
		{"a blank", scraper.Source{URL: "/{ page }", Pages: pages}, "is it {page}?"},
		{"strftime", scraper.Source{URL: "/{date:%Y-%m-%d}"}, "{date:2006/01/02}"},
		{"capital letters", scraper.Source{URL: "/{date:YYYY}"}, "{date:2006/01/02}"},
		{"no format", scraper.Source{URL: "/{date:}"}, "{date:2006/01/02}"},
		{"not closed", scraper.Source{URL: "/{page", Pages: pages}, "is it {page}?"},
		{"nothing like it", scraper.Source{URL: "/{hour}"}, "there are {page}, {offset}, {date} and {ymd}"},
		{"a page back", scraper.Source{URL: "/{page-1}", Pages: pages}, "only {date} and {ymd} go back"},
		{"a format of a page", scraper.Source{URL: "/{page:02}", Pages: pages}, "only {date} has a format"},
		{"long ago", scraper.Source{URL: "/{date-99999}"}, "more than 3660 days"},
		{"no pages", scraper.Source{URL: "/{offset}"}, "pages: "},
		{"days without a day", scraper.Source{URL: "/a", Days: 2}, "days: "},
		{"too many days", scraper.Source{URL: "/{date}", Days: 61}, "days: "},
		{"too many requests", scraper.Source{URL: "/{date}/{page}", Days: 50, Pages: scraper.Pages{From: 1, To: 5}}, "days: "},
		{"in a body", scraper.Source{URL: "/", Method: "POST", Body: proxy.NewSecret("d={date:dd}")}, "body: "},
	} {
		c.src.Name, c.src.URL = "a", "http://127.0.0.1"+c.src.URL
		if err := c.src.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Validate() = %v, want %q", c.name, err, c.want)
		}
	}
	file := scraper.Source{Name: "a", File: "x", Days: 2}
	if err := file.Validate(); err == nil || !strings.HasPrefix(err.Error(), "days: ") {
		t.Errorf("Validate() of a file with days = %v", err)
	}
}
