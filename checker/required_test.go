package checker_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"freeway/checker"
	"freeway/lab"
	"freeway/proxy"
)

// TestRequiredTargetGone: when the page itself goes away, proxies are not to
// blame, once there are enough that say so; when it is back they are.
func TestRequiredTargetGone(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer srv.Close()
	l := start(t, lab.Config{AllowLoopback: true})
	b := benchOver(t, l, func(c *checker.Config, _ *checker.Env) {
		c.Targets = []checker.TargetCheck{{Name: "shop", URL: srv.URL, Required: true}}
	})
	ep := b.add(t, lab.Upstream{})
	passed := func(code int32) bool {
		status.Store(code)
		_, o := b.one(t, ep)
		return o.Class == proxy.OK
	}
	for range 30 {
		if passed(404) {
			t.Fatal("a page that nobody ever reached is excused")
		}
	}
	for range 3 {
		if !passed(200) {
			t.Fatal("a proxy that reaches the page fails")
		}
	}
	blamed := 0
	for !passed(404) {
		if blamed++; blamed > 200 {
			t.Fatal("200 proxies in a row are blamed for a page that is gone")
		}
	}
	if blamed < 19 { // the twentieth shows that it is the page
		t.Errorf("the page is taken for gone after %d misses", blamed)
	}
	if got := strings.Join(b.Status().Targets, ","); got != "shop" {
		t.Errorf("the status names %q, want shop", got)
	}
	if !passed(200) || len(b.Status().Targets) != 0 {
		t.Errorf("it is back, and the status names %v", b.Status().Targets)
	}
	if passed(404) {
		t.Error("when it is back a proxy that does not reach it passes")
	}
}
