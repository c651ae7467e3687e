package scraper_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"freeway/scraper"
)

// addSeeds adds the files of testdata/parse that end in one of the suffixes.
func addSeeds(f *testing.F, suffixes ...string) {
	f.Helper()
	files, err := filepath.Glob("testdata/parse/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, ".golden") || !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(path, s) }) {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// fuzzReader demands of one format, for any input: no panic, no hang, nothing
// that is not public, only canonical endpoints, and the same result however
// the input is cut into reads.
func fuzzReader(f *testing.F, o scraper.ParseOptions) {
	f.Fuzz(func(t *testing.T, in []byte) {
		start := time.Now()
		whole := allOf(t, bytes.NewReader(in), o)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("%d bytes took %v", len(in), took)
		}
		if pieces := allOf(t, iotest.HalfReader(bytes.NewReader(in)), o); !slices.Equal(whole, pieces) {
			t.Errorf("read whole: %q\nread in pieces: %q", whole, pieces)
		}
	})
}

func allOf(t *testing.T, r io.Reader, o scraper.ParseOptions) []string {
	var out []string
	seen := map[string]bool{}
	o.Rejected = func(r scraper.Rejection) {
		if len(r.Text) > 200 || r.Reason == "" {
			t.Errorf("bad rejection %q %q", r.Text, r.Reason)
		}
	}
	for c, err := range scraper.Parse(r, o) {
		if err != nil {
			out = append(out, "error")
			continue
		}
		checkCandidate(t, c, o.Policy)
		if key := c.Endpoint.String(); seen[key] {
			t.Errorf("%q was given twice", key)
		} else {
			seen[key] = true
		}
		out = append(out, describe(c))
	}
	return out
}

func FuzzText(f *testing.F) {
	addSeeds(f, ".txt")
	fuzzReader(f, scraper.ParseOptions{As: "text"})
}

func FuzzCSV(f *testing.F) {
	addSeeds(f, ".csv", ".tsv", ".txt")
	fuzzReader(f, scraper.ParseOptions{As: "csv"})
}

func FuzzMarkdown(f *testing.F) {
	addSeeds(f, ".md")
	fuzzReader(f, scraper.ParseOptions{As: "markdown"})
}

func FuzzJSON(f *testing.F) {
	addSeeds(f, ".json", ".ndjson", ".js")
	fuzzReader(f, scraper.ParseOptions{As: "json"})
}

func FuzzJSONQuery(f *testing.F) {
	addSeeds(f, ".json")
	fuzzReader(f, scraper.ParseOptions{As: "json", JSON: map[string]string{"jq": "..", "host": "ip"}})
}

func FuzzXML(f *testing.F) {
	addSeeds(f, ".xml")
	fuzzReader(f, scraper.ParseOptions{As: "xml"})
}

func FuzzYAML(f *testing.F) {
	addSeeds(f, ".yaml")
	fuzzReader(f, scraper.ParseOptions{As: "yaml"})
}

func FuzzHTML(f *testing.F) {
	addSeeds(f, ".html")
	fuzzReader(f, scraper.ParseOptions{As: "html"})
}

func FuzzHTMLSelectors(f *testing.F) {
	addSeeds(f, ".html")
	fuzzReader(f, scraper.ParseOptions{As: "html", HTML: map[string]string{
		"row": "tr, li", "host": "td:first-child", "port": "td:nth-child(2)", "protocol": "td:last-child"}})
}

// FuzzScript runs any script where a page would write an address.
func FuzzScript(f *testing.F) {
	for _, s := range []string{
		`document.write("31.27.651.54".split("").reverse().join(""))`, `document.write(atob("NDUuOS44Ljc=").concat("404".substring(0+0, 4-2)))`,
		`document.write([60,61].map((c) => String.fromCharCode(c-8)).join(""))`, `a=1;b=a^7;document.write(":"+(b^3)+(a<<3))`, `Proxy('NDUuOS44Ljc6ODA=')`,
		`var x=[1,2,3].map(function(c){return c*2}).slice(1).join('.'),y="a".repeat(3);document.write(x+y.substr(1,1).charCodeAt(0).toString(16))`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		page := []byte("<table><tr><td>45.9.8.7<script>" + string(in) + "</script></td><td>80</td></tr></table>")
		allOf(t, bytes.NewReader(page), scraper.ParseOptions{As: "html"})
	})
}

// FuzzAuto has the format, the packing and the character set found out.
func FuzzAuto(f *testing.F) {
	addSeeds(f, "")
	fuzzReader(f, scraper.ParseOptions{MaxBytes: 1 << 20})
}
