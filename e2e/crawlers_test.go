package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"freeway/lab"
	"freeway/proxy"
)

// fleet is a server over a lab of healthy HTTP upstreams.
type fleet struct {
	*server
	lab   *lab.Lab
	exits []string // the addresses from which its upstreams leave
}

// newFleet waits until all upstreams are live. more is added to the configuration.
func newFleet(t *testing.T, n int, more string) *fleet {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Config{Seed: 5, Upstreams: n, AllowLoopback: true, Mix: []lab.Share{{Weight: 1, Protocols: []proxy.Protocol{proxy.HTTP}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	f := &fleet{lab: l}
	dir := t.TempDir()
	var list strings.Builder
	for _, u := range l.Truth() {
		fmt.Fprintln(&list, u.Endpoint)
		f.exits = append(f.exits, u.Endpoint.Host)
	}
	for name, data := range map[string][]byte{"list.txt": []byte(list.String()), "judge.key": l.JudgeKey(), "ca.pem": l.CAPEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.server = serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY"}
sources: {builtin: false, list: [{name: fleet, file: %q}]}
checker: {judges: [{url: %q, key_file: %q}, {url: %q, key_file: %[3]q}], judge_ca: %[5]q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
%[6]s`, dir+"/list.txt", l.JudgeHTTP()+"/", dir+"/judge.key", l.JudgeHTTPS()+"/", dir+"/ca.pem", more))
	eventually(t, "all upstreams are live", func() bool { return f.total(t, "state=live&tunnel=true") == n })
	return f
}

// wary is a web site that refuses some addresses: with a status, or with a
// page that looks like any other.
type wary struct {
	url string

	mu     sync.Mutex // protects the fields below
	answer map[string]string
	pages  map[string]int // right answers by path
	exits  map[string]int // and by address
}

func newWary(t *testing.T, answer map[string]string) *wary {
	t.Helper()
	w := &wary{answer: answer, pages: map[string]int{}, exits: map[string]int{}}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

func (x *wary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	x.mu.Lock()
	defer x.mu.Unlock()
	w.Header().Set("Content-Type", "text/html")
	switch x.answer[from] {
	case "403":
		w.WriteHeader(http.StatusForbidden)
	case "captcha":
		fmt.Fprint(w, "<title>Sorry</title>We have seen unusual traffic from your address.")
	default:
		x.pages[r.URL.Path]++
		x.exits[from]++
		fmt.Fprintf(w, "<title>page %s</title>", r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	}
}

// visits returns how many pages were served and to how many addresses.
func (x *wary) visits() (pages, exits int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.pages), len(x.exits)
}

// TestScrapy: the spider of examples/scrapy gets all of 500 pages, although
// the site refuses some exits, and the exits that only the spider could know
// to be refused are banned for that site afterwards.
func TestScrapy(t *testing.T) {
	t.Parallel()
	need(t, "scrapy")
	const pages = 500
	f := newFleet(t, 12, "")
	site := newWary(t, map[string]string{f.exits[0]: "403", f.exits[1]: "captcha", f.exits[2]: "captcha", f.exits[3]: "captcha"})
	out := filepath.Join(t.TempDir(), "pages.jsonl")
	crawl(t, f, site.url, pages, out)
	titles := titlesIn(t, out)
	for n := range pages {
		if want := fmt.Sprintf("page %d", n); titles[want] != 1 {
			t.Errorf("%q was scraped %d times, want once", want, titles[want])
		}
	}
	if n := titles["Sorry"]; n > 0 {
		t.Errorf("%d pages of the site's refusal were taken for content", n)
	}
	if _, exits := site.visits(); exits < 6 {
		t.Errorf("pages left from %d exits, want most of 8", exits)
	}
	banned := bans(t, f.server, "127.0.0.1")
	for round := 0; round < 5 && len(banned) < 4; round++ { // three that are refused in a row count as the site's throttling, and are no bans
		crawl(t, f, site.url, pages/5, filepath.Join(t.TempDir(), "more.jsonl"))
		banned = bans(t, f.server, "127.0.0.1")
	}
	for i, exit := range f.exits[:8] {
		if banned[exit] != (i < 4) {
			t.Errorf("exit %d: banned %v, want %v; all: %v", i, banned[exit], i < 4, banned)
		}
	}
}

// crawl runs the spider of examples/scrapy over pages of a site.
func crawl(t *testing.T, f *fleet, site string, pages int, out string) {
	t.Helper()
	dir, err := filepath.Abs("../examples/scrapy")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PYTHONDONTWRITEBYTECODE=1"}
	if _, err := run(t, env, "scrapy", "runspider", dir+"/pages_spider.py", "-a", "start="+site+"/page/", "-a", fmt.Sprintf("pages=%d", pages), "-o", out,
		"-L", "WARNING", "-s", "FREEWAY_GATEWAY=http://"+f.gateway, "-s", "FREEWAY_API=http://"+f.admin, "-s", "FREEWAY_BAN_RETRIES=20"); err != nil {
		t.Fatal(err)
	}
}

// titlesIn counts the titles in a file that the spider wrote.
func titlesIn(t *testing.T, path string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	titles := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var item struct{ Title string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		titles[item.Title]++
	}
	return titles
}

// bans returns the exits that a domain has banned, as the API says.
func bans(t *testing.T, s *server, domain string) map[string]bool {
	t.Helper()
	_, body := s.get(t, "/api/targets")
	var page struct {
		Items []struct {
			Domain string
			Banned []struct{ Exit string }
		}
	}
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	banned := map[string]bool{}
	for _, x := range page.Items {
		for _, b := range x.Banned {
			if x.Domain == domain {
				banned[b.Exit] = true
			}
		}
	}
	return banned
}

// TestCrawlersOfOtherPools: crawlers written for the APIs of other pools run
// unchanged, over a listener that speaks that API alone and over the admin API.
func TestCrawlersOfOtherPools(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/python3")
	const pages = 12
	own := map[string]string{"jhao104": fmt.Sprintf("127.0.0.1:%d", freePort(t)), "scylla": fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	f := newFleet(t, 8, fmt.Sprintf("compat: {jhao104: %q, scylla: %q}\n", own["jhao104"], own["scylla"]))
	var want strings.Builder
	for n := range pages {
		fmt.Fprintf(&want, "<title>page %d</title>\n", n)
	}
	for name, listener := range own {
		for kind, pool := range map[string]string{"listener": "http://" + listener, "prefix": "http://" + f.admin + "/compat/" + name} {
			site := newWary(t, nil)
			got, err := run(t, []string{"no_proxy=*"}, "/usr/bin/python3", "testdata/crawlers/"+name+".py", pool, site.url+"/page/", fmt.Sprint(pages))
			if err != nil || string(got) != want.String() {
				t.Errorf("%s by its %s: %v, got %q", name, kind, err, got)
			}
			if n, exits := site.visits(); n != pages || exits < 2 || site.exits["127.0.0.1"] > 0 {
				t.Errorf("%s by its %s: %d pages by %d exits (%v), want %d by several and none directly", name, kind, n, exits, site.exits, pages)
			}
		}
	}
}

// TestDeleteIsAVote: what a crawler calls deleting a proxy that failed it
// counts against that proxy, which stays known.
func TestDeleteIsAVote(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/python3")
	door := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	f := newFleet(t, 4, fmt.Sprintf("compat: {jhao104: %q}\n", door))
	site := newWary(t, map[string]string{f.exits[0]: "403", f.exits[1]: "403"})
	if _, err := run(t, []string{"no_proxy=*"}, "/usr/bin/python3", "testdata/crawlers/jhao104.py", "http://"+door, site.url+"/page/", "30"); err != nil {
		t.Error(err)
	}
	_, body := f.get(t, "/api/proxies?fields=host,uses")
	var page struct {
		Items []struct {
			Host string
			Uses struct{ Failed int }
		}
	}
	if err := json.Unmarshal(body, &page); err != nil || len(page.Items) != 4 {
		t.Fatalf("%s: %v, want four proxies", body, err)
	}
	for _, p := range page.Items {
		refused := p.Host == f.exits[0] || p.Host == f.exits[1]
		if refused != (p.Uses.Failed > 0) {
			t.Errorf("%s: %d failures told, refused: %v", p.Host, p.Uses.Failed, refused)
		}
	}
}
