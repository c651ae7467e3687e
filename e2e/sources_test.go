package e2e_test

import (
	"bytes"
	"encoding/csv"
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
