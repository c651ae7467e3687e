package scraper_test

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"freeway/scraper"
)

// listed is an entry as a list has it.
type listed struct {
	XMLName  struct{} `json:"-" yaml:"-" xml:"proxy"`
	IP       string   `json:"ip" yaml:"ip" xml:"ip"`
	Port     int      `json:"port" yaml:"port" xml:"port"`
	Protocol string   `json:"protocol" yaml:"protocol" xml:"protocol"`
	Country  string   `json:"country" yaml:"country" xml:"country"`
	Latency  int      `json:"latency" yaml:"latency" xml:"latency"`
}

func (l listed) String() string { return l.Protocol + " " + l.address() }

func (l listed) address() string {
	if strings.Contains(l.IP, ":") {
		return fmt.Sprintf("[%s]:%d", l.IP, l.Port)
	}
	return fmt.Sprintf("%s:%d", l.IP, l.Port)
}

func (l listed) url() string { return l.Protocol + "://" + l.address() }

// someEntries makes n different ones.
func someEntries(r *rand.Rand, n int) []listed {
	seen := map[string]bool{}
	var out []listed
	for len(out) < n {
		l := listed{IP: publicAddr(r), Port: 1 + r.IntN(65535), Country: "DE", Latency: r.IntN(3000),
			Protocol: []string{"http", "https", "socks4", "socks5"}[r.IntN(4)]}
		if r.IntN(8) == 0 {
			l.IP = fmt.Sprintf("2606:4700:%x::%x", 1+r.IntN(65535), 1+r.IntN(65535))
		}
		if !seen[l.String()] {
			seen[l.String()] = true
			out = append(out, l)
		}
	}
	return out
}

// writers write the same list in many ways.
func writers(t *testing.T) map[string]func([]listed) string {
	lines := func(f func(l listed) string) func([]listed) string {
		return func(all []listed) string {
			var b strings.Builder
			for _, l := range all {
				b.WriteString(f(l) + "\n")
			}
			return b.String()
		}
	}
	wrap := func(before string, f func(l listed) string, after string) func([]listed) string {
		return func(all []listed) string { return before + lines(f)(all) + after }
	}
	marshal := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	byProtocol := func(all []listed) map[string][]string {
		m := map[string][]string{}
		for _, l := range all {
			m[l.Protocol] = append(m[l.Protocol], l.address())
		}
		return m
	}
	rows := func(cell, row string) func(l listed) string {
		return func(l listed) string { return fmt.Sprintf(row, l.IP, l.Port, strings.ToUpper(l.Protocol)) + cell }
	}
	comma := func(sep rune) func([]listed) string {
		return func(all []listed) string {
			var b strings.Builder
			w := csv.NewWriter(&b)
			w.Comma = sep
			_ = w.Write([]string{"country", "ip", "latency", "port", "protocol"})
			for _, l := range all {
				_ = w.Write([]string{l.Country, l.IP, fmt.Sprint(l.Latency), fmt.Sprint(l.Port), l.Protocol})
			}
			w.Flush()
			return b.String()
		}
	}
	return map[string]func([]listed) string{
		"urls":             lines(listed.url),
		"urls in one line": func(all []listed) string { return strings.ReplaceAll(lines(listed.url)(all), "\n", " ") },
		"bars":             lines(func(l listed) string { return l.address() + "|" + l.Protocol + "|" + l.Country }),
		"protocol first":   lines(func(l listed) string { return strings.ToUpper(l.Protocol) + " " + l.address() }),
		"with latency": lines(func(l listed) string {
			return fmt.Sprintf("%s %dms %s [Some ISP] %s", l.address(), l.Latency, l.Country, l.Protocol)
		}),
		"json": func(all []listed) string {
			return marshal(json.Marshal(map[string]any{"count": len(all), "data": all}))
		},
		"json indented": func(all []listed) string { return marshal(json.MarshalIndent(all, "", "  ")) },
		"ndjson":        lines(func(l listed) string { return marshal(json.Marshal(l)) }),
		"json of urls": func(all []listed) string {
			var urls []string
			for _, l := range all {
				urls = append(urls, l.url())
			}
			return marshal(json.Marshal(urls))
		},
		"json by protocol": func(all []listed) string { return marshal(json.Marshal(byProtocol(all))) },
		"json of rows": func(all []listed) string {
			var rows [][]any
			for _, l := range all {
				rows = append(rows, []any{l.IP, l.Port, l.Country, l.Protocol})
			}
			return marshal(json.Marshal(rows))
		},
		"json of text": func(all []listed) string {
			return marshal(json.Marshal(map[string]string{"data": lines(listed.url)(all)}))
		},
		"json of html": func(all []listed) string {
			return marshal(json.Marshal(map[string]string{"table": lines(rows("", "<tr><td>%s</td><td>%d</td><td>%s</td></tr>"))(all)}))
		},
		"yaml":             func(all []listed) string { return marshal(yaml.Marshal(map[string]any{"proxies": all})) },
		"yaml by protocol": func(all []listed) string { return marshal(yaml.Marshal(byProtocol(all))) },
		"yaml in flow": wrap("proxies:\n", func(l listed) string {
			return fmt.Sprintf(`  - {name: "x, y", type: %s, server: %q, port: %d}`, l.Protocol, l.IP, l.Port)
		}, ""),
		"xml": func(all []listed) string { return "<list>" + marshal(xml.MarshalIndent(all, "", " ")) + "</list>" },
		"xml attributes": wrap("<list>", func(l listed) string {
			return fmt.Sprintf(`<p host="%s" port="%d" type="%s"/>`, l.IP, l.Port, l.Protocol)
		}, "</list>"),
		"csv":             comma(','),
		"csv, semicolons": comma(';'),
		"tsv":             comma('\t'),
		"markdown":        wrap("| IP | Port | Type |\n|---|---|---|\n", rows("", "| `%s` | %d | **%s** |"), ""),
		"html table":      wrap("<table><tr><th>IP Address</th><th>Port</th><th>Type</th></tr>", rows("", "<tr><td>%s</td><td> %d\n</td><td>%s</td></tr>"), "</table>"),
		"html, no head":   wrap("<table>", rows("", "<tr><td>%s<td>%d<td>%s"), "</table>"),
		"html list":       wrap("<div>", rows("", "<ul><li>%s</li><li>%d</li><li>%s</li></ul>"), "</div>"),
		"html divisions":  wrap("<body>", rows("", "<div class=row><div>%s</div><div>%d</div><div>%s</div></div>"), "</body>"),
		"html lines":      wrap("<pre>", listed.url, "</pre>"),
		"html, escaped":   wrap("<p>", func(l listed) string { return html.EscapeString(l.url()) + "<br>" }, "</p>"),
		"html, base64": wrap("<table>", func(l listed) string {
			return fmt.Sprintf(`<tr><td data-ip="%s"></td><td data-port="%s"></td><td>%s</td></tr>`, b64(l.IP), b64(fmt.Sprint(l.Port)), l.Protocol)
		}, "</table>"),
		"html, script": wrap("<table>", func(l listed) string {
			return fmt.Sprintf(`<tr><td><script>document.write("%s".split("").reverse().join(""))</script></td><td>%d</td><td>%s</td></tr>`, reversed(l.IP), l.Port, l.Protocol)
		}, "</table>"),
		"html, data": func(all []listed) string {
			return "<html><script>var list = " + marshal(json.Marshal(all)) + ";</script></html>"
		},
		"javascript": func(all []listed) string { return "const list = " + marshal(json.Marshal(all)) + ";" },
		"gzip":       func(all []listed) string { return gzipped(t, lines(listed.url)(all)) },
		"zip": func(all []listed) string {
			return zipped(t, lines(listed.url)(all[:len(all)/2]), marshal(json.Marshal(all[len(all)/2:])))
		},
		"base64": func(all []listed) string { return b64(lines(listed.url)(all)) },
		"utf-16": func(all []listed) string { return "\xff\xfe" + utf16le(lines(listed.url)(all)) },
	}
}

func utf16le(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte(c)
		b.WriteByte(0)
	}
	return b.String()
}

// TestBase64OfIPv6: a list without a single dot is a list, too.
func TestBase64OfIPv6(t *testing.T) {
	t.Parallel()
	list := "https://[2606:4700:a2c0::e8a1]:57044\nhttp://[2606:4700:a2c0::1]:80\n"
	if got := found(t, b64(list), scraper.ParseOptions{}); len(got) != 2 {
		t.Errorf("read %v, want both", got)
	}
}

// TestTheSameListInEveryFormat writes random lists in every way and demands
// the same entries back, no more and no less.
func TestTheSameListInEveryFormat(t *testing.T) {
	t.Parallel()
	for name, write := range writers(t) {
		r := rand.New(rand.NewPCG(11, 12)) // every format gets the same entries
		for _, n := range []int{1, 2, 30, 2000} {
			all := someEntries(r, n)
			want := make([]string, n)
			for i, l := range all {
				want[i] = l.String()
			}
			got := found(t, write(all), scraper.ParseOptions{})
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d entries written, %d read; %s", name, n, len(got), firstDifference(got, want))
			}
		}
	}
}

func firstDifference(got, want []string) string {
	for _, w := range want {
		if _, ok := slices.BinarySearch(got, w); !ok {
			return "missing " + w
		}
	}
	for _, g := range got {
		if _, ok := slices.BinarySearch(want, g); !ok {
			return "invented " + g
		}
	}
	return "some twice"
}
