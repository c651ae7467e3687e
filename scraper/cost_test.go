package scraper_test

import (
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
