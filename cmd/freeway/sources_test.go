package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/lab"
	"freeway/scraper"
)

func TestSourcesFromTheServer(t *testing.T) {
	t.Parallel()
	url, _ := adminServer(t, 200, `{"items":[
		{"name":"off","enabled":false,"worth":{"listed":0}},
		{"name":"c","enabled":true,"last_run":"2026-01-02T03:04:05Z","not_modified":true,"mirror_of":"a","via":"pool"},
		{"name":"b","enabled":true,"worth":{"listed":0}},
		{"name":"a","enabled":true,"last_run":"2026-01-02T03:04:05Z","changed":"2026-01-01T03:04:05Z","candidates":10,"error":"fetch: \u001b[2Jtime-out \u009b and a long story about it that nobody reads to the end",
		 "worth":{"listed":10,"live":1,"ever_live":2,"checked":8,"first_live":3,"exclusive":4,"only_live":1,"latency_ns":812000000},
		 "total":{"runs":3,"requests":5,"received":1258291,"took_ns":7000000000,"new":6}}],"total":4}`)
	code, out, errs := command(t, nil, "sources", "--server", url)
	if code != 0 || errs != "" {
		t.Fatalf("sources = %d, %s", code, errs)
	}
	check := func(out string, want ...[]string) {
		t.Helper()
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != len(want) {
			t.Fatalf("sources prints %d lines, want %d:\n%s", len(lines), len(want), out)
		}
		for i, words := range want {
			if got := strings.Fields(lines[i]); !strings.HasPrefix(strings.Join(got, " ")+" ", strings.Join(words, " ")) {
				t.Errorf("line %d = %q, want %q", i, got, words)
			}
		}
	}
	head := []string{"NAME", "OFFERS", "NEW", "ONLY", "LIVE", "FIRST", "EVER", "LATENCY", "COST", "CHANGED", "READ", "RESULT"}
	a := []string{"a", "10", "6", "4", "1", "37.5%", "25.0%", "812ms", "1.2M/5/7s"}
	check(out, head, a, []string{"b", "-"}, []string{"c", "0"}, []string{"1", "more", "are", "off;", "--all", "lists", "them"})
	if !strings.Contains(out, "ok, unchanged, mirror of a, via the pool") {
		t.Errorf("the table does not say what c is:\n%s", out)
	}
	if strings.ContainsAny(out, "\x1b\u009b") || strings.Contains(out, "nobody reads") {
		t.Error("what a list's server says reaches the terminal as it is")
	}
	_, out, _ = command(t, nil, "sources", "--server", url, "--all")
	check(out, head, a, []string{"b", "-"}, []string{"c", "0"}, []string{"off", "-"})
	_, out, _ = command(t, nil, "sources", "--server", url, "--wide")
	if !strings.Contains(out, "a long story about it that nobody reads to the end") || strings.ContainsAny(out, "\x1b\u009b") {
		t.Errorf("sources --wide does not print the whole error, and nothing else:\n%q", out)
	}
	var items []scraper.Result
	_, out, _ = command(t, nil, "sources", "--server", url, "--format", "json")
	if err := json.Unmarshal([]byte(out), &items); err != nil || len(items) != 3 || strings.ContainsAny(out, "\x1b\u009b") || !strings.Contains(out, "nobody reads to the end") {
		t.Errorf("sources --format json = %d items, %v, want 3:\n%q", len(items), err, out)
	}
	if code, _, errs := command(t, nil, "sources", "--format", "xml"); code != 2 || !strings.Contains(errs, "neither table nor json") {
		t.Errorf("sources --format xml = %d, %q", code, errs)
	}
	url, _ = adminServer(t, 200, "[")
	if code, _, errs := command(t, nil, "sources", "--server", url); code != 1 || !strings.Contains(errs, "the server's answer") {
		t.Errorf("sources of a broken answer = %d, %q", code, errs)
	}
}

// TestSourcesOfTheConfiguration: without a server the sources of the file, its
// folder and the catalogue are listed, those that are on first.
func TestSourcesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"freeway.yaml":          "admin: {listen: '127.0.0.1:1'}\nsources: {builtin: [geonode], dir: " + dir + "/sources.d, list: [{name: own, url: 'http://bob:hunter2@127.0.0.1:1/?key=hunter2', method: POST, body: hunter2}, {name: idle, file: x, enabled: false}]}\n",
		"sources.d/folder.yaml": "name: folder\nurl: http://127.0.0.1:1/\nvia: pool\n", "sources.d/bad.yaml": "name: bad\nurl: ftp://127.0.0.1:1/\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "freeway.yaml")
	code, out, errs := command(t, nil, "sources", "--config", config)
	if code != 0 || !strings.Contains(errs, "no server is running") {
		t.Fatalf("sources = %d, %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.HasPrefix(lines[1], "own") || !strings.HasPrefix(lines[2], "folder") || !strings.HasPrefix(lines[3], "geonode") ||
		!strings.Contains(lines[4], "not an http or https address") || lines[5] != fmt.Sprintf("%d more are off; --all lists them", len(scraper.Builtins())) {
		t.Errorf("sources prints\n%s", out)
	}
	if strings.Contains(out, "hunter2") {
		t.Error("sources prints a secret")
	}
	if _, all, _ := command(t, nil, "sources", "--config", config, "--all"); strings.Count(all, "\n") != len(scraper.Builtins())+5 || !strings.Contains(all, "idle") {
		t.Errorf("sources --all prints %d lines", strings.Count(all, "\n"))
	}
	for name, want := range map[string]string{"bad": "not an http or https address", "folder": "only a running server has one", "idle": "no such file", "nobody": "neither a source"} {
		if code, _, errs := command(t, nil, "sources", "test", name, "--config", config); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("sources test %s = %d, %q, want %q", name, code, errs, want)
		}
	}
	if code, _, errs := command(t, nil, "sources", "test", "--direct", "folder", "--config", config); code != 1 || !strings.Contains(errs, "refused") {
		t.Errorf("sources test --direct folder = %d, %q, want it to be tried", code, errs)
	}
}

func TestSourcesTest(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	list.WriteString("# a list\n10.0.0.1:80\n10.0.0.2:80\n8.8.8.8:99999\n10.0.0.3:\x1b[2J80\n")
	for i := range 200 {
		fmt.Fprintf(&list, "socks5://8.8.%d.1:1080\n", i)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/list":
			io.WriteString(w, list.String())
		case "/empty":
			io.WriteString(w, "nothing here\n")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	code, out, errs := command(t, nil, "sources", "test", srv.URL+"/list?token=hunter2")
	for _, want := range []string{"status     200 OK", "1 request, ", "format     text (found out from the content)", "reader     lines", "rows seen  20", "accepted   200\n",
		"   200  socks5\n", "  not a public address\n", "10 of those accepted:\n  socks5://8.8.0.1:1080\n  socks5://8.8.20.1:1080\n", "refused:\n  line 2: \"10.0.0.1:80\": not a public address\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("sources test lacks %q", want)
		}
	}
	if code != 0 || errs != "" || strings.Contains(out, "hunter2") || strings.Contains(out, "\x1b") {
		t.Errorf("sources test = %d, %q\n%s", code, errs, out)
	}
	for path, want := range map[string]string{"/empty": "nothing in the list was taken for a proxy", "/none": "the server answers"} {
		want = strings.Replace(want, "the server answers", "the server answered 404 Not Found", 1)
		if code, _, errs := command(t, nil, "sources", "test", srv.URL+path); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("sources test %s = %d, %q, want %q", path, code, errs, want)
		}
	}
}

// TestSourcesTestOverLab reads what "freeway lab" offers.
func TestSourcesTestOverLab(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{Upstreams: 50})
	for _, u := range l.ListURLs() {
		code, out, errs := command(t, nil, "sources", "test", "--allow-upstreams", "127.0.0.0/8", u)
		if code != 0 && !strings.Contains(errs, "nothing in the list") || !strings.Contains(out, "format     text") {
			t.Errorf("sources test %s = %d, %q\n%s", u, code, errs, out)
		}
	}
}

func TestShortForms(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1.0k", 15 << 10: "15k", 1258291: "1.2M", 5 << 30: "5.0G", 9 << 50: "9216T"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Millisecond: "5ms", 90 * time.Second: "90s", 5 * time.Minute: "5m", 47 * time.Hour: "47h", 100 * time.Hour: "4d"} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

// send asks the admin listener with another method and returns the status.
func (r *running) send(t *testing.T, method, path, body string) int {
	t.Helper()
	status, _ := r.ask(t, method, path, body, http.Header{"Content-Type": {"application/json"}})
	return status
}

// TestSourcesFolderOfAServer: files come and go, sources are switched and tried,
// all without a restart; the endpoints of those that leave stay.
func TestSourcesFolderOfAServer(t *testing.T) {
	t.Parallel()
	lists := t.TempDir()
	for i, name := range []string{"one", "two", "three"} {
		if err := os.WriteFile(filepath.Join(lists, name), []byte(fmt.Sprintf("http://127.0.0.%d:1\nhttp://127.0.0.%d:2\n", i+1, i+1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := serveFile(t, `
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, dir: DIR/sources.d}
checker: {judges: ["http://127.0.0.1:1/"]}
network: {allow_upstreams: [127.0.0.0/8]}
`)
	dir := filepath.Join(filepath.Dir(r.file), "sources.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	define := func(name, more string) {
		t.Helper()
		text := fmt.Sprintf("name: %s\nfile: %s\n%s\n", name, filepath.Join(lists, name), more)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	named := func(want string) {
		t.Helper()
		var got []string
		for _, res := range r.scraper.Results() {
			got = append(got, fmt.Sprintf("%s:%v:%d", res.Name, res.Enabled, res.Worth.Listed))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("sources = %s, want %s", text, want)
		}
	}
	ask := func(method, path, body string, want int) {
		t.Helper()
		if status := r.send(t, method, "/api/sources/"+path, body); status != want {
			t.Errorf("%s %s = %d, want %d", method, path, status, want)
		}
	}
	define("one", "")
	define("two", "enabled: false")
	ask("POST", "one/run", "", http.StatusOK)
	ask("POST", "two/run", "", http.StatusOK) // tried, though it is off
	named("one:true:2 two:false:2")
	define("three", "min_yield: 3")
	ask("POST", "three/run", "", http.StatusBadGateway)
	named("one:true:2 three:true:0 two:false:2")
	ask("PATCH", "one", `{"enabled":false}`, http.StatusOK)
	ask("PATCH", "two", `{"enabled":true}`, http.StatusOK)
	ask("PATCH", "nobody", `{"enabled":true}`, http.StatusNotFound)
	named("one:false:0 three:true:0 two:true:2")
	if err := os.Remove(filepath.Join(dir, "two.yaml")); err != nil {
		t.Fatal(err)
	}
	named("one:false:0 three:true:0")
	if n := r.pool.Stats().Total; n != 4 {
		t.Errorf("the pool has %d endpoints, want the 4 of the sources that have left", n)
	}
}
