package scraper_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"

	"golang.org/x/net/html"

	"freeway/scraper"
)

// publicAddr makes an address-like string outside all special ranges.
func publicAddr(r *rand.Rand) string {
	return fmt.Sprintf("%d.%d.%d.%d", 11+r.IntN(80), r.IntN(256), r.IntN(256), r.IntN(256))
}

// textList makes n lines of ip:port.
func textList(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for range n {
		fmt.Fprintf(&b, "%s:%d\n", publicAddr(r), 1+r.IntN(65535))
	}
	return b.Bytes()
}

var plainPattern = regexp.MustCompile(`(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}):(\d{1,5})`)

func parseAll(b *testing.B, data []byte, o scraper.ParseOptions) (n int) {
	b.Helper()
	for _, err := range scraper.Parse(bytes.NewReader(data), o) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func BenchmarkText(b *testing.B) {
	data := textList(1_000_000)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			parseAll(b, data, scraper.ParseOptions{})
		}
	})
	b.Run("regexp", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for rest := data; ; n++ {
				m := plainPattern.FindSubmatchIndex(rest)
				if m == nil {
					break
				}
				rest = rest[m[1]:]
			}
		}
	})
}

// jsonList makes an array of n objects such as list sites publish.
func jsonList(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	b.WriteString(`{"data":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"_id":"60d7aa86ce5b3bb0%08x","ip":"%s","port":"%d","anonymityLevel":"elite","asn":"AS%d","city":"Town","country":"FR","created_at":"2021-06-26T22:30:30.754Z",`+
			`"google":false,"isp":"Some Hosting SAS","lastChecked":1624971607,"latency":143.5,"org":"Some","protocols":["socks4"],"region":null,"speed":%d,"upTime":100}`,
			i, publicAddr(r), 1+r.IntN(65535), r.IntN(65535), r.IntN(1000))
	}
	b.WriteString(`],"total":1}`)
	return b.Bytes()
}

func BenchmarkJSON(b *testing.B) {
	data := jsonList(20_000)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if n := parseAll(b, data, scraper.ParseOptions{}); n < 19_000 {
				b.Fatal(n)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var doc struct {
				Data []struct {
					IP        string   `json:"ip"`
					Port      string   `json:"port"`
					Protocols []string `json:"protocols"`
				} `json:"data"`
			}
			if err := json.NewDecoder(bytes.NewReader(data)).Decode(&doc); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// htmlList makes a page with a table of n rows.
func htmlList(n int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	var b bytes.Buffer
	b.WriteString(`<!DOCTYPE html><html><head><title>Free proxies</title><style>.x{color:red}</style></head><body><div class="container"><table class="table table-striped"><thead><tr>` +
		`<th>IP Address</th><th>Port</th><th>Code</th><th class="hm">Country</th><th>Anonymity</th><th class="hm">Google</th><th class="hx">Https</th><th class="hm">Last Checked</th></tr></thead><tbody>`)
	for range n {
		fmt.Fprintf(&b, "<tr><td>%s</td><td>%d</td><td>US</td><td class='hm'>United States</td><td>elite proxy</td><td class='hm'>no</td><td class='hx'>yes</td><td class='hm'>%d secs ago</td></tr>\n",
			publicAddr(r), 1+r.IntN(65535), r.IntN(60))
	}
	b.WriteString("</tbody></table></div></body></html>")
	return b.Bytes()
}

func BenchmarkHTML(b *testing.B) {
	data := htmlList(10_000)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if n := parseAll(b, data, scraper.ParseOptions{}); n < 9_900 {
				b.Fatal(n)
			}
		}
	})
	b.Run("html-parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := html.Parse(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("selectors", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		o := scraper.ParseOptions{HTML: map[string]string{"row": "tbody tr", "host": "td:nth-child(1)", "port": "td:nth-child(2)"}}
		for b.Loop() {
			if n := parseAll(b, data, o); n < 9_900 {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkYAML(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	var buf bytes.Buffer
	buf.WriteString("proxies:\n")
	for i := range 5_000 {
		fmt.Fprintf(&buf, "- {name: \"n%d\", type: http, server: %s, port: %d, tls: true}\n", i, publicAddr(r), 1+r.IntN(65535))
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if n := parseAll(b, buf.Bytes(), scraper.ParseOptions{}); n < 4_900 {
			b.Fatal(n)
		}
	}
}
