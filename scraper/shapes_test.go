package scraper_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"freeway/scraper"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// shapes has, for each kind of entry in the catalogue, a list of our own that
// is written in the same way, and what it holds.
var shapes = []struct{ source, text, want string }{
	{"databay-labs-socks5", "8.8.8.8:1080\r\n9.9.9.9:4145\r\n", "socks5://8.8.8.8:1080 socks5://9.9.9.9:4145"},
	{"monosans", "http://8.8.8.8:80\nsocks4://9.9.9.9:4145\nsocks5://1.0.0.1:1080\n", "http://8.8.8.8:80 socks4://9.9.9.9:4145 socks5://1.0.0.1:1080"},
	{"ebrasha-http", "# updated today\n# by somebody\n8.8.8.8:80\n", "http://8.8.8.8:80"},
	{"zloi-user-connect", "8.8.8.8:443:United States\n9.9.9.9:8443:Sri Lanka\n", "http://8.8.8.8:443 http://9.9.9.9:8443"},
	{"yuceltoluyag", "\n8.8.8.8:1080|socks5\n9.9.9.9:80|http\n", "socks5://8.8.8.8:1080 http://9.9.9.9:80"},
	{"spys-me-http", "Proxy list, updated now\nSupport us: bitcoin 1BoatSLRHtKNngkdXEeobR76b53LETtpyT\n\nIP address:Port CountryCode-Anonymity\n\n8.8.8.8:3128 US-H! - \n9.9.9.9:8080 DE-N-S + \n\nfooter\n", "http://8.8.8.8:3128 http://9.9.9.9:8080"},
	{"roosterkid-notes-socks5", "a free list\n🇺🇸 8.8.8.8:1080 234ms US [Some ISP, Inc]\n", "socks5://8.8.8.8:1080"},
	{"lonekingcode", "vmess://eyJhZGQiOiI4LjguOC44In0=\nss://YWVz@8.8.8.8:8388#x\nhttp://9.9.9.9:80\ntg://proxy?server=1.0.0.1&port=443\n", "http://9.9.9.9:80"},
	{"6kmfi6hp", "8.8.8.8 443\n9.9.9.9 2053\n", "http?://8.8.8.8:443 http?://9.9.9.9:2053"},
	{"vakhov", "host;ip;port;lastseen;delay;cid;country_code;country_name;city;checks_up;checks_down;anon;http;ssl;socks4;socks5\n8.8.8.8;8.8.8.8;3128;1;200;1;US;United States;;5;1;4;1;1;0;0\n9.9.9.9;9.9.9.9;1080;1;200;1;US;United States;;5;1;4;0;0;0;1\n", "http://8.8.8.8:3128 https://8.8.8.8:3128 socks5://9.9.9.9:1080"},
	{"proxifly", `[{"proxy":"http://8.8.8.8:80","protocol":"http","ip":"8.8.8.8","port":80,"https":false,"anonymity":"elite","geolocation":{"country":"US"}}]`, "http://8.8.8.8:80"},
	{"parserpp", `{"type":"socks5","host":"8.8.8.8","port":1080,"export_address":["9.9.9.9:80"]}` + "\n" + `{"type":"http","host":"9.9.9.9","port":80,"export_address":[]}` + "\n", "socks5://8.8.8.8:1080 http://9.9.9.9:80"},
	{"mauricegift-http", `{"proxies":["8.8.8.8:80","9.9.9.9:3128"]}`, "http://8.8.8.8:80 http://9.9.9.9:3128"},
	{"proxyscrape", `{"shown_records":1,"proxies":[{"alive":true,"protocol":"socks4","ip":"8.8.8.8","port":4145,"proxy":"socks4://8.8.8.8:4145","ip_data":{"countryCode":"US"}}]}`, "socks4://8.8.8.8:4145"},
	{"geonode", `{"data":[{"ip":"8.8.8.8","port":"1080","protocols":["socks4","socks5"],"anonymityLevel":"elite","asn":"AS15169"}],"total":1,"page":1,"limit":500}`, "socks4://8.8.8.8:1080 socks5://8.8.8.8:1080"},
	{"proxylister", `{"results":[{"ip_address":"8.8.8.8","port":80,"protocols":["http"],"location":{"country_code":"US"},"metrics":{"latency_ms":5}}]}`, "http://8.8.8.8:80"},
	{"freeproxydb", `{"data":{"data":[{"ip":"8.8.8.8","port":1080,"site_protocol":"socks5","speed":1}]}}`, "socks5://8.8.8.8:1080"},
	{"proxiware", `{"proxies":[{"protocol":"http","addr":"8.8.8.8","port":80,"speed_ms":3}]}`, "http://8.8.8.8:80"},
	{"jetkai-json", `{"http":["8.8.8.8:80"],"https":[],"socks4":["9.9.9.9:4145"],"socks5":[]}`, "http://8.8.8.8:80 socks4://9.9.9.9:4145"},
	{"docip", `{"data":[{"ip":"8.8.8.8:80","proxy_type":"1","rate":99}]}`, "http://8.8.8.8:80"},
	{"free-proxy-list", table("IP Address,Port,Code,Country,Anonymity,Google,Https,Last Checked", "8.8.8.8,3128,US,United States,elite proxy,no,no,1 min ago"), "http://8.8.8.8:3128"},
	{"fpl-socks", table("IP Address,Port,Code,Country,Version,Anonymity,Https,Last Checked", "8.8.8.8,1080,US,United States,Socks5,Anonymous,Yes,1 min ago"), "socks5://8.8.8.8:1080"},
	{"proxylistplus-http", "<table><tr class='cells'><td><img src=x></td><td>8.8.8.8</td><td>80</td><td>anonymous</td><td>US</td></tr></table>", "http://8.8.8.8:80"},
	{"proxydb", "<table class='table-sm'><tbody><tr><td><a href='/8.8.8.8/80#http'>8.8.8.8</a></td><td><div style='display:none'>999</div><a href='/8.8.8.8/80#http'>80</a></td><td>SOCKS5</td></tr></tbody></table>", "socks5://8.8.8.8:80"},
	{"goodips", "<div class='table-list'><ul><li>8.8.8.8</li><li>80</li><li>US</li></ul></div>", "http://8.8.8.8:80"},
	{"qiyunip", "<table id='proxyTable'><tbody><tr><th>8.8.8.8</th><th>80</th><th>HTTP</th></tr></tbody></table>", "http://8.8.8.8:80"},
	{"taiyang", "<div class='tr ip_tr'><div class='td'>8.8.8.8</div><div class='td'>80</div></div>", "http://8.8.8.8:80"},
	{"lunaproxy", "<div class='list'><div><div class='td'>8.8.8.8</div><div class='td'>80</div></div></div>", "http://8.8.8.8:80"},
	{"my-proxy", "<div class='list'>8.8.8.8:80#US<br>9.9.9.9:3128#DE<br></div>", "http://8.8.8.8:80 http://9.9.9.9:3128"},
	{"kuaidaili-inha", `<script>const fpsList = [{"ip": "8.8.8.8", "last_check_time": "2026-01-01", "port": "80", "speed": 1}];</script>`, "http://8.8.8.8:80"},
	{"fineproxy", `<script id="fpb-data" type="application/json">[{"ip":"8.8.8.8","port":1080,"protos":["socks5"],"anon":"elite"}]</script>`, "socks5://8.8.8.8:1080"},
	{"trustytech", `{"content":[{"protocol":"SOCKS5","ip":"8.8.8.8","port":1080,"anonymity":"ELITE","countryIsoCode":"US","delayMS":90}],"totalPages":9}`, "socks5://8.8.8.8:1080"},
	{"sockslist-us", table("Ip,Port,Type,Level,Country", "8.8.8.8,4145,SOCKS4,High,US"), "socks4://8.8.8.8:4145"},
	{"advanced-name", "<table id='table_proxies'><tbody><tr><td>1</td><td data-ip='" + b64("8.8.8.8") + "'></td><td data-port='" + b64("1080") + "'></td><td><a>socks5</a></td></tr></tbody></table>", "socks5://8.8.8.8:1080"},
	{"proxyverity", "<table><tbody><tr class='pv-decoy'><td><b data-p='" + b64(reversed("9.9.9.9:80")) + "'></b></td><td>HTTP</td></tr><tr><td><b data-p='" + b64(reversed("8.8.8.8:80")) + "'></b></td><td>HTTP</td></tr></tbody></table>", "http://8.8.8.8:80"},
}

// table writes an HTML table out of lines of cells.
func table(lines ...string) string {
	var b strings.Builder
	b.WriteString("<html><body><table>")
	for i, line := range lines {
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		b.WriteString("<tr>")
		for text := range strings.SplitSeq(line, ",") {
			b.WriteString("<" + cell + ">" + text + "</" + cell + ">")
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</table></body></html>")
	return b.String()
}

func TestShapesOfTheCatalogue(t *testing.T) {
	t.Parallel()
	r := open(t, scraper.Config{}, scraper.Sources{Builtin: scraper.Builtin{All: true}})
	for _, c := range shapes {
		src, ok := r.Lookup(c.source)
		if !ok {
			t.Errorf("%s is not in the catalogue", c.source)
			continue
		}
		var got []string
		for cand, err := range scraper.Parse(strings.NewReader(c.text), src.Options()) {
			if err != nil {
				t.Errorf("%s: %v", c.source, err)
			}
			text := cand.Endpoint.String()
			if cand.Guess {
				text = strings.Replace(text, "://", "?://", 1)
			}
			got = append(got, text)
		}
		slices.Sort(got)
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: Parse() = %v, want %v", c.source, got, want)
		}
	}
}
