package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
	"freeway/web"
)

// open makes a dashboard over a pool in memory with one live proxy and one
// that tampers, whose texts are as hostile as lists can make them.
func open(t testing.TB, change func(*web.Env)) (*web.Dashboard, *pool.Pool) {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{}, pool.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"9.9.9.9", "9.9.9.10"} {
		ep := proxy.Endpoint{Protocol: proxy.HTTP, Host: host, Port: 8080}
		if _, err := p.Add(t.Context(), fmt.Sprint("list", i), []proxy.Candidate{{Endpoint: ep}}); err != nil {
			t.Fatal(err)
		}
		job, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o := proxy.Outcome{Endpoint: ep, At: time.Now(), Stage: proxy.StageVerify, Origin: proxy.FromCheck, Phases: proxy.Phases{Connect: 20 * time.Millisecond, FirstByte: 100 * time.Millisecond},
			Learned: &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, Anonymity: proxy.Elite, ExitIP: netip.MustParseAddr(host), Country: "DE", ASN: 64496, Org: `<script>alert("org")</script>`}}
		if i == 1 {
			o.Class, o.Learned.Tampers = proxy.Tampered, `<img src=x onerror=alert(1)>`
		}
		p.Report(proxy.Verdict{Job: job, Outcomes: []proxy.Outcome{o}, Notes: []string{`<b>note</b>`}})
	}
	s, err := scraper.Open(scraper.Config{}, scraper.Sources{List: []scraper.Source{{Name: "mine", URL: "http://127.0.0.1:9/list.txt", Schedule: "@every 24h"}}}, scraper.Env{Sink: p, Notebook: p})
	if err != nil {
		t.Fatal(err)
	}
	env := web.Env{Version: "v1<2", Gateway: "127.0.0.1:8080", Pool: p, Scraper: s}
	if change != nil {
		change(&env)
	}
	d, err := web.Open(env)
	if err != nil {
		t.Fatal(err)
	}
	return d, p
}

// get asks for a path; form, when not nil, is posted.
func get(t testing.TB, d *web.Dashboard, path string, form url.Values) (int, string, string) {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if form != nil {
		r = httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Content-Type"), string(body)
}

var pages = []string{"/", "/proxies", "/sources", "/requests", "/use", "/config", "/login"}

// The policy of the listener allows nothing inline and nothing from elsewhere,
// and no text of a list becomes markup.
func TestPages(t *testing.T) {
	t.Parallel()
	d, p := open(t, func(e *web.Env) {
		e.Settings = func() []web.Setting {
			return []web.Setting{{Path: "a.b", Value: "<i>v</i>", From: "default", About: "what it is"}}
		}
		e.Concerns = func() []string { return []string{"<u>look</u>"} }
	})
	p.Record(proxy.Trace{ID: "r", At: time.Now(), Method: "GET", User: "<s>bob</s>", Target: proxy.Target{Host: "<em>x</em>", Port: 80},
		Attempts: []proxy.Attempt{{Endpoint: proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 8080}, Why: "<q>why</q>", Took: time.Millisecond}}})
	forbidden := regexp.MustCompile(`(?i)<script>|\son\w+=|\sstyle=|<style|javascript:|<(i|u|s|em|q|img)>|<img`)
	for _, path := range append(pages, "/ui/overview", "/ui/proxies", "/ui/sources", "/ui/requests", "/ui/use") {
		code, kind, body := get(t, d, path, nil)
		if code != 200 || !strings.HasPrefix(kind, "text/html") {
			t.Errorf("GET %s = %d %s", path, code, kind)
		}
		if m := forbidden.FindString(body); m != "" {
			t.Errorf("GET %s holds %q", path, m)
		}
		for _, m := range regexp.MustCompile(`(?:src|href|action|hx-get)="([^"]+)"`).FindAllStringSubmatch(body, -1) {
			if strings.Contains(m[1], "://") {
				t.Errorf("GET %s refers to %s", path, m[1])
			}
			if strings.HasPrefix(m[1], "/static/") {
				if code, _, _ := get(t, d, m[1], nil); code != 200 {
					t.Errorf("%s = %d", m[1], code)
				}
			}
		}
	}
}

func TestProxiesPage(t *testing.T) {
	t.Parallel()
	d, _ := open(t, nil)
	for path, want := range map[string]string{
		"/ui/proxies?state=live":           "http://9.9.9.9:8080",
		"/ui/proxies?state=unsafe":         "http://9.9.9.10:8080",
		"/ui/proxies?country=nl":           "No proxy matches.",
		"/ui/proxies?sort=latency":         `aria-sort="ascending"`,
		"/ui/proxies?country=germany":      "bad country",
		"/ui/proxies?sort=colour":          "not one of score",
		"/ui/proxies?state=&country=":      "2 match.",
		"/ui/proxies/more?cursor=nonsense": "cursor",
	} {
		if _, _, body := get(t, d, path, nil); !strings.Contains(body, want) {
			t.Errorf("GET %s does not hold %q:\n%s", path, want, body)
		}
	}
}

// Long lists come in parts, each proxy once.
func TestShowMore(t *testing.T) {
	t.Parallel()
	d, p := open(t, nil)
	var many []proxy.Candidate
	for i := range 120 {
		many = append(many, proxy.Candidate{Endpoint: proxy.Endpoint{Protocol: proxy.SOCKS5, Host: fmt.Sprintf("11.0.0.%d", i), Port: 1080}})
	}
	if _, err := p.Add(t.Context(), "many", many); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	path := "/ui/proxies?protocol=socks5"
	for n := 0; path != ""; n++ {
		_, _, body := get(t, d, path, nil)
		for _, m := range regexp.MustCompile(`>(socks5://[^<]+)<`).FindAllStringSubmatch(body, -1) {
			if seen[m[1]] {
				t.Errorf("%s is there twice", m[1])
			}
			seen[m[1]] = true
		}
		path = ""
		if m := regexp.MustCompile(`class="more" hx-get="([^"]+)"`).FindStringSubmatch(body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
		if n > 5 {
			t.Fatal("the list does not end")
		}
	}
	if len(seen) != 120 {
		t.Errorf("%d proxies, want 120", len(seen))
	}
}

func TestDrawer(t *testing.T) {
	t.Parallel()
	d, p := open(t, nil)
	ep := proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 8080}
	path := "/ui/proxies/" + ep.ID()
	_, _, body := get(t, d, path, nil)
	for _, want := range []string{"Why this score</h3>\n<p>0.", "&lt;b&gt;note&lt;/b&gt;", "connect 20 ms", "first byte 100 ms", "AS64496", "data-copy=\"http://9.9.9.9:8080\""} {
		if !strings.Contains(body, want) {
			t.Errorf("the drawer does not hold %q:\n%s", want, body)
		}
	}
	state := func() string {
		e, ok := p.Find(ep)
		if !ok {
			return "gone"
		}
		return e.State.String()
	}
	for _, tt := range []struct{ do, says, state string }{
		{"/check", "next in the queue", "live"}, {"/rest", "not used for 10m", "resting"}, {"/ban", "kept out for 30 days", "gone"}, {"/ban", "not known any more", "gone"},
	} {
		if _, _, body := get(t, d, path+tt.do, url.Values{}); !strings.Contains(body, tt.says) || state() != tt.state {
			t.Errorf("POST %s says %q and the proxy is %s, want %q and %s", tt.do, body, state(), tt.says, tt.state)
		}
	}
}

func TestUse(t *testing.T) {
	t.Parallel()
	d, _ := open(t, nil)
	for path, want := range map[string]string{
		"/ui/use":                             "curl -x http://127.0.0.1:8080 https://example.com/",
		"/ui/use?country=DE,%20nl&session=a1": "curl -x http://any-country-de,nl-session-a1:@127.0.0.1:8080 https://example.com/",
		"/ui/use?pool=my-own":                 "http://any~pool~my-own:@127.0.0.1:8080",
		"/ui/use?session=a-b":                 "session: use up to 64",
		"/ui/use?min_score=2":                 "min_score: bad score",
	} {
		if _, _, body := get(t, d, path, nil); !strings.Contains(body, want) {
			t.Errorf("GET %s does not hold %q:\n%s", path, want, body)
		}
	}
}

// A list is tried in place, added, switched and read.
func TestSourcesPage(t *testing.T) {
	t.Parallel()
	list := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "9.9.9.20:80\n10.0.0.1:80\n") })) //nolint:errcheck // a test's client stays
	t.Cleanup(list.Close)
	var added scraper.Source
	d, _ := open(t, func(e *web.Env) {
		e.AddSource = func(_ context.Context, src scraper.Source) error {
			if added.Name != "" {
				return errors.New("it is there already")
			}
			added = src
			return nil
		}
	})
	form := url.Values{"url": {list.URL + "/list.txt"}, "name": {"new"}, "protocol": {"socks5"}, "as": {"auto"}}
	for _, tt := range []struct {
		path string
		form url.Values
		want string
	}{
		{"/ui/sources/test", form, "<code>socks5://9.9.9.20:80</code>"},
		{"/ui/sources/test", url.Values{}, "give the address"},
		{"/ui/sources/add", form, "new is added"},
		{"/ui/sources/add", form, "there already"},
		{"/ui/sources/add", url.Values{"url": {"http://127.0.0.1:9/"}}, "a name"},
		{"/ui/sources/mine/enable", url.Values{"on": {"false"}}, "mine is switched off"},
		{"/ui/sources/mine/enable", url.Values{"on": {"true"}}, "mine is switched on"},
		{"/ui/sources/nobody/enable", url.Values{"on": {"true"}}, "bad note"},
		{"/ui/sources/nobody/run", url.Values{}, "bad note"},
	} {
		if _, _, body := get(t, d, tt.path, tt.form); !strings.Contains(body, tt.want) {
			t.Errorf("POST %s with %v says %q, want %q", tt.path, tt.form, body, tt.want)
		}
	}
	if added.URL != list.URL+"/list.txt" || len(added.Protocols) != 1 || added.Protocols[0] != "socks5" {
		t.Errorf("added %+v", added)
	}
}

func TestOnlyFiles(t *testing.T) {
	t.Parallel()
	d, _ := open(t, nil)
	for _, path := range []string{"/static/", "/static", "/other", "/static/../web.go", "/templates/layout.html", "/static/vendor/"} {
		if code, _, _ := get(t, d, path, nil); code == 200 {
			t.Errorf("%s = 200, want nothing there", path)
		}
	}
	_, _, script := get(t, d, "/static/app.js", nil)
	if m := regexp.MustCompile(`innerHTML|eval\(|https?://`).FindString(script); m != "" {
		t.Errorf("the script holds %q", m)
	}
}

func ExampleOpen() {
	p, err := pool.Open(context.Background(), pool.Config{}, pool.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := web.Open(web.Env{Version: "v1", Gateway: "127.0.0.1:8080", Pool: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

// TestHistorySurvivesRestart: the charts go on where they were.
func TestHistorySurvivesRestart(t *testing.T) {
	t.Parallel()
	now := time.Now()
	change := func(env *web.Env) { env.Now = func() time.Time { return now } }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d, p := open(t, change)
	for points := 1; points <= 3; points++ {
		if err := d.Run(ended); err != nil { // takes one sample, and notes all
			t.Fatal(err)
		}
		var chart struct {
			Times []int64
			Lines map[string][]*int
		}
		_, _, body := get(t, d, "/ui/history.json", nil)
		if err := json.Unmarshal([]byte(body), &chart); err != nil {
			t.Fatal(err)
		}
		if live := chart.Lines["live"]; len(chart.Times) != points || len(live) != points || *live[0] != 1 {
			t.Errorf("after %d starts the charts show %d points: %s", points, len(chart.Times), body)
		}
		now = now.Add(time.Minute)
		d, _ = open(t, func(env *web.Env) { change(env); env.Pool = p })
	}
}
