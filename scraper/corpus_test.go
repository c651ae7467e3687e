package scraper_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"freeway/proxy"
	"freeway/scraper"
)

// listData is the folder with lists and what a careful reader takes out of them.
func listData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("FREEWAY_LIST_DATA")
	if dir == "" {
		t.Skip("FREEWAY_LIST_DATA does not name a folder with lists/, html/, expected/ and cornercases.jsonl")
	}
	return dir
}

func hintOf(t *testing.T, hint string) []proxy.Protocol {
	t.Helper()
	if hint == "-" || hint == "" {
		return nil
	}
	p, err := proxy.ParseProtocol(hint)
	if err != nil {
		t.Fatal(err)
	}
	return []proxy.Protocol{p}
}

// describe prints a candidate as the corner cases do.
func describe(c proxy.Candidate) string {
	s := c.Endpoint.Protocol.String()
	if c.Guess {
		s = "-"
	}
	s += " " + c.Endpoint.Address()
	if c.Endpoint.User != "" {
		s += " " + c.Endpoint.User + ":" + c.Password.Reveal()
	}
	return s
}

func TestCornerCases(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join(listData(t), "cornercases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	good, all := 0, 0
	for in := bufio.NewScanner(f); in.Scan(); {
		var c struct {
			ID                int
			Input, Hint, Note string
			Expect            []string
		}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		var got []string
		for cand, err := range scraper.Parse(strings.NewReader(c.Input), scraper.ParseOptions{Protocols: hintOf(t, c.Hint)}) {
			if err != nil {
				t.Errorf("case %d: %v", c.ID, err)
			}
			got = append(got, describe(cand))
		}
		slices.Sort(got)
		slices.Sort(c.Expect)
		all++
		if slices.Equal(got, c.Expect) {
			good++
		} else {
			t.Errorf("case %d (%s): Parse(%q) = %q, want %q", c.ID, c.Note, c.Input, got, c.Expect)
		}
	}
	t.Logf("corner cases: %d of %d", good, all)
}

// fileHints is what the sources of the files say that their entries are.
var fileHints = map[string]string{
	"databay_socks5.txt": "socks5", "casals-ar_socks5": "socks5", "B4RC0DE_proxies.txt": "http", "noarche_http-online.txt": "http",
	"zloi-user_connect.txt": "https", "rdavydov_geo_http.txt": "http", "clarketm_spysme_proxy-list.txt": "http",
	"fyvri_classic_https.yaml": "https", "mertguvencli_data-with-geolocation.json": "http", "neg_roosterkid_array.txt": "http",
	"syn_torture.txt": "http", "syn_userpass.txt": "http", "syn_ipv6.txt": "http", "syn_utf16le.txt": "http",
	"frag_proxynova.html": "http",
}

// expectedFile reads one of the .tsv files; a missing one is empty.
func expectedFile(t *testing.T, dir, name, kind string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expected", name+"."+kind+".tsv"))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(f) < 2 {
			continue
		}
		s := f[0] + " " + f[1]
		if len(f) > 2 && f[2] != "" && kind == "expected" {
			s += " " + f[2]
		}
		out = append(out, s)
	}
	return out
}

// TestLists prints, for each file of the data folder, how much of what is
// expected was found and how much else.
func TestLists(t *testing.T) {
	t.Parallel()
	dir := listData(t)
	files, _ := filepath.Glob(filepath.Join(dir, "lists", "*"))
	pages, _ := filepath.Glob(filepath.Join(dir, "html", "*"))
	for _, path := range append(files, pages...) {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reportFile(t, dir, path, name)
		})
	}
}

func reportFile(t *testing.T, dir, path, name string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]bool{}
	var stats scraper.ParseStats
	for c, err := range scraper.Parse(f, scraper.ParseOptions{Protocols: hintOf(t, fileHints[name]), Stats: func(s scraper.ParseStats) { stats = s }}) {
		if err != nil {
			t.Fatal(err)
		}
		got[describe(c)] = true
	}
	want := expectedFile(t, dir, name, "expected")
	optional := append(expectedFile(t, dir, name, "ambiguous"), expectedFile(t, dir, name, "hostnames")...)
	found, missed := 0, []string(nil)
	for _, w := range want {
		k := wanted(w)
		switch {
		case got[k]:
			found++
			delete(got, k)
		default:
			missed = append(missed, w)
		}
	}
	for _, o := range optional {
		delete(got, o)
		delete(got, "- "+o[strings.IndexByte(o, ' ')+1:])
		for _, p := range []string{"http", "https", "socks4", "socks5"} {
			delete(got, p+o[strings.IndexByte(o, ' '):])
		}
	}
	t.Logf("%-42s %-8s expected %5d, found %5d, unexpected %d", name, stats.Format, len(want), found, len(got))
	for _, m := range missed[:min(len(missed), 20)] {
		t.Errorf("missed %q", m)
	}
	n := 0
	for g := range got {
		if n++; n <= 20 {
			t.Errorf("unexpected %q", g)
		}
	}
}

// wanted undoes the percent-encoding that the expected files keep.
func wanted(s string) string {
	return strings.ReplaceAll(s, "%40", "@")
}
