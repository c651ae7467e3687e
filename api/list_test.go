package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"freeway/api"
	"freeway/pool"
	"freeway/proxy"
)

func TestFields(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	for path, want := range map[string]string{
		"/api/proxies?fields=port,url":                   `{"items":[{"port":8080,"url":"http://9.9.9.9:8080"}],"total":1,"next":""}` + "\n",
		"/api/proxies?fields=url&format=ndjson":          `{"url":"http://9.9.9.9:8080"}` + "\n",
		"/api/proxies?fields=URL,checks,pool&format=csv": "url,checks_ok,checks_failed,pool\nhttp://9.9.9.9:8080,1,0,public\n",
	} {
		if status, _, body := w.do("GET", path, ""); status != 200 || body != want {
			t.Errorf("GET %s = %d %q, want %q", path, status, body, want)
		}
	}
	for path, want := range map[string]string{
		"fields=nothing":        `fields: there is no \"nothing\"; use id, url`,
		"fields=url,url":        "named twice",
		"fields=url&format=txt": "no fields to choose",
		"fields=url&format=pac": "no fields to choose",
	} {
		if status, _, body := w.do("GET", "/api/proxies?"+path, ""); status != 422 || !strings.Contains(body, want) {
			t.Errorf("GET ?%s = %d %s, want 422 with %q", path, status, body, want)
		}
	}
}

// The files for other programs hold live proxies only; everything else is the
// caller's choice.
func TestExportsAreLive(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	w.do("POST", "/api/proxies", "http://9.9.9.10:8080\nhttp://bob:secret@9.9.9.11:8080", "Content-Type", "text/plain")
	for _, format := range api.Formats() {
		status, _, body := w.do("GET", "/api/proxies?format="+format, "")
		want := 1
		if strings.Contains("json ndjson csv txt", format) {
			want = 3
		}
		got := 0
		for _, ip := range []string{"9.9.9.9", "9.9.9.10", "9.9.9.11"} {
			if strings.Contains(body, ip+":") || strings.Contains(body, ip+" ") || strings.Contains(body, `"`+ip+`"`) || strings.Contains(body, ip+"\n") {
				got++
			}
		}
		if status != 200 || got != want || strings.Contains(body, "secret") {
			t.Errorf("format %s = %d with %d proxies, want %d:\n%s", format, status, got, want, body)
		}
		if _, _, all := w.do("GET", "/api/proxies?state=new&format="+format, ""); strings.Contains(all, "9.9.9.9:") {
			t.Errorf("format %s of new ones holds a live one:\n%s", format, all)
		}
	}
}

// A list of live proxies holds none that the general filter keeps from use.
func TestLiveIsWhatTheGatewayUses(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	if err := w.pool.Apply(pool.Config{Filter: pool.FilterConfig{Countries: []string{"de"}}}); err != nil {
		t.Fatal(err)
	}
	if got := w.page("state=live"); got.Total != 0 || len(got.Items) != 0 {
		t.Errorf("state=live = %d of %d, want none", len(got.Items), got.Total)
	}
	if got := w.page(""); got.Total != 1 {
		t.Errorf("all = %d, want 1", got.Total)
	}
	for _, path := range []string{"/api/proxies/random", "/compat/jhao104/get/"} {
		if _, _, body := w.do("GET", path, ""); strings.Contains(body, "9.9.9.9") {
			t.Errorf("GET %s = %s, want none", path, body)
		}
	}
}

func TestETag(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	for _, path := range []string{"/api/proxies", "/api/proxies?format=txt&state=live", "/api/proxies?format=pac", "/api/proxies?fields=url"} {
		_, header, _ := w.do("GET", path, "")
		tag := header.Get("ETag")
		if tag == "" || header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("GET %s: ETag %q, Cache-Control %q", path, tag, header.Get("Cache-Control"))
		}
		for _, have := range []string{tag, `"other", ` + tag, "*"} {
			if status, header, body := w.do("GET", path, "", "If-None-Match", have); status != http.StatusNotModified || body != "" || header.Get("ETag") != tag {
				t.Errorf("GET %s with %s = %d %q, want 304", path, have, status, body)
			}
		}
		if status, _, _ := w.do("GET", path, "", "If-None-Match", `W/"other"`); status != 200 {
			t.Errorf("GET %s with another tag = %d, want 200", path, status)
		}
	}
	_, header, _ := w.do("GET", "/api/proxies?format=txt", "")
	w.do("POST", "/api/proxies", "http://9.9.9.10:8080", "Content-Type", "text/plain")
	if status, _, _ := w.do("GET", "/api/proxies?format=txt", "", "If-None-Match", header.Get("ETag")); status != 200 {
		t.Errorf("after a change = %d, want 200", status)
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	for _, format := range []string{"json", "csv", "txt"} {
		_, header, body := w.do("GET", "/api/proxies?format="+format, "", "Accept-Encoding", "gzip")
		if header.Get("Content-Encoding") != "gzip" || !strings.Contains(header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("format %s is not compressed: %v", format, header)
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || !strings.Contains(string(text), "9.9.9.9") {
			t.Errorf("format %s = %q (%v)", format, text, err)
		}
	}
}

// Text of lists that a spreadsheet would run is quoted, all columns or some.
func TestThreat58SomeColumns(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ep := proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 80}
	if _, err := w.pool.Add(t.Context(), "=cmd|calc", []proxy.Candidate{{Endpoint: ep}}); err != nil {
		t.Fatal(err)
	}
	w.check(1, proxy.OK, "9.9.9.1", time.Millisecond)
	_, header, body := w.do("GET", "/api/proxies?format=csv&fields=sources,url", "")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != "'=cmd|calc" || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("rows = %q (%v), %v", rows, err, header)
	}
}

func TestRest(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	id := w.page("").Items[0].ID
	for _, tt := range []struct {
		path   string
		status int
		state  proxy.State
	}{
		{id + "/rest?for=1h", 202, proxy.Resting},
		{id + "/rest?for=0s", 202, proxy.Live},
		{id + "/rest", 202, proxy.Resting},
		{id + "/rest?for=soon", 422, proxy.Resting},
		{id + "/rest?for=-1s", 422, proxy.Resting},
		{id + "/rest?for=721h", 422, proxy.Resting},
		{"nobody/rest", 404, proxy.Resting},
	} {
		status, _, body := w.do("POST", "/api/proxies/"+tt.path, "")
		if got := w.page("").Items[0].State; status != tt.status || got != tt.state {
			t.Errorf("POST %s = %d %s and the proxy is %v, want %d and %v", tt.path, status, body, got, tt.status, tt.state)
		}
	}
	if status, _, _ := w.do("GET", "/api/proxies/random", ""); status != 404 {
		t.Errorf("random = %d, want 404", status)
	}
	if _, _, body := w.do("GET", "/api/proxies/"+id, ""); !strings.Contains(body, "rests until 2") {
		t.Errorf("detail does not explain it: %s", body)
	}
}

// What does not tunnel is of no use to programs that ask for https pages, and
// only json has pages.
func TestExportsTunnel(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ep := proxy.Endpoint{Protocol: proxy.HTTP, Host: "9.9.9.9", Port: 8080}
	if _, err := w.pool.Add(t.Context(), "list", []proxy.Candidate{{Endpoint: ep}}); err != nil {
		t.Fatal(err)
	}
	job, err := w.pool.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.pool.Report(proxy.Verdict{Job: job, Outcomes: []proxy.Outcome{{Endpoint: ep, At: time.Now(), Stage: proxy.StageVerify, Origin: proxy.FromCheck,
		Learned: &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.No}}}})
	for _, format := range api.Formats()[4:] {
		if _, _, body := w.do("GET", "/api/proxies?format="+format, ""); strings.Contains(body, "9.9.9.9") {
			t.Errorf("format %s holds a proxy that does not tunnel", format)
		}
	}
	for path, want := range map[string]int{"format=txt&limit=5000": 200, "limit=1000": 200, "limit=1001": 422, "limit=0": 422} {
		if status, _, _ := w.do("GET", "/api/proxies?"+path, ""); status != want {
			t.Errorf("GET ?%s = %d, want %d", path, status, want)
		}
	}
	for accept, want := range map[string]string{"gzip": "gzip", "gzip;q=0": "", "identity;q=1, gzip; q=0.0": "", "gzip;q=0.5": "gzip"} {
		if _, header, _ := w.do("GET", "/api/proxies?format=txt", "", "Accept-Encoding", accept); header.Get("Content-Encoding") != want {
			t.Errorf("Accept-Encoding %q gives %q, want %q", accept, header.Get("Content-Encoding"), want)
		}
	}
}

// A limit counts what the program can use, not what it cannot.
func TestExportsLimit(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for i, protocol := range []proxy.Protocol{proxy.SOCKS4, proxy.HTTPS, proxy.SOCKS5, proxy.HTTP} { // best first: each latency is longer
		ep := proxy.Endpoint{Protocol: protocol, Host: fmt.Sprintf("9.9.9.%d", i+1), Port: 8080}
		if _, err := w.pool.Add(t.Context(), "list", []proxy.Candidate{{Endpoint: ep}}); err != nil {
			t.Fatal(err)
		}
		w.check(1, proxy.OK, ep.Host, time.Duration(i+1)*time.Second)
	}
	for format, want := range map[string]string{"scrapy": "9.9.9.4", "squid": "9.9.9.4", "txt": "9.9.9.1"} {
		if _, _, body := w.do("GET", "/api/proxies?sort=latency&limit=1&format="+format, ""); !strings.Contains(body, want) || strings.Count(body, "9.9.9.") != 1 {
			t.Errorf("format %s with limit=1 = %s, want %s only", format, body, want)
		}
	}
}

// A page that is not the last carries a cursor of its own each time, and costs
// nothing when it is asked for again nevertheless. The cursor that the client
// has stays good.
func TestETagOfFirstPage(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.do("POST", "/api/proxies", "http://9.9.9.1:80\nhttp://9.9.9.2:80\nhttp://9.9.9.3:80", "Content-Type", "text/plain")
	w.check(3, proxy.OK, "9.9.9.1", time.Second) // one that is due shows the time of the answer as its next check
	for _, path := range []string{"/api/proxies?sort=url&limit=2", "/api/proxies?sort=url&limit=2&fields=url"} {
		_, header, body := w.do("GET", path, "")
		for range 2 {
			if status, _, _ := w.do("GET", path, "", "If-None-Match", header.Get("ETag")); status != http.StatusNotModified {
				t.Errorf("GET %s again = %d, want 304", path, status)
			}
		}
		var page api.Page
		if err := json.Unmarshal([]byte(body), &page); err != nil || page.Next == "" {
			t.Fatalf("GET %s = %s, want a cursor", path, body)
		}
		if rest := w.page("sort=url&limit=2&cursor=" + page.Next); len(rest.Items) != 1 || rest.Items[0].Host != "9.9.9.3" {
			t.Errorf("the page behind = %v, want the third", rest.Items)
		}
	}
	_, all, _ := w.do("GET", "/api/proxies?sort=url&limit=3", "")
	w.do("POST", "/api/proxies", "http://9.9.9.4:80", "Content-Type", "text/plain")
	if status, _, _ := w.do("GET", "/api/proxies?sort=url&limit=3", "", "If-None-Match", all.Get("ETag")); status != 200 {
		t.Errorf("with one more = %d, want 200", status)
	}
}

// TestHead: what GET answers, without the body (RFC 9110 section 9.3.2).
func TestHead(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, path := range []string{"/api/proxies", "/api/proxies?format=csv", "/api/stats", "/api/openapi.json", "/livez", "/api/proxies/random", "/api/nothing"} {
		wantStatus, want, _ := w.do("GET", path, "")
		status, h, body := w.do("HEAD", path, "")
		if status != wantStatus || body != "" || h.Get("Content-Type") != want.Get("Content-Type") {
			t.Errorf("HEAD %s = %d %q, %d bytes, want %d %q and none", path, status, h.Get("Content-Type"), len(body), wantStatus, want.Get("Content-Type"))
		}
	}
	if status, _, _ := w.do("HEAD", "/api/feedback", ""); status != 405 {
		t.Errorf("HEAD /api/feedback = %d, want 405: GET is not allowed either", status)
	}
}

// A target is forgiven by its domain, or by the host that was asked for.
func TestForgive(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	id := w.page("state=live").Items[0].ID
	for path, want := range map[string]int{"shop.example": 204, "www.shop.example": 204, "WWW.Shop.example:443": 204, "other.example": 404, "a%20b": 404} {
		w.do("POST", "/api/feedback", `{"proxy":"`+id+`","target":"www.shop.example","verdict":"banned"}`, "Content-Type", "application/json")
		if _, _, body := w.do("GET", "/api/targets", ""); !strings.Contains(body, `"shop.example"`) {
			t.Fatalf("targets = %s, want shop.example", body)
		}
		status, _, _ := w.do("DELETE", "/api/targets/"+path, "")
		if _, _, body := w.do("GET", "/api/targets", ""); status != want || strings.Contains(body, "shop.example") != (want == 404) {
			t.Errorf("DELETE %s = %d, want %d; then %s", path, status, want, body)
		}
	}
}

// Where there is nothing to reload, that is said, and the document is the same.
func TestReloadOfNothing(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	if status, _, body := w.do("POST", "/api/reload", ""); status != http.StatusNotFound || !strings.Contains(body, "no configuration to read again") {
		t.Errorf("reload = %d %s, want 404 with a reason", status, body)
	}
	if _, _, body := w.do("GET", "/api/openapi.json", ""); !strings.Contains(body, `"/api/reload"`) {
		t.Error("the document does not have /api/reload")
	}
}
