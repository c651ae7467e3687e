package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// BenchmarkProxiesPage opens the dashboard's table over 100,000 proxies in
// Chromium, waits for its rows, filters it and waits for those that are left.
func BenchmarkProxiesPage(b *testing.B) {
	const n = 100_000
	b.StopTimer()
	page := openBrowser(b)
	s := serve(b, quietly)
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "socks5://11.%d.%d.%d:1080\n", i>>16, i>>8&255, i&255)
	}
	resp, err := s.client.Post("http://"+s.admin+"/api/proxies", "text/plain", strings.NewReader(list.String()))
	if err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status)
	}
	var shown, filtered time.Duration
	rounds := 0
	b.StartTimer()
	for b.Loop() {
		rounds++
		began := time.Now()
		page.run(chromedp.Navigate("http://" + s.admin + "/proxies"))
		page.until("rows", `document.querySelectorAll("tbody tr").length >= 20`)
		shown += time.Since(began)
		began = time.Now()
		page.do(`const f = document.querySelector("select[name=protocol]"); f.value = "http"; f.dispatchEvent(new Event("change", {bubbles: true}))`)
		page.until("no rows of another protocol", `document.querySelector("#list [role=status]").textContent.startsWith("0 ")`)
		filtered += time.Since(began)
	}
	b.ReportMetric(float64(shown.Milliseconds())/float64(rounds), "ms-shown")
	b.ReportMetric(float64(filtered.Milliseconds())/float64(rounds), "ms-filtered")
	page.quiet("the page of 100,000 proxies")
}
