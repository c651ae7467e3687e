package e2e_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestDashboardRoles logs in as everybody who may: a viewer sees no button that
// would be refused, an operator only what operators may do.
func TestDashboardRoles(t *testing.T) {
	axe, err := os.ReadFile(npm(t) + "/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	b := openBrowser(t)
	tokens := map[string]string{"viewer": "v-0123456789abcdef0123456789", "operator": "o-0123456789abcdef0123456789", "admin": "a-0123456789abcdef0123456789"}
	t.Setenv("FREEWAY_ADMIN_TOKENS", fmt.Sprintf(`[{name: eve, role: viewer, token: %s}, {name: olga, role: operator, token: %s}, {name: ada, role: admin, token: %s}]`,
		tokens["viewer"], tokens["operator"], tokens["admin"]))
	s := serve(t, "gateway: {listen: GATEWAY}\nchecker: {judges: [\"http://127.0.0.1:1/\"], own_ips: [127.0.0.1]}\n"+
		"sources: {builtin: false, list: [{name: mine, file: /dev/null, schedule: '@every 24h'}]}")
	home := "http://" + s.admin
	shown := func(selector string) string {
		return b.eval(fmt.Sprintf(`String([...document.querySelectorAll(%q)].filter((e) => e.checkVisibility()).length)`, selector))
	}
	for _, role := range []string{"viewer", "operator", "admin"} {
		b.run(chromedp.Navigate(home+"/sources"), chromedp.WaitVisible("#token"))
		b.accessible(string(axe), "log in")
		b.run(chromedp.SendKeys("#token", tokens[role]))
		b.click(`//button[text()="Log in"]`)
		b.run(chromedp.WaitVisible("header nav a"), chromedp.Navigate(home+"/sources"), chromedp.WaitVisible("#list tbody tr"))
		if n := shown("[hx-post]"); (n == "0") != (role == "viewer") {
			t.Errorf("%s: %s buttons and forms that change sources", role, n)
		}
		b.accessible(string(axe), role)
		b.run(chromedp.Navigate(home+"/config"), chromedp.WaitVisible("main h1"))
		if n := shown(`[hx-post="/ui/reload"]`); (n == "1") != (role == "admin") {
			t.Errorf("%s: %s buttons that reload the configuration", role, n)
		}
		b.quiet(role)
		b.click(`//button[text()="Log out"]`)
		b.run(chromedp.WaitVisible("#token"))
	}
}
