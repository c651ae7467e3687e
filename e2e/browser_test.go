package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium that reaches nothing but this machine, and what it
// complained about.
type browser struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex // protects problems
	problems []string
}

// openBrowser starts a Chromium of its own; it ends with the test.
func openBrowser(t testing.TB) *browser {
	t.Helper()
	need(t, "chromium")
	flags := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil { // starts it
		t.Fatal(err)
	}
	b.ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	enable := func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err1 := cdp.Call(ctx, tab, log.Enable, cdp.Empty{})
		_, err2 := cdp.Call(ctx, tab, network.Enable, network.EnableParams{})
		_, err3 := cdp.Call(ctx, tab, runtime.Enable, cdp.Empty{})
		return chromedp.Void{}, errors.Join(err1, err2, err3)
	}
	b.run(enable)
	return b
}

// listen notes errors on the console, exceptions, and requests that leave.
func (b *browser) listen(ev any) {
	problem := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("exception: %+v", ev.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
			problem = fmt.Sprintf("console %s: %s", ev.Type, string(ev.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			problem = fmt.Sprintf("log: %s %s", ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(ev.Request.URL); err != nil || u.Hostname() != "127.0.0.1" && u.Scheme != "data" && u.Scheme != "blob" {
			problem = "a request to " + ev.Request.URL
		}
	}
	if problem != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, problem)
	}
}

// run does what it is told, in order.
func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// eval returns what an expression gives, as a string.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// until waits until an expression is true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	eventually(b.t, what, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && ok
	})
}

// do runs a script for what it does.
func (b *browser) do(script string) { b.t.Helper(); b.eval(script + `; ""`) }

// click presses the first element that a CSS selector or an XPath finds.
func (b *browser) click(selector string) { b.t.Helper(); b.run(chromedp.Click(selector)) }

// quiet fails the test when the browser had something to complain about.
func (b *browser) quiet(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("%s: %s", where, p)
	}
	b.problems = nil
}

// accessible runs axe over the page.
func (b *browser) accessible(axe, where string) {
	b.t.Helper()
	b.do(axe)
	out := b.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.help + " at " + v.nodes.map((n) => n.target.join(" ")).slice(0, 3).join(", "))))`)
	var violations []string
	if err := json.Unmarshal([]byte(out), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: %s", where, v)
	}
}

// shot keeps a picture of the page when FREEWAY_SCREENSHOTS names a folder.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("FREEWAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// TestDashboard clicks through every page of the dashboard over the demo, on a
// desktop and on a phone: nothing complains, nothing is asked of other hosts,
// and axe finds nothing to criticise.
func TestDashboard(t *testing.T) {
	axe, err := os.ReadFile(npm(t) + "/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	d := startDemo(t, "--upstreams", "150")
	for range 12 { // something to show
		if out, err := run(t, nil, d.curls[0][0], append([]string{"-s", "--max-time", "20"}, d.curls[0][1:]...)...); err != nil {
			t.Logf("a request failed: %v %s", err, out)
		}
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"desktop", 1280, 900}, {"phone", 390, 844}} {
		b.run(chromedp.EmulateViewport(size.width, size.height))
		for name, path := range map[string]string{"overview": "/", "proxies": "/proxies?state=live", "sources": "/sources", "requests": "/requests", "use": "/use", "config": "/config"} {
			where := size.name + " " + name
			b.run(chromedp.Navigate(d.api+path), chromedp.WaitVisible("main h1"))
			if name == "overview" {
				b.until("the charts are drawn", `document.querySelectorAll(".chart canvas").length === 4`)
			}
			b.accessible(string(axe), where)
			if wide := b.eval(`String(document.documentElement.scrollWidth - innerWidth)`); strings.TrimPrefix(wide, "-") == wide && wide != "0" {
				t.Errorf("%s: the page is %s px wider than the screen", where, wide)
			}
			if size.name == "desktop" && (name == "requests" || name == "sources") {
				b.shot(size.name + "-" + name)
			}
			b.quiet(where)
		}
	}
	b.run(chromedp.EmulateViewport(1280, 900))
	b.clickThrough(t, d, string(axe))
	b.quiet("clicking")
	b.run(chromedp.Navigate(d.api+"/"), chromedp.WaitVisible("main h1"))
	b.until("the charts have something to show", `document.querySelectorAll(".chart canvas").length === 4`)
	b.until("the history is there", `(() => fetch("/ui/history.json").then((r) => r.json()).then((h) => { window.points = h.times.length; }) && window.points > 4)()`)
	b.shot("desktop-overview")
	b.run(chromedp.EmulateViewport(390, 844))
	b.shot("phone-overview")
}

// clickThrough uses what the pages offer.
func (b *browser) clickThrough(t *testing.T, d *demo, axe string) {
	t.Helper()
	// Overview: the numbers refresh by themselves.
	b.run(chromedp.Navigate(d.api+"/"), chromedp.WaitVisible("main h1"))
	b.until("the tiles are drawn anew", `(() => { const tile = document.querySelector(".tile"); if (!window.seen) { window.seen = tile; return false; } return window.seen !== tile; })()`)

	// Proxies: a filter, a column, the drawer and its buttons.
	b.run(chromedp.Navigate(d.api+"/proxies"), chromedp.WaitVisible("#list tbody tr"), chromedp.SetValue(`select[name=state]`, "live"))
	b.do(`document.querySelector("select[name=state]").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.until("only live ones are shown", `(() => { const s = [...document.querySelectorAll("#list tbody td:nth-child(2)")]; return s.length > 0 && s.every((c) => c.textContent === "live"); })()`)
	b.click(`//th/a[text()="Latency"]`)
	b.until("they are sorted by latency", `document.querySelector("th[aria-sort=ascending] a")?.textContent === "Latency"`)
	b.click("#list tbody button.link")
	b.run(chromedp.WaitVisible("#drawer h2"))
	b.accessible(axe, "the drawer")
	b.shot("desktop-drawer")
	b.click(`//dialog//button[text()="Check now"]`)
	b.until("the check is on its way", `document.querySelector("#drawer-note").textContent.includes("next in the queue")`)
	b.click(`//dialog//button[text()="Rest 10 minutes"]`)
	b.until("the proxy rests", `document.querySelector("#drawer-note").textContent.includes("not used for 10m")`)
	b.do(`navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }`)
	b.click(`//dialog//button[text()="Copy URL"]`)
	b.until("its URL is copied", `window.copied === document.querySelector("#drawer h2").textContent.trim()`)
	b.click(`//dialog//button[text()="Ban 30 days"]`)
	b.until("the proxy is gone", `document.querySelector("#drawer-note").textContent.includes("kept out for 30 days")`)
	b.click("#drawer .close")
	b.until("the drawer is closed", `!document.querySelector("#drawer").open`)

	// Sources: read one now, switch it off and on, try a list.
	b.run(chromedp.Navigate(d.api+"/sources"), chromedp.WaitVisible("#list tbody tr"))
	list := b.eval(`document.querySelector("#list tbody th").textContent.trim().split(" ")[0]`)
	b.click(`#list tbody tr .buttons button:first-child`)
	b.until("the list was read", `/endpoints|unchanged/.test(document.querySelector("#toast").textContent)`)
	b.click(`#list tbody tr .buttons button:last-child`)
	b.until("the source is off", `document.querySelector("#toast").textContent.includes("is switched off")`)
	b.until("the table shows it", fmt.Sprintf(`[...document.querySelectorAll("#list tr.off th")].some((h) => h.textContent.includes(%q))`, list))
	b.click(`#list tr.off .buttons button:last-child`)
	b.until("the source is on", `document.querySelector("#toast").textContent.includes("is switched on")`)
	b.run(chromedp.SetValue(`#try input[name=url]`, d.api+"/api/proxies?format=txt"))
	b.click(`//form[@id="try"]//button[text()="Test"]`)
	b.until("the list was tried", `/Accepted/.test(document.querySelector("#tried").textContent)`)
	b.run(chromedp.SetValue(`#try input[name=name]`, "tried-here"))
	b.click(`//form[@id="try"]//button[text()="Add"]`)
	b.until("the list was added", `document.querySelector("#tried").textContent.includes("tried-here is added")`)
	b.until("the table shows it, too", `[...document.querySelectorAll("#list tbody th")].some((h) => h.textContent.includes("tried-here"))`)

	// Requests: a request appears without a reload, its attempts lead to proxies.
	b.run(chromedp.Navigate(d.api+"/requests"), chromedp.WaitVisible("#list"))
	before := b.eval(`document.querySelector("#list tbody tr td:last-child")?.textContent + document.querySelectorAll("#list tbody tr").length`)
	run(t, nil, d.curls[0][0], append([]string{"-s", "--max-time", "20"}, d.curls[0][1:]...)...) //nolint:errcheck // whatever comes of it, it is a request
	b.until("the new request is there", fmt.Sprintf(`(document.querySelector("#list tbody tr td:last-child")?.textContent + document.querySelectorAll("#list tbody tr").length) !== %q`, before))
	b.do(`document.querySelector("#list details").open = true`)
	b.click("#list details button.link")
	b.run(chromedp.WaitVisible("#drawer h2"))

	// Use it: choices end up in the user name.
	b.run(chromedp.Navigate(d.api+"/use"), chromedp.SendKeys(`input[name=session]`, "a1"))
	b.until("the lines name the session", `document.querySelector("#lines code").textContent.includes("any-session-a1:@127.0.0.1")`)

	// Configuration: what the demo chose is not called a default.
	b.run(chromedp.Navigate(d.api+"/config"), chromedp.WaitVisible("main h1"))
	b.until("the demo's own address is named so", `[...document.querySelectorAll("tr")].some((r) => r.textContent.includes("checker.own_ips") && r.textContent.includes("the demo"))`)
}
