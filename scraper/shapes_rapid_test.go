package scraper_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"freeway/proxy"
	"freeway/scraper"
)

// drawn is an entry that a test puts into a list.
type drawn struct{ proto, host, port string }

func (l drawn) String() string {
	return l.proto + " " + l.host + ":" + l.port
}

// drawEntries draws entries that a list may name, each address once.
func drawEntries(t *rapid.T) []drawn {
	var policy proxy.AddrPolicy
	addr := rapid.Custom(func(t *rapid.T) string {
		b := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "octets")
		return netip.AddrFrom4([4]byte(b)).String()
	}).Filter(func(s string) bool { return policy.Check(netip.MustParseAddr(s)) == nil })
	hosts := rapid.SliceOfNDistinct(addr, 1, 8, rapid.ID[string]).Draw(t, "hosts")
	var out []drawn
	for _, h := range hosts {
		out = append(out, drawn{
			rapid.SampledFrom([]string{"http", "https", "socks4", "socks5"}).Draw(t, "protocol"), h,
			fmt.Sprint(rapid.Uint16Range(1, 65535).Draw(t, "port")),
		})
	}
	return out
}

// column is one that says nothing of where an entry is, with values of its kind.
type column struct {
	name   string
	values []string
}

func noise() []column {
	return []column{
		{"Country", []string{"US", "Germany", "Viet Nam", "Korea, Republic of", "-"}},
		{"Anonymity", []string{"elite proxy", "transparent", "High", "anonymous", "no"}},
		{"Latency", []string{"120 ms", "3080", "0.52", "80", "8080"}},
		{"Last Checked", []string{"2026-08-22 10:11:12", "3 min ago", "12:30:45", "1724353452", "2026-08-22T10:11:12.123Z"}},
		{"ASN", []string{"AS15169", "24940", "15169 Google LLC"}},
		{"City", []string{"New York", "St. Louis", "Saint-Denis", "Z\u00fcrich"}},
		{"Coordinates", []string{"52.5200", "-97.822", "37.751 / -97.822"}},
		{"Software", []string{"squid/3.5.27", "v1.2.3.4", "MikroTik 6.49.10"}},
		{"Exit IP", []string{"9.9.9.9", "8.8.8.8", "149.112.112.112"}},
		{"Uptime", []string{"99%", "12/80", "443"}},
	}
}

// drawTable draws the cells of a table with a head: address, port and protocol
// in any order among columns of noise.
func drawTable(t *rapid.T, entries []drawn) (head []string, rows [][]string) {
	cols := rapid.Permutation(noise()).Draw(t, "noise")[:rapid.IntRange(0, 5).Draw(t, "columns")]
	names := [][3]string{{"IP Address", "Port", "Protocol"}, {"ip", "port", "type"}, {"Host", "PORT", "Type"}, {"IP地址", "端口", "类型"}, {"IP-адрес", "Порт", "Тип"}, {"proxy_ip", "proxy_port", "proxy_type"}}
	name := rapid.SampledFrom(names).Draw(t, "names")
	order := rapid.Permutation(slices.Concat([]int{-1, -2, -3}, indices(len(cols)))).Draw(t, "order")
	rows = make([][]string, len(entries))
	for _, at := range order {
		if at < 0 {
			head = append(head, name[-at-1])
		} else {
			head = append(head, cols[at].name)
		}
		for i, e := range entries {
			cell := [...]string{e.host, e.port, rapid.SampledFrom([]string{e.proto, strings.ToUpper(e.proto)}).Draw(t, "case")}
			if at < 0 {
				rows[i] = append(rows[i], cell[-at-1])
			} else {
				rows[i] = append(rows[i], rapid.SampledFrom(cols[at].values).Draw(t, "value"))
			}
		}
	}
	return head, rows
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// demand reads a list and fails unless it names exactly the entries.
func demand(t *rapid.T, list string, entries []drawn) {
	want := map[string]bool{}
	for _, e := range entries {
		want[e.String()] = true
	}
	for c, err := range scraper.Parse(strings.NewReader(list), scraper.ParseOptions{}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case !want[describe(c)]:
			t.Fatalf("Parse(%q) gives %q, want one of %v", list, describe(c), entries)
		}
		delete(want, describe(c))
	}
	if len(want) > 0 {
		t.Fatalf("Parse(%q) misses %v", list, want)
	}
}

// Each of the writers below writes a table in one format.

func writeCSV(t *rapid.T, head []string, rows [][]string) string {
	delim := rapid.SampledFrom([]string{",", ";", "\t", "|"}).Draw(t, "delimiter")
	quote := rapid.Bool().Draw(t, "quotes")
	end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
	var b strings.Builder
	b.WriteString(rapid.SampledFrom([]string{"", "\ufeff"}).Draw(t, "mark"))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			if i > 0 {
				b.WriteString(delim)
			}
			if quote || strings.Contains(cell, delim) {
				cell = `"` + cell + `"`
			}
			b.WriteString(cell)
		}
		b.WriteString(end)
	}
	return b.String()
}

func writeMarkdown(t *rapid.T, head []string, rows [][]string) string {
	tick := rapid.SampledFrom([]string{"", "`", "**"}).Draw(t, "mark")
	lines := []string{"# Free proxies", "", "Updated 2026-08-22 10:11", "", "| " + strings.Join(head, " | ") + " |", strings.Repeat("|---", len(head)) + "|"}
	for _, row := range rows {
		lines = append(lines, "| "+tick+strings.Join(row, tick+" | "+tick)+tick+" |")
	}
	return strings.Join(lines, "\n") + "\n"
}

func writeHTML(t *rapid.T, head []string, rows [][]string) string {
	th := rapid.SampledFrom([]string{"th", "td", `th scope="col"`}).Draw(t, "head")
	before := rapid.SampledFrom([]string{"<td>", "<td><span>", "<td class='x'>\n  ", "<TD>&nbsp;"}).Draw(t, "cell")
	close := rapid.Bool().Draw(t, "closed")
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><body><p>Your IP is 9.9.9.9, port 50123</p><table><thead><tr>")
	for _, h := range head {
		fmt.Fprintf(&b, "<%s>%s</%s>", th, html.EscapeString(h), th[:2])
	}
	b.WriteString("</tr></thead><tbody>")
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, cell := range row {
			b.WriteString(before + html.EscapeString(cell))
			if close {
				b.WriteString("</td>")
			}
		}
		b.WriteString("</tr>\n")
	}
	return b.String() + "</tbody></table></body></html>"
}

// key makes the key of an object of a column.
func key(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), " ", "_")
}

func writeJSON(t *rapid.T, head []string, rows [][]string) string {
	nd := rapid.Bool().Draw(t, "lines")
	var objects []string
	for _, row := range rows {
		var pairs []string
		for i, cell := range row {
			val, err := json.Marshal(cell)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Trim(cell, "0123456789") == "" && rapid.Bool().Draw(t, "number") {
				val = []byte(cell)
			}
			pairs = append(pairs, fmt.Sprintf("%q: %s", key(head[i]), val))
		}
		objects = append(objects, "{"+strings.Join(pairs, ", ")+"}")
	}
	if nd {
		return strings.Join(objects, "\n") + "\n"
	}
	return rapid.SampledFrom([]string{"[", `{"total": 80, "data": [`, `{"your_ip": "9.9.9.9", "data": {"list": [`}).Draw(t, "around") + strings.Join(objects, ",\n")
}

func writeRows(t *rapid.T, head []string, rows [][]string) string {
	cells, err := json.Marshal(map[string]any{"columns": head, "rows": rows})
	if err != nil {
		t.Fatal(err)
	}
	return string(cells)
}

func writeYAML(t *rapid.T, head []string, rows [][]string) string {
	flow := rapid.Bool().Draw(t, "flow")
	var b strings.Builder
	b.WriteString("updated: 2026-08-22 10:11:12\nproxies:\n")
	for _, row := range rows {
		for i, cell := range row {
			switch {
			case flow && i == 0:
				b.WriteString("  - {")
			case flow:
				b.WriteString(", ")
			case i == 0:
				b.WriteString("  - ")
			default:
				b.WriteString("    ")
			}
			fmt.Fprintf(&b, "%s: %q", key(head[i]), cell)
			if !flow {
				b.WriteString("\n")
			}
		}
		if flow {
			b.WriteString("}\n")
		}
	}
	return b.String()
}

func writeXML(t *rapid.T, head []string, rows [][]string) string {
	attrs := rapid.Bool().Draw(t, "attributes")
	plain := strings.NewReplacer("ip地址", "ip", "端口", "port", "类型", "type", "ip-адрес", "ip", "порт", "port", "тип", "type")
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><proxies checked="2026-08-22">`)
	for _, row := range rows {
		b.WriteString("<item")
		for i, cell := range row {
			name := plain.Replace(key(head[i])) // names of elements are in ASCII
			if attrs {
				fmt.Fprintf(&b, " %s=\"%s\"", name, html.EscapeString(cell))
				continue
			}
			if i == 0 {
				b.WriteString(">")
			}
			fmt.Fprintf(&b, "<%s>%s</%s>", name, html.EscapeString(cell), name)
		}
		if attrs {
			b.WriteString("/>")
		} else {
			b.WriteString("</item>")
		}
	}
	return b.String() + "</proxies>"
}

// TestTablesOfAllFormats demands of every format that it gives the entries that
// were written, and nothing of what stands beside them.
func TestTablesOfAllFormats(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*rapid.T, []string, [][]string) string{
		"csv": writeCSV, "markdown": writeMarkdown, "html": writeHTML, "json": writeJSON, "rows": writeRows, "yaml": writeYAML, "xml": writeXML,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				entries := drawEntries(t)
				head, rows := drawTable(t, entries)
				demand(t, write(t, head, rows), entries)
			})
		})
	}
}

// TestLinesOfAllShapes demands the same of lines of text.
func TestLinesOfAllShapes(t *testing.T) {
	t.Parallel()
	shapes := []func(e drawn) string{
		func(e drawn) string { return e.proto + "://" + e.host + ":" + e.port },
		func(e drawn) string { return e.host + ":" + e.port + " " + e.proto },
		func(e drawn) string { return e.host + " " + e.port + " " + strings.ToUpper(e.proto) },
		func(e drawn) string { return strings.ToUpper(e.proto) + " " + e.host + ":" + e.port },
		func(e drawn) string { return e.host + ":" + e.port + "|" + e.proto + "|US|120 ms" },
		func(e drawn) string { return e.host + "\t" + e.port + "\t" + e.proto + "\t2026-08-22 10:11:12" },
		func(e drawn) string { return e.host + "," + e.port + ",US," + e.proto + ",8080" },
		func(e drawn) string { return "[10:11:12] " + e.host + ":" + e.port + " [" + e.proto + "] OK 200" },
		func(e drawn) string {
			return "{\"ip\":\"" + e.host + "\",\"port\":" + e.port + ",\"type\":\"" + e.proto + "\"}"
		},
		func(e drawn) string { return "IP: " + e.host + ", Port: " + e.port + ", Type: " + e.proto },
		func(e drawn) string { return "\U0001F1FA\U0001F1F8 " + e.host + ":" + e.port + " (" + e.proto + ")" },
	}
	other := []string{"", "# 9.9.9.9:99", "8.8.8.8", "Updated: 2026-08-22 10:11:12", "10.0.0.1:8080", "127.0.0.1:80", "1.2.3.4.5:80", "91.108.4.0/22", "999.1.1.1:80", "v1.2.3.4", "https://example.com/1.2.3.4:80", "trojan://x@9.9.9.9:443", "9.9.9.9:99999", "[::1]:80"}
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t)
		var b strings.Builder
		for _, e := range entries {
			if rapid.Bool().Draw(t, "other") {
				b.WriteString(rapid.SampledFrom(other).Draw(t, "line") + "\n")
			}
			b.WriteString(rapid.SampledFrom(shapes).Draw(t, "shape")(e) + rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end"))
		}
		demand(t, b.String(), entries)
	})
}
