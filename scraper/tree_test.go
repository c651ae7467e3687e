package scraper_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"

	"freeway/scraper"
)

// picked is the text of everything that a selector finds.
func picked(doc *goquery.Document, sel string) []string {
	var out []string
	for _, n := range doc.Find(sel).EachIter() {
		out = append(out, strings.Join(strings.Fields(n.Text()), " "))
	}
	return out
}

// TestTreesAreThoseOfBrowsers compares with what html.Parse makes of pages.
func TestTreesAreThoseOfBrowsers(t *testing.T) {
	t.Parallel()
	pages := map[string][]byte{}
	for i, s := range []string{
		"<table><tr><td>a<td>b<tr><td>c</table>", "<TABLE><TR><TH>a</TH></TR><TBODY><TR><TD>b</TD></TR></TABLE>", "<ul><li>a<li>b<ul><li>c</ul><li>d</ul>e", "<p>a<p>b<div>c</div>d",
		"<title>x</title><style>y</style><h1>a</h1>", "<html lang=de><head><meta charset=utf-8><title>x</title></head><body class=k><a>b</a></body></html>", "<dl><dt>a<dd>b<dt>c<dd>d</dl>",
		"<select><option>a<option>b</select>", "<table><tr><td><table><tr><td>a</td></tr></table></td><td>b</td></tr></table>", "a<br>b</br>c<img>d",
		"<table><thead><tr><th>a<tbody><tr><td>b<tfoot><tr><td>c</table>", "<div><span>a</div>b</span>c", "<script>var a='<td>';</script><b>b",
	} {
		pages[fmt.Sprint(i)] = []byte(s)
	}
	files, _ := filepath.Glob("testdata/parse/*.html")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[path] = b
	}
	for name, page := range pages {
		root, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		want, got := goquery.NewDocumentFromNode(root), goquery.NewDocumentFromNode(scraper.ParseTree(page))
		for _, sel := range []string{"td", "th", "table", "table > tbody > tr", "tr td:nth-child(2)", "td:first-child", "li", "ul > li", "body > div", "body > p", "dd", "option", "head > title", "div span", "[class]", "script", "a"} {
			if w, g := picked(want, sel), picked(got, sel); !slices.Equal(w, g) {
				t.Errorf("%s: %s finds %q, want %q", name, sel, g, w)
			}
		}
	}
}

// TestReopenedElementsCostNothing reads a page of which html.Parse makes a
// hundred times more than there is.
func TestReopenedElementsCostNothing(t *testing.T) {
	t.Parallel()
	var page bytes.Buffer
	page.WriteString("<p>")
	for i := range 150 {
		fmt.Fprintf(&page, "<b id=%d>", i)
	}
	page.WriteString("</p>" + strings.Repeat("<p>x", 1000))
	nodes := 0
	for range scraper.ParseTree(page.Bytes()).Descendants() {
		nodes++
	}
	if nodes > 2500 {
		t.Errorf("a page of 1,150 elements becomes %d nodes", nodes)
	}
}
