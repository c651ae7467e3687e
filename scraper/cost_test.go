package scraper_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"freeway/scraper"
)

// threat 54: runs without a space, in which every word looks like the beginning
// of something, cost no more than their length. The bound is generous: what cost
// the square of the length took ten times as long for a third of this.
func TestLongRunsAreCheap(t *testing.T) {
	t.Parallel()
	const size = 128 << 10
	for _, unit := range []string{"8.8.8.8:80:", "a=1&", "&amp;&#49;", "a:b@", "8.8.8.8:80@", "a.b.", "http://", "8.8.8.8:80:a:b:", "socks5://a:b@", "a:a:8.8.8.8:", `\u003ctr\u003e`,
		"x=8.8.8.8:80&", "8.8.8.8", "é", "1", "a", "/", "[", "::", "<td>", "<a href=x>", "<script>", "<p>", "&#", `8.8.8.8:80\n`, "8.8.8.8:80?", "(8.8.8.8:80)", "~8.8.8.8:80~"} {
		for _, before := range []string{"", "<html><body>", `{"a":"`, "- ", "ip,port\n"} {
			body := before + strings.Repeat(unit, size/len(unit))
			began := time.Now()
			for range scraper.Parse(strings.NewReader(body), scraper.ParseOptions{}) {
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%q in %q: %v for 128 KiB", unit, before, took)
			}
		}
	}
}

// threat 54: a reader that nobody waits for any more ends within a page, also
// when the page names no proxy.
func TestReadersStop(t *testing.T) {
	t.Parallel()
	gone := errors.New("nobody waits")
	for name, row := range map[string]string{"text": "nothing to see here\n", "html": "<tr><td>nothing</td><td>here</td></tr>", "json": `{"a":1},`, "csv": "a,b,c\n", "markdown": "| a | b |\n"} {
		body := strings.Repeat(row, 100_000)
		switch name {
		case "html":
			body = "<table>" + body
		case "json":
			body = "[" + body + "{}]"
		}
		asked := 0
		var last error
		var stats scraper.ParseStats
		o := scraper.ParseOptions{As: name, Stats: func(s scraper.ParseStats) { stats = s }, Stop: func() error {
			if asked++; asked == 3 {
				return gone
			}
			return nil
		}}
		for _, err := range scraper.Parse(strings.NewReader(body), o) {
			last = err
		}
		if !errors.Is(last, gone) || stats.Rows > 10_000 {
			t.Errorf("%s: %d rows were read, the last error is %v", name, stats.Rows, last)
		}
	}
}
