package e2e_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hostileLists name one endpoint each, beside text that would be a formula in a
// spreadsheet, a script in a page or an order to a terminal. Nothing is dialled.
func hostileLists() map[string]string {
	const script = `<script>alert(1)</script>`
	return map[string]string{
		"json": `[{"ip":"9.9.9.9","port":80,"country":"` + script + `","anonymity":"=cmd|' /C calc'!A0","isp":"\u001b[2J` + script + `","protocol":"@SUM(1)"}]`,
		"csv":  "ip,port,country,anonymity,isp\n9.9.9.9,80,+1+1,-1,\"\t=1\"\n",
		"text": "9.9.9.9:80 " + script + " \x1b]0;owned\a\x1b[2J =1+1 @x -2\r\n=2+3:80\r\n9.9.9.999:80\x1b[31m\r\n",
		"html": "<table><tr><th>IP</th><th>Port</th><th>Country</th><th>ISP</th></tr><tr><td>9.9.9.9</td><td>80</td><td>=1+1</td><td>&lt;script&gt;\x1b[2J</td></tr></table>",
	}
}

// scrapeOut runs "freeway scrape --rejected" and returns what it prints.
func scrapeOut(t *testing.T, format, url string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "scrape", "--rejected", "--format", format, url)
	cmd.Env = append(os.Environ(), "FREEWAY_LOOPBACK_ONLY=1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("scrape --format %s: %v: %q", format, err, errs.String())
	}
	return out.String(), errs.String()
}

// threat 57, 58, 59: text of lists in what scrape prints.
//
// TestThreats57to59TextOfLists: neither stdout nor stderr of scrape shows text of
// a list as script, formula or escape, in no format.
func TestThreats57to59TextOfLists(t *testing.T) {
	t.Parallel()
	for name, body := range hostileLists() {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		t.Cleanup(srv.Close)
		for _, format := range []string{"txt", "ndjson", "csv"} {
			out, errs := scrapeOut(t, format, srv.URL+"/list")
			if !strings.Contains(out, "9.9.9.9") || strings.Contains(out, "<script") {
				t.Errorf("%s: scrape --format %s = %q, want 9.9.9.9 and no script", name, format, out)
			}
			if strings.ContainsAny(out+errs, "\x1b\a\r") {
				t.Errorf("%s: scrape --format %s lets control characters through: %q, %q", name, format, out, errs)
			}
			if format == "csv" {
				noFormulas(t, name, out)
			}
		}
	}
}

// noFormulas looks at every cell of a table.
func noFormulas(t *testing.T, name, text string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Errorf("%s: %d rows, %v, want a table with entries: %q", name, len(rows), err, text)
	}
	for _, row := range rows {
		for _, c := range row {
			if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
				t.Errorf("%s: the cell %q is a formula", name, c)
			}
		}
	}
}

// TestThreat58Logins: user names are text of lists that is kept; a file of them
// has no formulas either, from scrape or from the API.
func TestThreat58Logins(t *testing.T) {
	t.Parallel()
	logins := []string{"=1+1", "+1", "-1", "@SUM(1)"}
	var urls []string
	for i, l := range logins {
		urls = append(urls, "http://"+strings.NewReplacer("=", "%3D", "+", "%2B", "@", "%40", "(", "%28", ")", "%29").Replace(l)+"@9.9.9."+strconv.Itoa(i+1)+":8080") // an address each: stock checks address by address
	}
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(strings.Join(urls, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := scrapeOut(t, "csv", path)
	noFormulas(t, "scrape", out)
	base := stock(t, urls...)
	resp, err := http.Get(base + "/api/proxies?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("X-Content-Type-Options"); got != "nosniff" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv") {
		t.Errorf("csv export has Content-Type %q and X-Content-Type-Options %q", resp.Header.Get("Content-Type"), got)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	noFormulas(t, "api", string(body))
	for _, l := range logins {
		if !strings.Contains(out, "'"+l) {
			t.Errorf("scrape's table does not hold the login %q: %q", l, out)
		}
	}
}

// hostileServer answers with escapes and line breaks wherever a server may put
// text of its own: status line, header, redirect, and the list itself.
func hostileServer(t *testing.T) string {
	t.Helper()
	raw := map[string]string{
		"/status":   "HTTP/1.1 2\x1b[2J0 \x1b]0;owned\a\r\n\r\n",
		"/header":   "HTTP/1.1 200 OK\r\nContent-Encoding: x\x1b[31mred\r\nContent-Length: 0\r\n\r\n",
		"/encoding": "HTTP/1.1 200 OK\r\nContent-Encoding: x\xc2\x9b31mred\r\nContent-Length: 0\r\n\r\n",
		"/redirect": "HTTP/1.1 302 Found\r\nLocation: gopher://a/%0d%0alevel=ERROR%1b\xc2\x9b2J\r\nContent-Length: 0\r\n\r\n",
		"/phrase":   "HTTP/1.1 503 \x1b[2Jgone\r\nRetry-After: \x1b[2J9\r\nContent-Length: 0\r\n\r\n",
		"/list":     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x1b[2Jtime=now level=ERROR msg=forged\r\n9.9.9.999:80\x1b[31m\r\n",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, raw[r.URL.Path])
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// threat 59: escapes and line breaks in what a list's server says, in the
// server's log, at its most talkative, as text and as JSON.
func TestThreat59TheServersLog(t *testing.T) {
	t.Parallel()
	url := hostileServer(t)
	for _, format := range []string{"text", "json"} {
		s := serve(t, fmt.Sprintf(`
sources: {builtin: false, list: [{name: status, url: %[1]q}, {name: header, url: %[2]q}, {name: encoding, url: %[3]q}, {name: redirect, url: %[4]q}, {name: phrase, url: %[5]q}, {name: list, url: %[6]q}]}
checker: {judges: ["http://127.0.0.1:9/"], own_ips: [127.0.0.1]}
gateway: {listen: GATEWAY}
log: {format: %[7]s, level: debug}`, url+"/status", url+"/header", url+"/encoding", url+"/redirect", url+"/phrase", url+"/list", format))
		failed := func() int { return strings.Count(s.out.String(), "source failed") }
		eventually(t, "every source is complained of", func() bool { return failed() >= 6 })
		if i := strings.IndexFunc(s.out.String(), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%s: the log holds a control character: %q", format, tail(s.out.String()[:i+1], 300))
		}
		for line := range strings.Lines(s.out.String()) {
			if !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, `{"time":`) && strings.Contains(line, "level") {
				t.Errorf("%s: a line of the log is forged: %q", format, line)
			}
		}
	}
}
