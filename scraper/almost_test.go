package scraper_test

import (
	"slices"
	"strings"
	"testing"

	"freeway/scraper"
)

// TestRefusedForAReason gives lists of one thing that is nearly an entry. Each
// must be refused once, with a reason that says what is wrong with it.
func TestRefusedForAReason(t *testing.T) {
	t.Parallel()
	const table = "<table><tr><th>IP</th><th>Port</th></tr>"
	ips := map[string]string{"row": "li", "host": "b"}
	for _, tt := range []struct {
		in, text, reason string
		html             map[string]string
	}{
		{in: "localhost:80", reason: "one label"},
		{in: "foo.local:81", reason: "no domain"},
		{in: "metadata.google.internal:80", reason: "no domain"},
		{in: "v1.20.3.4:80", reason: "neither"},
		{in: "8.8.8:80", reason: "neither"},
		{in: "0x08.8.8.8:80", reason: "neither"},
		{in: "[8.8.4.4]:80", reason: "brackets"},
		{in: "８.８.８.17：80", reason: "another alphabet"},
		{in: "1.2.3.4", reason: "no port"},
		{in: "[2001:4860:4860::8888]", reason: "no port"},
		{in: "168.63.129.16:80", reason: "not a public address"},
		{in: "~~1.1.1.1:1080~~", text: "1.1.1.1:1080", reason: "struck out"},
		{in: `"CONNECT 8.8.4.4:443 HTTP/1.1"`, text: "8.8.4.4:443", reason: "target of a request"},
		{in: "client=8.8.4.4:51234", text: "8.8.4.4:51234", reason: "something else"},
		{in: table + "<tr hidden><td>8.8.4.4</td><td>80</td></tr></table>", text: "8.8.4.4 80", reason: "does not show"},
		{in: "<ul><li><b>soon more</b></li></ul>", text: "soon more", reason: "selected", html: ips},
		{in: "<ul><li hidden><b>8.8.4.4:80</b></li></ul>", text: "8.8.4.4:80", reason: "does not show", html: ips},
	} {
		if tt.text == "" {
			tt.text = tt.in
		}
		var got []scraper.Rejection
		found(t, tt.in, scraper.ParseOptions{HTML: tt.html, Rejected: func(r scraper.Rejection) { got = append(got, r) }})
		if len(got) != 1 || got[0].Text != tt.text || !strings.Contains(got[0].Reason, tt.reason) {
			t.Errorf("Parse(%q) refuses %+v, want %q once for %q", tt.in, got, tt.text, tt.reason)
		}
	}
}

// TestProseIsNotRefused guards against a word for every line of a text.
func TestProseIsNotRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"# updated 2026", "Hello, world: 80 proxies.", "port: 80", "a:b", "12:30", "", "time:", "see www.example.com", "2026-01-02 10:20:30"} {
		found(t, in, scraper.ParseOptions{Rejected: func(r scraper.Rejection) { t.Errorf("Parse(%q) refuses %+v", in, r) }})
	}
}

// TestRefusedInArchives wants a word for what an archive holds and is not read.
func TestRefusedInArchives(t *testing.T) {
	t.Parallel()
	many := slices.Repeat([]string{"45.9.8.7:80"}, 1003)
	for name, tt := range map[string]struct {
		in, reason string
	}{
		"zip of many":    {zipped(t, many...), "more than 1000 files; 3 are not read"},
		"tar of many":    {tarred(t, many...), "more than 1000 files; 3 are not read"},
		"zip of picture": {zipped(t, "45.9.8.7:80", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR 1.1.1.1:80 "), "no text"},
		"tar of picture": {tarred(t, "45.9.8.7:80", "GIF89a\x01\x00\x01\x00 1.1.1.1:80 "), "no text"},
		"deep JSON":      {strings.Repeat("[", 80) + `"1.1.1.1:80"` + strings.Repeat("]", 80) + "\n45.9.8.7:80", "over 64 deep"},
	} {
		var got []scraper.Rejection
		all := found(t, tt.in, scraper.ParseOptions{Rejected: func(r scraper.Rejection) { got = append(got, r) }})
		if len(got) != 1 || !strings.Contains(got[0].Reason, tt.reason) || !slices.Equal(all, []string{"- 45.9.8.7:80"}) {
			t.Errorf("%s: Parse() = %q, refuses %+v, want one entry and %q", name, all, got, tt.reason)
		}
	}
}

// TestLoginsBehindBars tells logins from what else stands between bars.
func TestLoginsBehindBars(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"45.9.8.7:80|user12|pa-ss": "user12", "45.9.8.7:80|user|pass": "user", "45.9.8.7:80|US|elite": "", "45.9.8.7:80|Germany|Berlin": "", "45.9.8.7:80|120ms|99": "",
		"45.9.8.7:80|http|US": "", "45.9.8.7:80|germany|frankfurt": "", "45.9.8.7:80|yes|no": "",
	} {
		for c, err := range scraper.Parse(strings.NewReader(in), scraper.ParseOptions{}) {
			if err != nil || c.Endpoint.User != want {
				t.Errorf("Parse(%q) = user %q, error %v, want %q", in, c.Endpoint.User, err, want)
			}
		}
	}
}
