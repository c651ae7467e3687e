package web_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"freeway/web"
)

func get(t *testing.T, h http.Handler, path string) (int, string, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Content-Type"), string(body)
}

func TestPage(t *testing.T) {
	t.Parallel()
	h, err := web.Handler(web.Env{Version: "v1<2", Gateway: "127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	code, kind, body := get(t, h, "/")
	if code != 200 || !strings.HasPrefix(kind, "text/html") || !strings.Contains(body, "127.0.0.1:8080") || !strings.Contains(body, "v1&lt;2") {
		t.Errorf("/ = %d %s, want the page with the gateway and an escaped version", code, kind)
	}
	// The policy of the listener allows nothing inline and nothing from elsewhere.
	if m := regexp.MustCompile(`(?i)<script>|\son\w+=|\sstyle=|<style|https?://[^1]`).FindString(body); m != "" {
		t.Errorf("the page holds %q, which its content security policy forbids", m)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		if code, _, _ := get(t, h, m[1]); code != 200 {
			t.Errorf("%s = %d", m[1], code)
		}
	}
	if m := regexp.MustCompile(`innerHTML|eval\(|https?://`).FindString(second(get(t, h, "/static/app.js"))); m != "" {
		t.Errorf("the script holds %q", m)
	}
}

func second(_ int, _, body string) string { return body }

func TestOnlyFiles(t *testing.T) {
	t.Parallel()
	h, err := web.Handler(web.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/static/", "/static", "/other", "/static/../web.go", "/templates/index.html"} {
		if code, _, _ := get(t, h, path); code == 200 {
			t.Errorf("%s = 200, want nothing there", path)
		}
	}
}

func ExampleHandler() {
	h, err := web.Handler(web.Env{Version: "v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
