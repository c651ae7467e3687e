package scraper_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"freeway/proxy"
	"freeway/scraper"
)

func TestHTMLRows(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{As: "html"}, []parseCase{
		{"head decides", "<table><tr><th>ASN<th>Port<th>IP</tr><tr><td>13335<td>80<td>45.9.8.7</tr></table>", "- 45.9.8.7:80"},
		{"head of one table only", "<table><tr><th>Port<th>IP</tr></table><table><tr><td>45.9.8.7<td>80</tr></table>", "- 45.9.8.7:80"},
		{"no head", "<table><tr><td>45.9.8.7</td><td>80</td><td>443</td></tr></table>", "- 45.9.8.7:80"},
		{"port not beside it", "<table><tr><td>45.9.8.7</td><td>US</td><td>80</td></tr></table>", ""},
		{"port not a number", "<table><tr><td>45.9.8.7</td><td>80 ms</td></tr></table>", ""},
		{"port in the next row", "<table><tr><td>45.9.8.7</td></tr><tr><td>80</td></tr></table>", ""},
		{"no table at all", "<td>45.9.8.7</td><td>80</td>", "- 45.9.8.7:80"},
		{"upper case", "<TABLE><TR><TD>45.9.8.7</TD><TD>80</TD></TR></TABLE>", "- 45.9.8.7:80"},
		{"nested tables", "<table><tr><td>menu</td><td><table><tr><td>45.9.8.7</td><td>80</td></tr></table></td></tr></table>", "- 45.9.8.7:80"},
		{"layout", "<table><tr><td><p>45.9.8.7:80</p><p>45.9.8.6:81</p></td></tr></table>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"protocols", "<tr><td>45.9.8.7<td>80<td>SOCKS4, SOCKS5</tr>", "socks4 45.9.8.7:80; socks5 45.9.8.7:80"},
		{"protocol and more", "<tr><td>45.9.8.7<td>80<td>HTTP (Squid)</tr>", "http 45.9.8.7:80"},
		{"not a protocol", "<tr><td>45.9.8.7<td>80<td>Https Hosting Ltd</tr>", "- 45.9.8.7:80"},
		{"another protocol", "<tr><td>45.9.8.7<td>80<td>VLESS</tr>", ""},
		{"labelled cells", "<tr><td data-label='Port'>80</td><td>x</td><td data-label='IP'>45.9.8.7</td></tr>", "- 45.9.8.7:80"},
		{"login", "<table><tr><th>IP<th>Port<th>User<th>Password</tr><tr><td>45.9.8.7<td>80<td>u<td>p</tr></table>", "- 45.9.8.7:80 u:p"},
		{"names under a head", "<table><tr><th>Host<th>Port</tr><tr><td>a.example.com<td>80</tr></table>", "- a.example.com:80"},
		{"no names without one", "<tr><td>a.example.com<td>80</tr>", ""},
		{"a colon with either", "<tr><td>45.9.8.7:<td>80</tr><tr><td>45.9.8.6<td>:81</tr>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"entities", "<tr><td>45&#46;9.8.7<td>&#56;&#48;</tr>", "- 45.9.8.7:80"},
		{"a row that cannot be read is no heading", "<tr><td data-ip='zzz'><td>80<td>SOCKS5</tr><tr><td>45.9.8.7<td>80</tr>", "- 45.9.8.7:80"},
		{"a heading of its own", "<tr><td>SOCKS5 proxies</tr><tr><td>45.9.8.7<td>80</tr>", "socks5 45.9.8.7:80"},
		{"comment between", "<tr><td>45.9<!-- 1.1 -->.8.7<td>80</tr>", "- 45.9.8.7:80"},
	})
}

func TestHTMLText(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{As: "html"}, []parseCase{
		{"lines", "<p>45.9.8.7:80<br>45.9.8.6:81</p>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"never across a break", "<p>45.9.8.7:<br>80</p><p>45.9.8.6\n81</p>", ""},
		{"items are cells", "<ul><li>45.9.8.7<li>80<li>SOCKS5</ul>", "socks5 45.9.8.7:80"},
		{"items are rows", "<ul><li>45.9.8.7:80<li>45.9.8.6:81</ul>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"protocol of the last only", "<ul><li>45.9.8.7:80</li></ul><ul><li>HTTP</li></ul>", "- 45.9.8.7:80"},
		{"heading", "<h2>SOCKS4</h2><p>45.9.8.7:80</p><h2>More</h2><p>45.9.8.6:81</p>", "socks4 45.9.8.7:80; - 45.9.8.6:81"},
		{"textarea", "<textarea>45.9.8.7:80\n45.9.8.6:81</textarea>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"not in attributes", "<p title='45.9.8.7:80'><a href='http://45.9.8.6:81'>x</a><img src='//45.9.8.5:82'>", ""},
		{"not in comments, styles, noscript, template", "<!-- 45.9.8.7:80 --><style>45.9.8.6:81</style><noscript>45.9.8.5:82</noscript><template>45.9.8.4:83</template><title>45.9.8.3:84</title>", ""},
		{"copy button", "<button data-clipboard-text='socks5://45.9.8.7:80'>copy</button>", "socks5 45.9.8.7:80"},
		{"option", "<select><option value='45.9.8.7:80'>x</select>", "- 45.9.8.7:80"},
		{"hidden", "<p style='display : none'>45.9.8.7:80</p><div hidden>45.9.8.6:81</div><style>.q,p .r{visibility:hidden}</style><p class='r'>45.9.8.5:82</p><p class='s q'>45.9.8.4:83</p><p>45.9.8.3:84</p>", "- 45.9.8.3:84"},
		{"hidden ends with its element", "<div style='display:none'><b>45.9.8.7:80</b><p>x</div>45.9.8.6:81", "- 45.9.8.6:81"},
	})
}

func TestHTMLScripts(t *testing.T) {
	t.Parallel()
	cell := func(script string) string {
		return "<table><tr><td><script>" + script + "</script></td><td>80</td></tr></table>"
	}
	port := func(script string) string {
		return "<table><tr><td>45.9.8.7<script>" + script + "</script></td><td>SOCKS5</td></tr></table>"
	}
	runCases(t, scraper.ParseOptions{As: "html"}, []parseCase{
		{"plain", cell(`document.write("45.9.8.7")`), "- 45.9.8.7:80"},
		{"writeln", cell(`document.writeln('45.9' + ".8.7");`), "- 45.9.8.7:80"},
		{"methods", cell(`document.write("x45.9".substr(1).concat(".8", ".7").replace("4","4").trim())`), "- 45.9.8.7:80"},
		{"slices", cell(`document.write("0045.9.8.7".slice(2, -2) + ".7".charAt(0) + "7777".substring(1,0))`), "- 45.9.8.7:80"},
		{"numbers", cell(`document.write((9*5)+"."+(18/2)+"."+(1<<3)+"."+(0xf&7))`), "- 45.9.8.7:80"},
		{"variables", cell(`var a=45,b="9";let c=[8,7];document.write(a+"."+b+"."+c[0]+"."+c[1])`), "- 45.9.8.7:80"},
		{"arrays", cell(`document.write(["7","8","9","45"].reverse().join("."))`), "- 45.9.8.7:80"},
		{"map", cell(`document.write([44,8,7,6].map(function(n){return n+1}).join("."))`), "- 45.9.8.7:80"},
		{"codes", cell(`document.write(String.fromCharCode(52,53)+unescape("%2e9.8.7"))`), "- 45.9.8.7:80"},
		{"tags in it", cell(`document.write("<b>45.9.8.7</b>")`), "- 45.9.8.7:80"},
		{"port", port(`document.write(":"+(7^1)+""+(9-1*1-8))`), "socks5 45.9.8.7:60"},
		{"unknown variable", port(`document.write(":"+a1+(8^0))`), ""},
		{"unknown function", port(`document.write(":"+f("80"))`), ""},
		{"condition", port(`if (x) document.write(":80")`), ""},
		{"division by zero", port(`document.write(":"+8/0)`), ""},
		{"not closed", port(`document.write(":80"`), ""},
		{"advertising", "<tr><td>45.9.8.7<script>(ads = window.ads || []).push({});</script></td><td>80</td></tr>", "- 45.9.8.7:80"},
		{"own function", "<script>Proxy('" + b64("45.9.8.7:80") + "')</script>", "- 45.9.8.7:80"},
		{"own function with nothing", "<p>45.9.8.7<script>Proxy('x')</script>:80</p>", ""},
		{"classes, script", "<table><tr><td>45.9.8.7</td><td class='a1'></td></tr></table><script>$('.a1').text('80')</script>", "- 45.9.8.7:80"},
		{"classes, variable port", "<table><tr><td>45.9.8.7</td><td class='a1'></td></tr></table><script>$('.a1').text(p)</script>", ""},
	})
}

func TestHTMLData(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{As: "html"}, []parseCase{
		{"json", `<script type="application/json">{"a":[{"ip":"45.9.8.7","port":80}]}</script>`, "- 45.9.8.7:80"},
		{"literal", `<script>var a = {list: [{ip: '45.9.8.7', port: 80, type: "socks5"}]};</script>`, "socks5 45.9.8.7:80"},
		{"json in a string", `<script>x = JSON.parse("[{\"ip\":\"45.9.8.7\",\"port\":\"80\"}]")</script>`, "- 45.9.8.7:80"},
		{"plain strings are not data", `<script>var api = "45.9.8.7:80"; var s = ["45.9.8.6"];</script>`, ""},
		{"unbalanced", "<script>if (a < b) { x = \"</div>'; }\nvar l = [{\"ip\":\"45.9.8.7\",\"port\":80}];</script>", "- 45.9.8.7:80"},
	})
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	page := `<div class=p><span class=h>45.9.8.7</span><i>9</i><b>80</b><u>SOCKS5</u></div><div class=p><span class=h>45.9.8.6</span><b>n/a</b></div>
		<div class="p decoy"><span class=h>45.9.8.5</span><b>80</b></div><div class=p style="display:none"><span class=h>45.9.8.4</span><b>80</b></div>
		<div class=q data-x="` + b64(reversed("45.9.8.3:81")) + `"><b>http</b></div><div class=q data-x="zzz"><b>http</b></div>
		<p class=r>45.9.8.2<script>document.write(":8"+(5-3))</script></p><p class=r>45.9.8.2<script>document.write(x)</script></p>`
	for _, tt := range []struct {
		name string
		sel  map[string]string
		want string
	}{
		{"parts", map[string]string{"row": "div.p", "host": ".h", "port": "b", "protocol": "u"}, "socks5 45.9.8.7:80"},
		{"attribute and decoders", map[string]string{"row": "div.q", "host": "@data-x | base64 | reverse", "protocol": "b"}, "http 45.9.8.3:81"},
		{"script", map[string]string{"row": "p.r", "host": ""}, "- 45.9.8.2:82"},
		{"no such rows", map[string]string{"row": "div.none", "host": ".h", "port": "b"}, ""},
		{"no such cells", map[string]string{"row": "div.p", "host": ".none", "port": "b"}, ""},
		{"default row", map[string]string{"host": "td", "port": "td + td"}, ""},
	} {
		if got := strings.Join(found(t, page, scraper.ParseOptions{As: "html", HTML: tt.sel}), "; "); got != tt.want {
			t.Errorf("%s: Parse with %v = %q, want %q", tt.name, tt.sel, got, tt.want)
		}
	}
}

var manyAttributes = func() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "a%d ", i)
	}
	return b.String()
}()

func TestPagesTooDeepForSelectorsAreReadWithout(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{"deep": strings.Repeat("<div>", 2000), "attributes": "<p " + manyAttributes + ">"} {
		refused := 0
		o := scraper.ParseOptions{As: "html", HTML: map[string]string{"row": "tr", "host": "td"}, Rejected: func(scraper.Rejection) { refused++ }}
		got := found(t, start+"<table><tr><td>45.9.8.7</td><td>80</td></tr></table>", o)
		if !slices.Equal(got, []string{"- 45.9.8.7:80"}) || refused != 1 {
			t.Errorf("%s: %q with %d rejections, want the entry and 1", name, got, refused)
		}
	}
}

func TestPagesOver8MiBAreCut(t *testing.T) {
	t.Parallel()
	refused := ""
	o := scraper.ParseOptions{Rejected: func(r scraper.Rejection) { refused += r.Reason }}
	in := "<html><p>45.9.8.7:80</p>" + "<p>" + strings.Repeat("nothing ", 1<<20) + "</p>" + "<p>45.9.8.6:81</p>"
	if got := found(t, in, o); !slices.Equal(got, []string{"- 45.9.8.7:80"}) || !strings.Contains(refused, "8 MiB") {
		t.Errorf("Parse = %q, refused %q, want the first entry and a word about 8 MiB", got, refused)
	}
}

// hostile makes about n bytes of each kind of input that is made to cost time.
func hostile(n int) map[string]string {
	rep := func(s string) string { return strings.Repeat(s, n/len(s)) }
	return map[string]string{
		"attributes": "<a " + rep("aaaaa=1 ") + ">", "nested": "<html>" + rep("<div>"), "formatting": "<html>" + rep("<b><i>"), "tables": "<html>" + rep("<table><tr><td>"),
		"select": "<html>" + rep("<select><option>"), "svg": "<html>" + rep("<svg><g>"), "comments": "<html>" + rep("<!-- x"), "end tags": "<html>" + strings.Repeat("<p>", 300) + rep("</x>"),
		"scripts": "<html>" + rep("<script>document.write('a'.repeat(99))</script>"), "growing": "<html><script>" + rep("a=a+a;") + "</script>", "parentheses": "<html><script>document.write(" + rep("(") + "</script>",
		"styles": "<html>" + rep("<style>.a{display:none}</style>"), "media": "<html><style>" + rep("@media{") + "</style>", "less than": "<html>" + rep("<"), "data": "<html>" + rep("<p data-x=MTIzNDU2Nzg5MDEyMzQ1>"),
		"script data": "<html><script>x=" + rep(`{"a":`) + "</script>", "strings in data": "<html><script>x=[" + rep(`"[{\"a\":1}]",`) + "</script>",
		"cdata": "<?xml version='1.0'?>" + rep("<![CDATA[x"), "xml nested": "<?xml version='1.0'?>" + rep("<aa>"), "xml attributes": "<?xml version='1.0'?><a " + rep("b='c' "),
		"json nested": rep("["), "json objects": rep(`{"a":`), "json string": `["` + rep("a"), "json escapes": `["` + rep(`\u00e9`), "json cells": "[" + rep("1,"),
		"yaml nested": "a:\n - x: 1\n" + rep("- - - "), "yaml flow": "a:\n - " + rep("["), "yaml anchors": "a:\n" + rep(" - &a x\n"), "yaml mapping": "a:\n" + rep(" b: 1\n"), "yaml questions": "a:\n - " + rep("? "),
		"addresses": rep("1.2.3.4:80a"), "digits": rep("1"), "colons": rep("a:"), "ats": rep("a@"), "dots": rep("1."), "brackets": rep("[::"), "schemes": rep("x://"), "bars": rep("|a"), "rows": rep("|a|b|c\n"),
		"quotes": "ip,port\n" + rep(`"a`), "words": rep("http https socks4 "), "returns": rep("a\r"), "bytes": rep("\x00\xff\xfe\x80"), "base64": rep("QUJD"), "gbk": rep("\xb5\xd8"),
	}
}

func TestHostileInputsCostLittle(t *testing.T) {
	t.Parallel()
	for name, in := range hostile(64 << 10) {
		for _, o := range []scraper.ParseOptions{{}, {As: "html", HTML: map[string]string{"row": "div, b, td", "host": "b", "port": "i"}}} {
			start := time.Now()
			got := found(t, in, o)
			if took := time.Since(start); took > 10*time.Second || len(got) > 0 {
				t.Errorf("%s as %q: %d entries in %v, want none in much less than 1s", name, o.As, len(got), took)
			}
		}
	}
}

func ExampleParse() {
	list := "# updated today\n45.9.8.7:8080\nsocks5://user:secret@45.9.8.6:1080\n10.0.0.1:3128\n"
	o := scraper.ParseOptions{
		Protocols: []proxy.Protocol{proxy.HTTP},
		Rejected:  func(r scraper.Rejection) { fmt.Printf("refused %q: %s\n", r.Text, r.Reason) },
	}
	for c, err := range scraper.Parse(strings.NewReader(list), o) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v [%v]\n", c.Endpoint, c.Password)
	}
	// Output:
	// http://45.9.8.7:8080 []
	// socks5://user@45.9.8.6:1080 [***]
	// refused "10.0.0.1:3128": not a public address
}
