package scraper_test

import (
	"strings"
	"testing"

	"freeway/proxy"
	"freeway/scraper"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in      string
		country string
		grade   proxy.Anonymity
	}{
		"CSV":                 {"ip,port,country,anonymity\n45.9.8.7,80,DE,elite\n", "DE", proxy.Elite},
		"CSV, whole":          {"proxy,country_code,level\n45.9.8.7:80,uk,anonymous proxy\n", "GB", proxy.Anonymous},
		"aligned":             {"IP          Port  Country        Anonymity\n45.9.8.7    80    Saudi Arabia   high\n", "SA", proxy.Elite},
		"markdown":            {"| IP | Port | Country |\n|---|---|---|\n| 45.9.8.7 | 80 | Viet Nam |\n", "VN", 0},
		"HTML":                {"<table><tr><th>IP</th><th>Port</th><th>Code</th><th>Anonymity</th></tr><tr><td>45.9.8.7</td><td>80</td><td>FR</td><td>transparent</td></tr></table>", "FR", proxy.Transparent},
		"Chinese":             {"IP,端口,国家,匿名度\n45.9.8.7,80,CN,高匿名\n", "CN", proxy.Elite},
		"JSON":                {`[{"ip":"45.9.8.7","port":80,"country":"United States","anonymityLevel":"elite"}]`, "US", proxy.Elite},
		"JSON, whole":         {`[{"proxy":"45.9.8.7:80","countryCode":"br","anonymity":"anm"}]`, "BR", proxy.Anonymous},
		"JSON, object":        {`[{"ip":"45.9.8.7","port":80,"geo":{"country":{"code":"PL","name":"Poland"}}}]`, "PL", 0},
		"JSON, behind":        {`[{"proxy":{"ip":"45.9.8.7","port":80},"type":"http","country":"SE"}]`, "SE", 0},
		"XML":                 {`<list><proxy ip="45.9.8.7" port="80" country="JP" anonymity="HIA"/></list>`, "JP", proxy.Elite},
		"YAML":                {"- ip: 45.9.8.7\n  port: 80\n  country: KR\n  anonymity: Transparent\n", "KR", proxy.Transparent},
		"of the exit":         {`[{"ip":"45.9.8.7","port":80,"exit":{"country":"US"}}]`, "", 0},
		"no country":          {"ip,port,country,anonymity\n45.9.8.7,80,ZZ,3\n", "", 0},
		"a part of a name":    {"ip,port,country\n45.9.8.7,80,saudi\n", "", 0},
		"a column of another": {"ip,port,org\n45.9.8.7,80,US\n", "", 0},
	} {
		for c, err := range scraper.Parse(strings.NewReader(tt.in), scraper.ParseOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if want := (proxy.Traits{Country: tt.country, Anonymity: tt.grade}); c.Claims != want {
				t.Errorf("%s: Parse(%q) claims %+v, want %+v", name, tt.in, c.Claims, want)
			}
		}
		if n := len(found(t, tt.in, scraper.ParseOptions{})); n != 1 {
			t.Errorf("%s: Parse(%q) gives %d entries, want 1", name, tt.in, n)
		}
	}
}

// TestEntriesNamedBefore are not given again when a page repeats them without
// their protocol.
func TestEntriesNamedBefore(t *testing.T) {
	t.Parallel()
	page := "<table><tr><th>IP</th><th>Port</th><th>Https</th></tr><tr><td>45.9.8.7</td><td>80</td><td>yes</td></tr></table><textarea>45.9.8.7:80\n45.9.8.6:81</textarea>"
	for name, tt := range map[string]struct {
		in   string
		o    scraper.ParseOptions
		want string
	}{
		"a page":               {page, scraper.ParseOptions{}, "https 45.9.8.7:80; - 45.9.8.6:81"},
		"a page with defaults": {page, scraper.ParseOptions{Protocols: []proxy.Protocol{proxy.HTTP}}, "https 45.9.8.7:80; http 45.9.8.6:81"},
		"lines":                {"socks5://45.9.8.7:80\n45.9.8.7:80\n[2606:4700::1]:80\nsocks4://[2606:4700::1]:80", scraper.ParseOptions{}, "socks5 45.9.8.7:80; - [2606:4700::1]:80; socks4 [2606:4700::1]:80"},
		"lines with a default": {"socks5://45.9.8.7:80\n45.9.8.7:80\n", scraper.ParseOptions{Protocols: []proxy.Protocol{proxy.HTTP}}, "socks5 45.9.8.7:80; http 45.9.8.7:80"},
	} {
		if got := strings.Join(found(t, tt.in, tt.o), "; "); got != tt.want {
			t.Errorf("%s: Parse(%q) = %q, want %q", name, tt.in, got, tt.want)
		}
	}
}
