package scraper_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"freeway/proxy"
	"freeway/scraper"
)

func TestFormatsAreFoundOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"", "text"}, {"45.9.8.7:80\n", "text"}, {"[2606:4700::1]:80\n", "text"}, {"<socks5://45.9.8.7:80>\n", "text"}, {"404: Not Found", "text"}, {"[INFO] 45.9.8.7:80", "text"},
		{`{"a":1}`, "json"}, {`["45.9.8.7:80"]`, "json"}, {"  \n[\n{", "json"}, {`cb({"a":1})`, "json"}, {"const x = [{", "json"}, {"{ip: 1}", "json"},
		{"<!DOCTYPE html><html>", "html"}, {"<tr><td>1</td></tr>", "html"}, {"45.9.8.7:80<br>45.9.8.6:80", "html"}, {"<!-- x --><div>", "html"}, {"\ufeff <HTML>", "html"},
		{"<?xml version='1.0'?><a/>", "xml"}, {"<proxies><p/></proxies>", "xml"}, {"<?xml version='1.0'?><html xmlns='x'>", "html"},
		{"a:\n- b\n", "yaml"}, {"# c\n---\nproxies:\n  - {name: x}\n", "yaml"}, {"port: 1\nproxies:\n  - a\n", "yaml"}, {"- name: x\n  port: 1\n", "yaml"}, {"HTTP:\n45.9.8.7:80\n", "text"}, {"- 45.9.8.7:80\n", "text"},
		{"| a | b |\n|---|---|\n", "markdown"}, {"# x\n\n| 45.9.8.7 | 80 |\n", "markdown"}, {"<p align=center>x</p>\n\n| a | b |\n|---|---|\n", "markdown"},
		{"ip,port\n", "csv"}, {"\"IP\";\"Port\"\n", "csv"},
	} {
		got := ""
		found(t, tt.in, scraper.ParseOptions{Stats: func(s scraper.ParseStats) { got = s.Format }})
		if got != tt.want {
			t.Errorf("Parse(%q) reads it as %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestTheFormatCanBeGiven(t *testing.T) {
	t.Parallel()
	in := "ip,port\n45.9.8.7,80\n"
	for as, want := range map[string]string{"auto": "- 45.9.8.7:80", "csv": "- 45.9.8.7:80", "text": "- 45.9.8.7:80", "yaml": "- 45.9.8.7:80", "html": "- 45.9.8.7:80", "xml": ""} {
		if got := strings.Join(found(t, in, scraper.ParseOptions{As: as}), "; "); got != want {
			t.Errorf("Parse(%q) as %s = %q, want %q", in, as, got, want)
		}
	}
}

// TestEveryFormatReadsInPieces cuts the input into single bytes.
func TestEveryFormatReadsInPieces(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"45.9.8.7:80\nsocks5://45.9.8.6:81\n", `{"a":[{"ip":"45.9.8.7","port":80},"45.9.8.6:\u0038\u0031"]}`, "a:\n- 45.9.8.7:80\n- {ip: 45.9.8.6, port: 81}\n",
		"<table><tr><td>45.9.8.7</td><td>80</td></tr></table>", "<list><p ip='45.9.8.7' port='80'/></list>", "| 45.9.8.7 | 80 |\n", "ip;port\n45.9.8.7;80\n",
	} {
		var got []string
		for c, err := range scraper.Parse(iotest.OneByteReader(strings.NewReader(in)), scraper.ParseOptions{}) {
			if err != nil {
				t.Errorf("Parse(%q): %v", in, err)
			}
			got = append(got, describe(c))
		}
		if want := found(t, in, scraper.ParseOptions{}); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("Parse(%q) byte by byte = %q, at once %q", in, got, want)
		}
	}
}

func TestCharsets(t *testing.T) {
	t.Parallel()
	list := "代理 高匿 45.9.8.7:80\n45.9.8.6：8080\n"
	page := `<html><head><meta charset="%s"></head><body>` + strings.ReplaceAll(list, "\n", "<br>") + "</body></html>"
	must := func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	u16 := func(e unicode.Endianness, bom unicode.BOMPolicy, s string) string {
		return must(unicode.UTF16(e, bom).NewEncoder().String(s))
	}
	ascii := "45.9.8.7:80\n45.9.8.6:8080\n"
	for _, tt := range []struct{ name, in, kind, want string }{
		{"utf-8", list, "", ""},
		{"utf-8 with a mark", "\ufeff" + list, "", ""},
		{"utf-16le with a mark", u16(unicode.LittleEndian, unicode.UseBOM, list), "", "utf-16le"},
		{"utf-16be with a mark", u16(unicode.BigEndian, unicode.UseBOM, list), "", "utf-16be"},
		{"utf-16le", u16(unicode.LittleEndian, unicode.IgnoreBOM, ascii), "", "utf-16le"},
		{"utf-16be", u16(unicode.BigEndian, unicode.IgnoreBOM, ascii), "", "utf-16be"},
		{"gbk, nothing said", must(simplifiedchinese.GBK.NewEncoder().String(list)), "", "gb18030"},
		{"gbk by header", must(simplifiedchinese.GBK.NewEncoder().String(list)), "text/plain; charset=gbk", "gbk"},
		{"gb2312 page", must(simplifiedchinese.GBK.NewEncoder().String(fmt.Sprintf(page, "gb2312"))), "", "gbk"},
		{"gb18030 page", must(simplifiedchinese.GB18030.NewEncoder().String(fmt.Sprintf(page, "gb18030"))), "", "gb18030"},
		{"shift_jis by header", must(japanese.ShiftJIS.NewEncoder().String("一覧 " + strings.ReplaceAll(list, "代理 高匿 ", ""))), "text/plain; charset=shift_jis", "shift_jis"},
		{"latin 1", must(charmap.ISO8859_1.NewEncoder().String("Liste für é\n" + ascii)), "", ""},
		{"a wrong header", list, "text/plain; charset=gbk", ""},
		{"an unknown header", list, "text/plain; charset=none", ""},
	} {
		var stats scraper.ParseStats
		got := found(t, tt.in, scraper.ParseOptions{ContentType: tt.kind, Stats: func(s scraper.ParseStats) { stats = s }})
		if want := []string{"- 45.9.8.7:80", "- 45.9.8.6:8080"}; !slices.Equal(got, want) || stats.Charset != tt.want {
			t.Errorf("%s: %q from charset %q, want %q from %q", tt.name, got, stats.Charset, want, tt.want)
		}
	}
}

func zipped(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, f := range files {
		w, err := z.Create(fmt.Sprintf("dir/%d.txt", i))
		if err == nil {
			_, err = io.WriteString(w, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarred(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, f := range files {
		err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i), Size: int64(len(f)), Mode: 0o600})
		if err == nil {
			_, err = io.WriteString(w, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPackedLists(t *testing.T) {
	t.Parallel()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	list, more := "45.9.8.7:80\n", `[{"ip":"45.9.8.6","port":81}]`
	one, two := "- 45.9.8.7:80", "- 45.9.8.7:80; - 45.9.8.6:81"
	for _, tt := range []struct{ name, in, packed, want string }{
		{"gzip", gzipped(t, list), "gzip", one},
		{"zstd", string(enc.EncodeAll([]byte(list), nil)), "zstd", one},
		{"zip", zipped(t, list, more, "nothing"), "zip", two},
		{"tar", tarred(t, list, more), "tar", two},
		{"tar in gzip", gzipped(t, tarred(t, list, more)), "gzip", two},
		{"zip in zip", zipped(t, zipped(t, list)), "zip", one},
		{"base64", b64("socks5://45.9.8.7:80\nhttp://45.9.8.6:81\n"), "base64", "socks5 45.9.8.7:80; http 45.9.8.6:81"},
		{"base64 without padding", strings.TrimRight(b64("http://45.9.8.7:80\r\n1"), "="), "base64", "http 45.9.8.7:80"},
		{"gzip of UTF-16", gzipped(t, "\xff\xfe4\x005\x00.\x009\x00.\x008\x00.\x007\x00:\x008\x000\x00"), "gzip", one},
		{"gzip of a page", gzipped(t, "<table><tr><td>45.9.8.7</td><td>80</td></tr></table>"), "gzip", one},
	} {
		packed := ""
		got := strings.Join(found(t, tt.in, scraper.ParseOptions{Stats: func(s scraper.ParseStats) { packed = s.Packed }}), "; ")
		if got != tt.want || packed != tt.packed {
			t.Errorf("%s: %q from %q, want %q from %q", tt.name, got, packed, tt.want, tt.packed)
		}
	}
}

func errOf(in string, o scraper.ParseOptions) (n int, err error) {
	for _, e := range scraper.Parse(strings.NewReader(in), o) {
		if e != nil {
			err = e
		} else {
			n++
		}
	}
	return n, err
}

func TestPackedListsHaveLimits(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("45.9.8.7:80\n", 100_000)
	small := scraper.ParseOptions{MaxBytes: 100_000}
	for name, in := range map[string]string{
		"gzip bomb": gzipped(t, big), "zip bomb": zipped(t, "45.9.8.6:80", big), "many files": zipped(t, big[:90_000], big[:90_000]),
		"tar in gzip": gzipped(t, tarred(t, big)), "gzip in gzip": gzipped(t, gzipped(t, big)),
	} {
		if _, err := errOf(in, small); err == nil || !strings.Contains(err.Error(), "unpacks to too much") {
			t.Errorf("%s: error %v, want one that it unpacks to too much", name, err)
		}
	}
	deep := "45.9.8.7:80\n"
	for range 5 {
		deep = gzipped(t, deep)
	}
	if n, err := errOf(deep, scraper.ParseOptions{}); err == nil || n != 0 {
		t.Errorf("gzip five times: %d entries, error %v, want an error", n, err)
	}
	if n, err := errOf(big, small); err != nil || n != 1 {
		t.Errorf("a list that is not packed: %d entries, error %v, want 1 and none", n, err)
	}
}

func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	whole := gzipped(t, strings.Repeat("45.9.8.7:80\n", 3)+strings.Repeat("x y z\n", 50_000))
	if n, err := errOf(whole[:len(whole)-9], scraper.ParseOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) || n != 1 {
		t.Errorf("gzip cut short: %d entries, error %v, want 1 and %v", n, err, io.ErrUnexpectedEOF)
	}
	z := zipped(t, "45.9.8.7:80")
	if n, err := errOf(z[:len(z)-30], scraper.ParseOptions{}); err == nil || n != 0 {
		t.Errorf("ZIP cut short: %d entries, error %v, want an error", n, err)
	}
	refused := 0
	bad := strings.Replace(zipped(t, "45.9.8.7:80", gzipped(t, "45.9.8.6:80")[:12]), "\x00\x00\x00\x00none", "", 1)
	n := len(found(t, bad, scraper.ParseOptions{Rejected: func(scraper.Rejection) { refused++ }}))
	if n != 1 || refused != 1 {
		t.Errorf("a ZIP file with a damaged member: %d entries and %d rejections, want 1 and 1", n, refused)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{}, []parseCase{
		{"numbers and strings", `[{"ip":"45.9.8.7","port":80},{"ip":"45.9.8.6","port":"81"}]`, "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"port first", `{"port":80,"type":"SOCKS5","host":"45.9.8.7"}`, "socks5 45.9.8.7:80"},
		{"protocol after the list", `{"protocol":"socks4","proxies":["45.9.8.7:80"]}`, "socks4 45.9.8.7:80"},
		{"object's protocol beats the key", `{"http":[{"ip":"45.9.8.7","port":80,"protocol":"socks5"}]}`, "socks5 45.9.8.7:80"},
		{"best host wins", `{"hostname":"a.example.com","host":"b.example.com","ip":"45.9.8.7","port":80}`, "- 45.9.8.7:80"},
		{"an empty host does not", `{"ip":"","host":"b.example.com","port":80}`, "- b.example.com:80"},
		{"null is nothing", `{"ip":"45.9.8.7","port":80,"protocol":null,"username":null,"password":null}`, "- 45.9.8.7:80"},
		{"user without password", `{"ip":"45.9.8.7","port":80,"user":"uploader"}`, "- 45.9.8.7:80"},
		{"escapes", `{"\u0069p":"45\u002e9.8.7","p\u006frt":"\u0038\u0030","x":"\ud83c\uddfa\"\\"}`, "- 45.9.8.7:80"},
		{"url only of SOCKS", `[{"url":"http://45.9.8.7:80"},{"url":"socks4://45.9.8.6:81"}]`, "socks4 45.9.8.6:81"},
		{"exits are not proxies", `{"ip":"45.9.8.7","port":80,"exit":{"ip":"45.9.8.6","port":81},"exitIp":"45.9.8.5:82","export_address":["45.9.8.4:83"]}`, "- 45.9.8.7:80"},
		{"details are not proxies", `{"ip":"45.9.8.7","port":80,"server_info":{"ip":"45.9.8.6","port":81},"peers":["45.9.8.5:82"]}`, "- 45.9.8.7:80"},
		{"lists inside of an answer with a host", `{"host":"api.example.com","port":443,"data":[{"ip":"45.9.8.7","port":80}],"more":{"list":["45.9.8.6:81"]}}`, "- 45.9.8.7:80; - 45.9.8.6:81; - api.example.com:443"},
		{"prose is no entry", `["see 45.9.8.7:80",{"proxy":"see 45.9.8.7:80"},{"note":"45.9.8.7:80"}]`, ""},
		{"ports of one host", `{"ip":"45.9.8.7","ports":[80,"81",0]}`, "- 45.9.8.7:80; - 45.9.8.7:81"},
		{"ports by protocol", `{"host":"45.9.8.7","protocols":[{"type":"http","port":80},{"type":"socks5","port":81}]}`, "http 45.9.8.7:80; socks5 45.9.8.7:81"},
		{"brackets missing at the end", `{"a":[{"ip":"45.9.8.7","port":80`, "- 45.9.8.7:80"},
		{"cut in a string", `[{"ip":"45.9.8.7","port":80},{"ip":"45.9.8.6","po`, "- 45.9.8.7:80"},
		{"a broken line", "{\"ip\":\"45.9.8.7\",\"port\":80\n{\"ip\":\"45.9.8.6\",\"port\":81}\n", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"closing too much", `{"a":1}]}{"ip":"45.9.8.7","port":80}]}`, "- 45.9.8.7:80"},
		{"text between documents", "{\"ip\":\"45.9.8.7\",\"port\":80}\n45.9.8.6:81\n[2606:4700::1]:82\n", "- 45.9.8.7:80; - 45.9.8.6:81; - [2606:4700::1]:82"},
		{"comments and trailing commas", "{\"a\":[ // 45.9.8.6:81\n{\"ip\":\"45.9.8.7\",\"port\":80,},],}", "- 45.9.8.7:80"},
		{"IPv6 without brackets", `{"ip":"2606:4700::1","port":80}`, "- [2606:4700::1]:80"},
		{"base64 in a field", `{"ip":"` + b64("45.9.8.7") + `","port":80}`, "- 45.9.8.7:80"},
		{"flags", `{"ip":"45.9.8.7","port":80,"http":true,"https":false,"socks5":1}`, "http 45.9.8.7:80; socks5 45.9.8.7:80"},
		{"other tunnels", `[{"server":"45.9.8.7","port":80,"secret":"ee"},{"server":"45.9.8.6","server_port":81,"password":"x","method":"aes-256-gcm"},{"ip":"45.9.8.5","port":82,"method":"GET"}]`, "- 45.9.8.5:82"},
		{"an object of flags", `{"ip":"45.9.8.7","port":80,"support":{"https":1,"post":1}}`, "- 45.9.8.7:80"},
	})
}

func TestJSONDeeperThanAnyList(t *testing.T) {
	t.Parallel()
	for _, n := range []int{50, 63, 64, 65, 1000, 100_000} {
		in := strings.Repeat("[", n) + `{"ip":"45.9.8.7","port":80}` + strings.Repeat("]", n) + "\n" + `{"ip":"45.9.8.6","port":81}`
		got := found(t, in, scraper.ParseOptions{})
		if len(got) == 0 || got[len(got)-1] != "- 45.9.8.6:81" {
			t.Errorf("behind %d brackets: %q, want the last entry", n, got)
		}
	}
}

func TestLongStringsInJSON(t *testing.T) {
	t.Parallel()
	for _, n := range []int{64 << 10, 64<<10 - 1, 1 << 20, 9 << 20} {
		in := `{"x":"` + strings.Repeat("a", n) + `","ip":"45.9.8.7","port":80}`
		if got := found(t, in, scraper.ParseOptions{}); !slices.Equal(got, []string{"- 45.9.8.7:80"}) {
			t.Errorf("behind a string of %d bytes: %q", n, got)
		}
	}
}

func TestJSONKeysOfTheSource(t *testing.T) {
	t.Parallel()
	in := `{"a":{"list":[{"node":"45.9.8.7","p":80,"kind":"SOCKS5","ip":"45.9.8.6"}]},"b":{"list":[{"node":"45.9.8.5","p":81}]}}`
	for _, tt := range []struct {
		keys map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"host": "node", "port": "p", "protocol": "kind"}, "socks5 45.9.8.7:80; - 45.9.8.5:81"},
		{map[string]string{"host": "node", "port": "p", "jq": ".b.list[]"}, "- 45.9.8.5:81"},
		{map[string]string{"jq": `.a.list[] | {ip: .node, port: .p}`}, "- 45.9.8.7:80"},
		{map[string]string{"jq": `.a.list[] | "\(.node):\(.p)"`}, "- 45.9.8.7:80"},
	} {
		if got := strings.Join(found(t, in, scraper.ParseOptions{JSON: tt.keys}), "; "); got != tt.want {
			t.Errorf("Parse with keys %v = %q, want %q", tt.keys, got, tt.want)
		}
	}
}

func TestMistakesInOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]scraper.ParseOptions{
		"json: jq":         {JSON: map[string]string{"jq": "..["}},
		`json: unknown`:    {JSON: map[string]string{"hostt": "x"}},
		"html: unknown":    {HTML: map[string]string{"rows": "tr"}},
		"html: host":       {HTML: map[string]string{"host": "td:nth("}},
		"unknown decoder":  {HTML: map[string]string{"host": "td | base65"}},
		"jq: error":        {As: "json", JSON: map[string]string{"jq": `error("jq: error")`}},
		"html: port: bad ": {HTML: map[string]string{"port": "td:::"}},
	} {
		if _, err := errOf(`{"a":1}`, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse with %+v: error %v, want one with %q", o, err, want)
		}
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{As: "yaml"}, []parseCase{
		{"flow", "proxies:\n- {name: \"x, y\", type: socks5, server: 45.9.8.7, port: 80}\n", "socks5 45.9.8.7:80"},
		{"block", "proxies:\n  - name: x\n    type: http\n    server: 45.9.8.7\n    port: 80\n    tls: true\n", "https 45.9.8.7:80"},
		{"key last", "proxies:\n- port: 80 # c\n  type: 'http'\n  server: \"45.9.8.7\"\n", "http 45.9.8.7:80"},
		{"escaped quotes", "proxies:\n- {name: \"a\\\"b\", type: http, server: 45.9.8.7, port: 80, username: u, password: \"p\\\"w\"}\n", `http 45.9.8.7:80 u:p"w`},
		{"single quotes", "proxies:\n- {name: 'it''s', type: http, server: 45.9.8.7, port: 80}\n", "http 45.9.8.7:80"},
		{"spaces in a password", "proxies:\n- {type: http, server: 45.9.8.7, port: 80, username: u, password: p w}\n", "http 45.9.8.7:80 u:p w"},
		{"merged", "proxies:\n- {<<: *x, server: 45.9.8.7, port: 80}\n- &a {type: http, server: 45.9.8.6, port: 81}\n", "http 45.9.8.6:81"},
		{"a mistake costs one item", "proxies:\n- {type: vless, name: \"x, server: 45.9.8.7, port: 80}\n- {server: 45.9.8.5, port: 80, type: vless, name: [}\n- {type: http, server: 45.9.8.6, port: 81}\n", "http 45.9.8.6:81"},
		{"another list below", "proxies:\n- 45.9.8.7:80\nrules:\n- 45.9.8.6:81\n", "- 45.9.8.7:80"},
		{"mapping of mappings", "hosts_list:\n  a:\n    ip: 45.9.8.7\n    port: 80\n", "- 45.9.8.7:80"},
		{"documents", "--- \na:\n- 45.9.8.7:80\n---\nb:\n- 45.9.8.6:81\n...\n", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"flow over lines", "socks5: [\n  45.9.8.7:80,\n  '45.9.8.6:81'\n]\n", "socks5 45.9.8.7:80; socks5 45.9.8.6:81"},
		{"bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd:\n- 45.9.8.7:80\n", "- 45.9.8.7:80"},
		{"tabs", "a:\n\t- 45.9.8.7:80\n", "- 45.9.8.7:80"},
	})
}

func TestXML(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{As: "xml"}, []parseCase{
		{"elements", "<l><p><ip>45.9.8.7</ip><port>80</port><type>SOCKS5</type></p></l>", "socks5 45.9.8.7:80"},
		{"attributes", `<l><p host="45.9.8.7" port='80' protocol="http"/></l>`, "http 45.9.8.7:80"},
		{"mixed", `<l><p port="80">45.9.8.7</p><p port="81"><ip>45.9.8.6</ip></p></l>`, "- 45.9.8.6:81"},
		{"lines", "<l>\n45.9.8.7:80\n45.9.8.6:81\n</l>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"any name", "<l><a>45.9.8.7:80</a><title>45.9.8.6:81</title></l>", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"not exits and links", "<l><exit_ip>45.9.8.7:80</exit_ip><link>http://45.9.8.6:81</link></l>", ""},
		{"cut short", "<l><p><ip>45.9.8.7</ip><port>80</port>", "- 45.9.8.7:80"},
		{"wrong ends", "<l><p><ip>45.9.8.7</x></ip></y><port>80</port></p></l></l>", "- 45.9.8.7:80"},
		{"sections", "<l><http><p>45.9.8.7:80</p></http><socks4><p>45.9.8.6:81</p></socks4></l>", "http 45.9.8.7:80; socks4 45.9.8.6:81"},
	})
}

func TestCSV(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{}, []parseCase{
		{"comma", "ip,port,protocol\n45.9.8.7,80,socks5\n", "socks5 45.9.8.7:80"},
		{"other columns are not ports", "asn,ip,country,port\n13335,45.9.8.7,US,80\n", "- 45.9.8.7:80"},
		{"quotes", "\"ip\",\"port\",\"name\"\n\"45.9.8.7\",\"80\",\"a, b\"\n", "- 45.9.8.7:80"},
		{"a quote left open", "ip,port,name\n45.9.8.7,80,\"x\n45.9.8.6,81,y\n", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"tabs", "Proxy Address\tPort\n45.9.8.7\t80\n", "- 45.9.8.7:80"},
		{"address and port in one", "proxy;type\n45.9.8.7:80;SOCKS4\n", "socks4 45.9.8.7:80"},
		{"repeated head", "ip,port\n45.9.8.7,80\nip,port\n45.9.8.6,81\n", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"lines that are none", "ip,port\n# x\n45.9.8.7,80\nsocks5://45.9.8.6:81\n", "- 45.9.8.7:80; socks5 45.9.8.6:81"},
		{"names", "host,port,type\na.example.com,80,http\n", "http a.example.com:80"},
		{"bad port", "ip,port,asn\n45.9.8.7,0,80\n45.9.8.6,,80\n", ""},
		{"https column", "ip,port,https\n45.9.8.7,80,yes\n45.9.8.6,81,no\n", "https 45.9.8.7:80; http 45.9.8.6:81"},
		{"no head", "45.9.8.7,80,HTTP,US\n45.9.8.6;81;socks5\n", "http 45.9.8.7:80; socks5 45.9.8.6:81"},
		{"exit columns", "ip,port,exit_ip,exit_port\n45.9.8.7,80,45.9.8.6,81\n", "- 45.9.8.7:80"},
	})
	socks := scraper.ParseOptions{Protocols: []proxy.Protocol{proxy.SOCKS5}}
	if got := found(t, "ip,port,https\n45.9.8.6,81,no\n", socks); !slices.Equal(got, []string{"socks5 45.9.8.6:81"}) {
		t.Errorf("not https in a list of socks5 = %q, want socks5", got)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	runCases(t, scraper.ParseOptions{}, []parseCase{
		{"head", "| Type | IP | Port |\n|:-|:-:|-:|\n| HTTP | `45.9.8.7` | **80** |\n", "http 45.9.8.7:80"},
		{"no head", "| 1 | 45.9.8.7 | 80 | SOCKS5 |\n", "socks5 45.9.8.7:80"},
		{"links", "| IP:Port | x |\n|-|-|\n| [45.9.8.7:80](http://x.example.com/45.9.8.6:81) | 1 |\n", "- 45.9.8.7:80"},
		{"no bars around", "IP | Port\n---|---\n45.9.8.7 | 80\n", "- 45.9.8.7:80"},
		{"two tables", "| IP | Port |\n|-|-|\n| 45.9.8.7 | 80 |\n\n| Port | IP |\n|-|-|\n| 81 | 45.9.8.6 |\n", "- 45.9.8.7:80; - 45.9.8.6:81"},
		{"section", "## SOCKS4\n- 45.9.8.7:80\n## HTTP\n- 45.9.8.6:81\n", "socks4 45.9.8.7:80; http 45.9.8.6:81"},
		{"code", "```\n45.9.8.7:80\n```\n", "- 45.9.8.7:80"},
	})
}
