package scraper_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"

	"freeway/proxy"
	"freeway/scraper"
)

// The tests of this file have a list's server misbehave and look at what comes
// out at the other end: an error of one source, bounded in time and memory,
// and nothing in the pool. Others of the kind are elsewhere in this package:
// TestTimeLimit (dripping), TestSizeLimit (endless), TestRedirects (many, to
// files, to private addresses), TestAPanicStaysInItsSource,
// TestOneNetworkCannotFloodASource, TestTextOfServersIsEscaped, TestNoOverlap and
// TestTheClockIsSetBack; the end-to-end tests look at exports and terminals.

// threat 52: a small body that unpacks to a huge one.
//
// TestBombsOfAServer: bodies that are small on the wire and huge when they are
// unpacked.
func TestBombsOfAServer(t *testing.T) {
	zeros := bytes.Repeat([]byte("# nothing to see here\n"), 50_000)
	bomb := func(w io.WriteCloser) {
		for range 40 { // 44 MB
			if _, err := w.Write(zeros); err != nil {
				t.Error(err)
			}
		}
		w.Close()
	}
	var br, gz bytes.Buffer
	bomb(brotli.NewWriterLevel(&br, 1))
	g := gzip.NewWriter(&gz)
	bomb(g)
	var twice bytes.Buffer
	g = gzip.NewWriter(&twice)
	g.Write(gz.Bytes())
	g.Close()
	for name, c := range map[string]struct {
		encoding string
		body     []byte
	}{"br": {"br", br.Bytes()}, "gzip": {"gzip", gz.Bytes()}, "gzip in gzip": {"gzip", twice.Bytes()}, "gzip of the list itself": {"", gz.Bytes()}, "br of gzip": {"gzip, br", brotliOf(t, gz.Bytes())}} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", c.encoding)
			w.Write(c.body)
		})
		r := open(t, scraper.Config{MaxBytes: 4 << 20, Timeout: time.Minute}, list(scraper.Source{Name: "a", URL: url}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := r.once(t, "a")
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(res.Err, "max_bytes") {
			t.Errorf("%s: RunNow() = %v, %q, want it to be too large", name, err, res.Err)
		}
		if spent := (after.TotalAlloc - before.TotalAlloc) >> 20; spent > 64 {
			t.Errorf("%s: %d MiB were allocated for a list of at most 4 MiB", name, spent)
		}
	}
}

func brotliOf(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := brotli.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return out.Bytes()
}

// threat 54: HTML made to cost time.
//
// TestPagesThatCostTime: HTML that makes parsers work does not hold up a source.
func TestPagesThatCostTime(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	var many strings.Builder
	many.WriteString("<p ")
	for i := range size / 12 {
		fmt.Fprintf(&many, "a%d=1 ", i)
	}
	for name, body := range map[string]string{
		"nesting": fill("<div><b>"), "tables": fill("<table><tr><td>"), "selects": fill("<select><option>"), "formatting": fill("<a><b><i><font>"),
		"foreign": fill("<svg><math><desc>"), "attributes": many.String() + ">", "comment": "<html><!--" + fill("-- "), "script": "<html><script>" + fill("a=a^b;"),
		"packed": "<html><script>" + fill("eval(function(p,a,c,k,e,d){}('"), "styles": "<html><style>" + fill(".a{display:none}"),
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html><body>"+body)
		})
		r := open(t, scraper.Config{}, scraper.Sources{})
		began := time.Now()
		if _, err := r.Fetch(t.Context(), scraper.Source{URL: url, HTML: map[string]string{"row": "tr", "host": "td", "port": "td + td"}}); err != nil && !strings.Contains(err.Error(), "endpoints") {
			t.Logf("%s: %v", name, err)
		}
		if took := time.Since(began); took > patience {
			t.Errorf("%s: %d bytes took %v", name, len(body), took)
		}
	}
}

// threat 56: more entries than a source may bring.
//
// TestTenMillionEntries: one source brings no more than its share, on one port
// or not, and what is over it is counted.
func TestTenMillionEntries(t *testing.T) {
	t.Parallel()
	const more = 600_000
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		for i := range more {
			fmt.Fprintf(&b, "%d.%d.%d.%d:8080\n", 20+i>>18&31, i>>10&255, i>>2&255, i&3+1)
		}
		w.Write(b.Bytes())
	})
	r := open(t, scraper.Config{Timeout: 5 * time.Minute}, list(scraper.Source{Name: "a", URL: url}))
	res, err := r.once(t, "a")
	if err != nil || res.Candidates != 500_000 || res.Refused["over the quota of one source"] != more-500_000 {
		t.Errorf("RunNow() = %d candidates, refused %v, %v, want 500000", res.Candidates, res.Refused, err)
	}
}

// threat 57: script, formulas and escapes in country, ISP and anonymity.
//
// TestTextOfListsStaysText: country, anonymity and provider are only taken when
// they are what they should be; markup, formulas and escapes never get through.
func TestTextOfListsStaysText(t *testing.T) {
	t.Parallel()
	const evil = `<script>alert(1)</script>`
	lists := []string{
		`[{"ip":"8.8.8.8","port":80,"country":"` + evil + `","anonymity":"=cmd|' /C calc'!A0","isp":"\u001b[2J` + evil + `","protocol":"` + evil + `"}]`,
		"ip,port,country,anonymity,isp\n8.8.8.8,80," + evil + ",=1+1,\x1b[31m@SUM\n",
		"<table><tr><th>IP</th><th>Port</th><th>Country</th><th>Anonymity</th></tr><tr><td>8.8.8.8</td><td>80</td><td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td>+1\x1b]0;x\a</td></tr></table>",
		"8.8.8.8:80 " + evil + " \x1b[2J=1+1\r\n",
		"proxies:\n  - {name: \"\\e[2J=1<b>\", type: http, server: 8.8.8.8, port: 80, country: \"=1\"}\n",
	}
	for i, text := range lists {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) })
		r := open(t, scraper.Config{}, scraper.Sources{})
		res, err := r.Fetch(t.Context(), scraper.Source{URL: url})
		if err != nil || len(res.Found) != 1 {
			t.Errorf("list %d: Fetch() = %d endpoints, %v, want 1", i, len(res.Found), err)
			continue
		}
		c := res.Found[0]
		if text := fmt.Sprintf("%+v", c); strings.ContainsAny(text, "<>\x1b\r\n\a=|") {
			t.Errorf("list %d: candidate %q holds text of the list", i, text)
		}
		if c.Claims.Country != "" || c.Claims.Anonymity != proxy.AnonymityUnknown {
			t.Errorf("list %d: claims = %+v, want none", i, c.Claims)
		}
		for reason := range res.Refused {
			if strings.ContainsAny(reason, "<>\x1b\r\n") {
				t.Errorf("list %d: reason %q holds text of the list", i, reason)
			}
		}
	}
}

// threat 60: numbers that look like addresses.
//
// TestNumbersThatOnlyLookLikeAddresses emits nothing.
func TestNumbersThatOnlyLookLikeAddresses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"8.8.8.8:99999", "8.8.8.8:0", "8.8.8.8:-80", "8.8.8.8:080", "08.8.8.8:80", "8.8.8.08:80", "010.8.8.8:80", "8.8.8:80", "8.8.8.8.8:80", "256.8.8.8:80", "134744072:80", "0x08080808:80",
		"8.8.8.8:65536", "1.2.3.4.5.6.7.8:80", "v8.8.8.8", "[2606:4700::1%eth0]:80", "[fe80::1%25eth0]:80", "[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1]:80", "[::1]:80",
		"127.0.0.1:80", "10.1.2.3:80", "169.254.169.254:80", "0.0.0.0:80", "255.255.255.255:80", "224.0.0.1:80", "192.168.1.1:3128", "100.64.0.1:80",
		"8.8.8.0/24:80", "localhost:80", "8.8.8.8:８０", "８.８.８.８:80", "８.８.８.８:８０", "8.8.8.８:80", "٨.٨.٨.٨:80", "8．8．8．8:80", "2026-01-02 10:20:30", "1.2.3.4-5:80",
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text+"\n") })
		r := open(t, scraper.Config{}, scraper.Sources{})
		if res, err := r.Fetch(t.Context(), scraper.Source{URL: url}); err != nil || len(res.Found) != 0 {
			t.Errorf("Fetch(%q) = %+v, %v, want nothing", text, res.Found, err)
		}
	}
}

// threat 62: the hour that is left out and the one that comes twice.
//
// TestSummerTime: a cron source in a zone with summer time has one turn a day,
// also on the days of 23 and 25 hours.
func TestSummerTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, spec string
		from       time.Time
		days       int
		turns      [2]int // at least and at most, besides the one at the start
	}{
		{"an hour that is left out", "CRON_TZ=Europe/Berlin 30 2 * * *", time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC), 4, [2]int{3, 4}},
		{"an hour that comes twice", "CRON_TZ=Europe/Berlin 30 2 * * *", time.Date(2026, 10, 23, 12, 0, 0, 0, time.UTC), 4, [2]int{4, 5}},
		{"every hour, left out", "CRON_TZ=Europe/Berlin 0 * * * *", time.Date(2026, 3, 28, 12, 30, 0, 0, time.UTC), 1, [2]int{24, 24}},
		{"every hour, twice", "CRON_TZ=Europe/Berlin 0 * * * *", time.Date(2026, 10, 24, 12, 30, 0, 0, time.UTC), 1, [2]int{23, 24}},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := open(t, scraper.Config{}, list(scraper.Source{Name: "a", URL: "http://a.example/a", Schedule: c.spec}), func(e *scraper.Env) {
				e.Now = func() time.Time { return c.from.Add(time.Since(start)) }
			})
			d := newDiary()
			r.SetTransport(d.wire(func(_ int, req *http.Request) *http.Response { return reply(req, 200, listFor(req.URL.Path)) }))
			run(t, r, time.Duration(c.days)*24*time.Hour)
			if got := len(d.of("/a")) - 1; got < c.turns[0] || got > c.turns[1] {
				t.Errorf("%s: %d turns, want %v; at %v", c.name, got, c.turns, d.of("/a"))
			}
		})
	}
}
