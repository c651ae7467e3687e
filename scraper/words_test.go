package scraper_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"freeway/scraper"
)

// pairs runs f over inputs and compares with what it must give.
func pairs(t *testing.T, name string, f func(string) string, want map[string]string) {
	t.Helper()
	for in, w := range want {
		if got := f(in); got != w {
			t.Errorf("%s(%q) = %q, want %q", name, in, got, w)
		}
	}
}

func TestProtocolWord(t *testing.T) {
	t.Parallel()
	pairs(t, "protocolWord", scraper.ProtocolWord, map[string]string{
		"http": "http", "HTTP": "http", "Https": "https", "SOCKS4": "socks4", "socks4a": "socks4", "Socks5": "socks5", "socks5h": "socks5", "SOCKS": "socks4+socks5",
		"http/https": "http+https", "HTTP, HTTPS": "http+https", "socks4/5": "socks4+socks5", "socks4 & socks5": "socks4+socks5", "http|socks5": "http+socks5", "HTTP+SOCKS4+SOCKS5": "http+socks4+socks5",
		"http(s)": "http+https", "socks-5": "socks5", "SOCKS_4": "socks4", "httpx": "", "http elite": "", "socks6": "", "s": "", "": "", "http/": "http", "shadowsocks": "", "https://": "",
		strings.Repeat("http ", 20): "", "ht\x00p": "", "hттp": "",
	})
}

func TestProtocolCell(t *testing.T) {
	t.Parallel()
	pairs(t, "protocolCell", scraper.ProtocolCell, map[string]string{
		"HTTP": "http", "SOCKS4 SOCKS5 ELITE": "socks4+socks5", "HTTPS (Squid)": "https", "HTTP anonymous": "http", "Https Hosting Ltd": "", "anonymous": "", "US": "", "elite HTTP": "", "no http": "",
	})
}

func TestHeading(t *testing.T) {
	t.Parallel()
	pairs(t, "heading", scraper.Heading, map[string]string{
		"SOCKS5": "socks5", "Free Socks4 Proxy List:": "socks4", "### HTTP ###": "http", "=== HTTPS PROXIES (120) ===": "https", "Http/Https list": "http", "# socks4 & socks5": "socks4+socks5", "Type: http": "http",
		"Total HTTP: 512": "http", "": "", "proxies": "", "HTTP/1.1 200 OK": "", "get http proxies at https://example.com": "", "Support us with http": "", "socks5 by me@example.com": "", "SOCKS5 代理": "",
		strings.Repeat("http proxies ", 10): "",
	})
}

func TestKeyRole(t *testing.T) {
	t.Parallel()
	pairs(t, "keyRole", scraper.KeyRole, map[string]string{
		"ip": "ip", "IP": "ip", "ip_address": "ip", "IP Address": "ip", "ipAddress": "ip", "proxy-ip": "ip", "IP地址": "ip", "IP адрес": "ip", "IP ▲": "ip", "▼Порт": "port", "addr": "addr", "Address": "addr", "host": "host", "server": "host", "hostname": "name",
		"port": "port", "Port": "port", "PROXY_PORT": "port", "server_port": "port", "端口": "port", "Порт": "port", "protocol": "protocol", "Type": "protocol", "protocols": "protocol", "类型": "protocol", "username": "user", "password": "pass",
		"proxy": "whole", "ip:port": "whole", "IP_Port": "whole", "http": "http", "HTTPS": "https", "ssl": "https", "socks4": "socks4", "SOCKS5": "socks5", "tls": "tls", "url": "link",
		"exit_ip": "skip", "exitIP": "skip", "export_address": "skip", "origin": "skip", "query": "skip", "dns": "skip", "egress_ip": "skip",
		"": "", "zip": "", "country": "", "ports_open_since": "", "transport": "", "support": "", "ip2": "", "shipping": "", "asn": "", "latency": "",
		strings.Repeat("ip", 40): "",
	})
}

func TestMaskText(t *testing.T) {
	t.Parallel()
	pairs(t, "maskText", scraper.MaskText, map[string]string{
		"45.9.8.7:0": "45.9.8.7:0", "user:pass@45.9.8.7:0": "***@45.9.8.7:0", "a@b@45.9.8.7:0": "***@45.9.8.7:0", "http://u:p@45.9.8.7:0/x": "http://***@45.9.8.7:0/x",
		"45.9.8.7:0:user:pass": "45.9.8.7:0:***:***", "user:pass:45.9.8.7:0": "***:***:45.9.8.7:0", "vmess://c2VjcmV0": "vmess://***", "http://45.9.8.7:0/?key=x": "http://45.9.8.7:0/?***",
		"[2001:db8::1]:80": "[2001:db8::1]:80", "2001:db8::1:80": "2001:db8::1:80", "\xff\xfe": "?", strings.Repeat("x", 500): strings.Repeat("x", 100), "": "",
	})
}

func TestDecodeHost(t *testing.T) {
	t.Parallel()
	pairs(t, "decodeHost", scraper.DecodeHost, map[string]string{
		b64("45.9.8.7"): "45.9.8.7", strings.TrimRight(b64("45.9.8.7"), "="): "45.9.8.7", b64("45.9.8.7:80"): "45.9.8.7:80", b64(reversed("45.9.8.7:80")): "45.9.8.7:80", reversed(b64("45.9.8.7")): "45.9.8.7",
		b64(b64("45.9.8.7")): "45.9.8.7", b64("socks5://45.9.8.7:80"): "socks5://45.9.8.7:80", "%34%35.9.8.7": "45.9.8.7", "34352e392e382e37": "45.9.8.7", b64("<b>45.9.8.7</b>"): "45.9.8.7",
		b64("45.9.8"): "", b64("45.9.8.256"): "", b64("example.com"): "", b64("vmess://45.9.8.7:80"): "", reversed("45.9.8.7"): "", "": "", "zz": "", strings.Repeat("A", 500): "",
	})
}

func TestStripTags(t *testing.T) {
	t.Parallel()
	pairs(t, "stripTags", scraper.StripTags, map[string]string{"<b>x</b>y": "xy", "x<br/>y": "xy", "x<": "x", "x": "x", "": "", "<a href='>'>x": "'>x"})
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	const body = "eval(function(p,a,c,k,e,d){return p}("
	pairs(t, "unpack", scraper.Unpack, map[string]string{
		body + `'0=1;2("\'3\'")',10,4,'a|5||b'.split('|'),0,{}))`:                             `a=5;2("'b'")`,
		body + `'0 Z 10',62,63,'x^` + strings.Repeat("^", 60) + `y^z'.split('\u005e'),0,{}))`: `x y z`,
		body + `'0',1,1,'x'.split('|')))`:                                                     "", // a base of 1
		body + `'0',99,1,'x'.split('|')))`:                                                    "",
		body + `'0'`:                                                                          "",
		body:                                                                                  "",
		"eval(function(p":                                                                     "",
		"x=1":                                                                                 "",
		body + `'ABCDE abcde',10,2,'x|y'.split('|')))`:                                        "ABCDE abcde",
		body + `'` + strings.Repeat("0 ", 9) + `',2,1,'` + strings.Repeat("y", 400_000) + `'.split('|')))`: "",
	})
}

// TestAddressesAreReadLikeNetip compares with the library over texts that are
// nearly addresses.
func TestAddressesAreReadLikeNetip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	parts := []string{"0", "1", "9", "10", "99", "100", "255", "256", "00", "01", "007", "1000", "", "a", "-1", " 1"}
	for range 50_000 {
		n := 3 + r.IntN(3)
		fields := make([]string, n)
		for i := range fields {
			fields[i] = parts[r.IntN(len(parts))]
		}
		s := strings.Join(fields, ".")
		a, err := netip.ParseAddr(s)
		if want := err == nil && a.Is4(); scraper.Parse4(s) != want {
			t.Errorf("parse4(%q) = %v, netip says %v", s, !want, want)
		}
	}
}

func TestWholePort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]uint16{"1": 1, "80": 80, "65535": 65535, "65536": 0, "0": 0, "080": 0, "": 0, "-1": 0, "+80": 0, "8 0": 0, "80a": 0, "99999": 0, "100000": 0, "４": 0, "6553512345678901234567890": 0} {
		if got := scraper.WholePort(in); got != want {
			t.Errorf("wholePort(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestWholeHost(t *testing.T) {
	t.Parallel()
	pairs(t, "wholeHost", scraper.WholeHost, map[string]string{
		"45.9.8.7": "address", "[2001:db8::1]": "address", "2001:db8::1": "address", "::ffff:45.9.8.7": "address", "fe80::1%eth0": "address", "example.com": "name", "a-b.example.co.uk": "name", "xn--e1afmkfd.xn--p1ai": "name",
		"45.9.8": "", "45.9.8.7.6": "", "045.9.8.7": "", "[45.9.8.7]": "", "[2001:db8::1": "", "example": "", "example.": "", ".com": "", "a..com": "", "-a.com": "", "a-.com": "", "1.2.3.com": "name", "list.t": "", "a.1": "",
		strings.Repeat("a", 64) + ".com": "", strings.Repeat("a.", 130) + "com": "", "": "", "a b.com": "",
	})
}

func TestIDSet(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	var s scraper.IDSet
	known := map[uint64]bool{}
	for i := range 200_000 {
		id := 1 + r.Uint64N(100_000)
		if i%2 == 0 {
			id <<= 40 // high bits only
		}
		if got := s.Add(id); got == known[id] {
			t.Fatalf("add(%d) = %v, want %v", id, got, !known[id])
		}
		known[id] = true
	}
}

// TestLines cuts random texts into reads of random sizes.
func TestLines(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	for range 30 {
		var want []string
		var b bytes.Buffer
		for range 200 {
			line := strings.Repeat("x", r.IntN(2000))
			want = append(want, line)
			b.WriteString(line + "\n")
		}
		got, err := scraper.Lines(iotest.HalfReader(&b))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d lines, error %v, want %d and none", len(got), err, len(want))
		}
	}
}

func TestLinesThatAreTooLongAreCutBetweenWords(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	for range 20 {
		var words []string
		for n := 0; n < 4*scraper.LineBuffer; {
			w := strings.Repeat("y", 1+r.IntN(3000))
			words = append(words, w)
			n += len(w) + 1
		}
		got, err := scraper.Lines(strings.NewReader(strings.Join(words, " ") + "\nnext\n"))
		if err != nil || len(got) < 5 || got[len(got)-1] != "next" {
			t.Fatalf("%d pieces, error %v", len(got), err)
		}
		var back []string
		for i, piece := range got[:len(got)-1] {
			if (i > 0) != strings.HasPrefix(piece, "+") {
				t.Fatalf("piece %d begins with %.3q", i, piece)
			}
			back = append(back, strings.Fields(strings.TrimPrefix(piece, "+"))...)
		}
		if !slices.Equal(back, words) {
			t.Fatal("the words are not those that were written")
		}
	}
}

func TestALineWithoutEndIsNotKept(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	got, err := scraper.Lines(iotest.ErrReader(broken))
	if !errors.Is(err, broken) || len(got) != 0 {
		t.Errorf("Lines = %q, %v, want nothing and %v", got, err, broken)
	}
	got, err = scraper.Lines(strings.NewReader(strings.Repeat("z", 3*scraper.LineBuffer) + " end\nnext"))
	if want := []string{"", "+", "+", "+ end", "next"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("a word of three buffers = %q, %v, want %q", got, err, want)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"a,b,c": {"a", "b", "c"}, "a, b ,c ": {"a", "b", "c"}, `"a","b,c",d`: {"a", "b,c", "d"}, `"a" x,b`: {"a", "b"}, `a,"b`: {"a", `"b`}, ",,": {"", "", ""}, "": {""}, `""`: {""}, `a,""`: {"a", ""},
	} {
		if got := scraper.Fields(in, ','); !slices.Equal(got, want) {
			t.Errorf("fields(%q) = %q, want %q", in, got, want)
		}
	}
	if got := scraper.Fields(strings.Repeat("x,", 500), ','); len(got) != 64 {
		t.Errorf("a line of 500 fields gives %d, want 64", len(got))
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{`document.write("a"+'b')`, "ab"}, {`document.write(1+2+"x"+1+2)`, "3x12"}, {`document.write(7-2*3)`, "1"}, {`document.write((7-2)*3)`, "15"}, {`document.write(5^3)`, "6"}, {`document.write(6|1&3)`, "7"},
		{`document.write(1<<4>>2)`, "4"}, {`document.write(7%4)`, "3"}, {`document.write(1/4)`, "0.25"}, {`document.write(-3+5)`, "2"}, {`document.write("5"*"3")`, "15"}, {`document.write(0x1f)`, "31"}, {`document.write(017)`, "17"},
		{`a=1;b=a+1;document.write(a+""+b)`, "12"}, {"var a=1\nlet b=2\ndocument.write(a+b)", "3"}, {`document.write("\x41\u0042\n\t\\\'")`, "AB\n\t\\'"}, {"document.write(`x`)", "x"}, {`document.write("a","b")`, "ab"},
		{`document.write([1,2].join("-")+[3].join())`, "1-23"}, {`document.write("abc".split("").map(c=>c+c).join(""))`, "aabbcc"}, {`document.write([1,2,3].slice(-2).map((x)=>x*x).reverse().join(""))`, "94"},
		{`document.write([1,2].map(function(x){return x+1;}).join(""))`, "23"}, {`document.write("abcdef".substr(-3,2)+"abcdef".substring(4,1)+"abcdef".slice(1,-3))`, "debcdbc"}, {`document.write("abc"[1]+"abc".length+[1,2].length)`, "b32"},
		{`document.write((255).toString(16)+"x".toUpperCase()+"Y".toLowerCase()+" z ".trim())`, "ffXyz"}, {`document.write("a.b.c".replace(".","")+"a.b.c".replaceAll(".",""))`, "ab.cabc"}, {`document.write(parseInt("12")+Number("3"))`, "15"},
		{`document.write(String.fromCharCode(65,66)+"A".charCodeAt(0)+String(5))`, "AB655"}, {`document.write(decodeURIComponent("%41")+unescape("%42")+atob("Qw==")+Base64.decode("RA"))`, "ABCD"}, {`document.write(str_rot13("Nop"))`, "Abc"},
		{`window.document.write("x")`, "x"}, {`document.writeln("x");document.write("y")`, "xy"}, {`/* c */ document.write("x") // d`, "x"}, {`{document.write("x")}`, "x"}, {`Proxy("NDUuOS44Ljc=")`, "45.9.8.7"}, {`foo("x");document.write("y")`, "y"},
	} {
		if got, ok := scraper.RunScript(tt.in); got != tt.want || !ok {
			t.Errorf("script %q writes %q, understood %v, want %q", tt.in, got, ok, tt.want)
		}
	}
}

func TestScriptsThatAreNotUnderstood(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("(", 1000)
	for _, in := range []string{
		`document.write(a)`, `document.write("x"+a.b)`, `document.write(f("x"))`, `document.write("x"`, `document.write(1/0)`, `document.write(1%0)`, `document.write("a"*2)`, `document.write("x"-1)`, `document.write([1][5])`, `document.write("x".foo())`,
		`document.write("x"y)`, `document.write("a".repeat(100000))`, `document.write("a".repeat(-1))`, `document.write(atob("*"))`, `document.write(parseInt("x"))`, `document.write(String.fromCharCode(-1))`, `if(a){document.write("x")}`, `for(;;)document.write("x")`,
		`document.write(new Date())`, `document.write(eval("1"))`, `document.write(a?"x":"y")`, `document.write("x"&&"y")`, `document.write(` + deep + `1)`, `Proxy("x")`, `document.write()`, `x = [1,2; document.write("y")`, `document.write("x"`, `document.write("abc".charAt(9))`, `document.write((1.5).toString(2))`,
		`document.write([` + strings.Repeat("1,", 5000) + `].join(""))`, strings.Repeat(`a="x".repeat(4000)+"";`, 10_000) + `document.write("x")`,
	} {
		if got, ok := scraper.RunScript(in); ok {
			t.Errorf("script %.60q writes %.20q and counts as understood", in, got)
		}
	}
}
