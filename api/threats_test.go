package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"freeway/api"
	"freeway/pool"
	"freeway/proxy"
)

// Without a token only a loopback address is listened at.
func TestThreat75NoOpenAdmin(t *testing.T) {
	t.Parallel()
	for listen, open := range map[string]bool{"": true, "127.0.0.1:8081": true, "[::1]:0": true, "localhost:8081": true, "127.9.9.9:1": true,
		":8081": false, "0.0.0.0:8081": false, "[::]:8081": false, "10.0.0.5:8081": false, "admin.example:8081": false, "[::ffff:10.0.0.1]:80": false} {
		err := api.Config{Listen: listen}.Validate()
		if (err == nil) != open || err != nil && !strings.Contains(err.Error(), "admin.token_file") {
			t.Errorf("Validate() of listen %q = %v, want open %v and the remedy", listen, err, open)
		}
		if err := (api.Config{Listen: listen, Token: proxy.NewSecret("t")}).Validate(); err != nil {
			t.Errorf("Validate() of listen %q with a token = %v", listen, err)
		}
	}
}

// A name of somebody else that points here is refused before anything is routed.
func TestThreat76Rebinding(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *api.Config, _ *api.Env) { c.Hosts = []string{"freeway.example"} })
	for _, path := range []string{"/api/stats", "/livez", "/metrics", "/compat/jhao104/get/", "/api/openapi.json", "/nothing"} {
		if status, _, body := w.do("GET", path, "", "Host", "evil.example"); status != 403 || !strings.Contains(body, "admin.hosts") {
			t.Errorf("GET %s of evil.example = %d %s, want 403 that names admin.hosts", path, status, body)
		}
		for _, host := range []string{"freeway.example:8081", "localhost", "127.0.0.1:9"} {
			if status, _, _ := w.do("GET", path, "", "Host", host); status == 403 {
				t.Errorf("GET %s of %s = 403", path, host)
			}
		}
	}
}

// Pages of others make no change, whatever they send, and read nothing.
func TestThreats77And78OtherOrigins(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	id := w.page("").Items[0].ID
	for _, tt := range []struct{ method, path, body, kind string }{
		{"POST", "/api/proxies", "9.9.9.8:80", "text/plain"},
		{"POST", "/api/feedback", `{"proxy":"` + id + `","verdict":"failed"}`, "text/plain"},
		{"POST", "/api/proxies/" + id + "/check", "", ""},
		{"DELETE", "/api/proxies/" + id, "", ""},
	} {
		for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"}} {
			status, header, _ := w.do(tt.method, tt.path, tt.body, append(h, "Content-Type", tt.kind)...)
			if status != 403 || header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s with %v = %d %v, want 403", tt.method, tt.path, h, status, header)
			}
		}
	}
	for _, method := range []string{"GET", "OPTIONS"} {
		_, header, _ := w.do(method, "/api/proxies", "", "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
		for name := range header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s answers %s: %v", method, name, header[name])
			}
		}
	}
	if status, _, body := w.do("POST", "/api/feedback", `{"proxy":"`+id+`","verdict":"failed"}`, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("feedback as text/plain = %d %s, want 415", status, body)
	}
	if w.page("").Total != 1 {
		t.Error("a page of another origin has changed the pool")
	}
}

// No spelling of a path gives a role more than it has, nor strangers anything.
func TestThreat79Spellings(t *testing.T) {
	t.Parallel()
	reloads := 0
	w := open(t, func(c *api.Config, e *api.Env) {
		c.Pprof = true
		for _, role := range []string{"viewer", "operator", "admin"} {
			x := api.Token{Name: role, Token: proxy.NewSecret(role)}
			if err := x.Role.UnmarshalText([]byte(role)); err != nil {
				t.Fatal(err)
			}
			c.Tokens = append(c.Tokens, x)
		}
		e.Reload = func(context.Context) (api.ReloadReport, error) { reloads++; return api.ReloadReport{}, nil }
	})
	spellings := []string{"/api/reload", "//api/reload", "/api//reload", "/api/reload/", "/API/RELOAD", "/api/./reload", "/api/x/../reload", "/api%2freload",
		"/%61pi/reload", "/api/reload%2f", "/livez/../api/reload", "/livez/%2e%2e/api/reload", "/static/style.css/../../api/reload", "/api/reload;x", "/api/reload?x"}
	for _, path := range spellings {
		for token, want := range map[string][]int{"": {401}, "wrong": {401}, "viewer": {403}, "operator": {403, 404, 405, 422}} {
			if status := w.raw("POST", path, token); !contains(want, status) {
				t.Errorf("POST %s as %q = %d, want one of %v", path, token, status, want)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "//debug/pprof/", "/debug//pprof/", "/debug/pprof/heap", "/debug/pprof/../pprof/heap", "/%64ebug/pprof/heap", "/DEBUG/pprof/"} {
		for token, want := range map[string][]int{"": {401}, "viewer": {403, 404}, "operator": {403, 404}} {
			if status := w.raw("GET", path, token); !contains(want, status) {
				t.Errorf("GET %s as %q = %d, want one of %v", path, token, status, want)
			}
		}
	}
	if reloads != 0 {
		t.Errorf("%d reloads by others than admins", reloads)
	}
	if status := w.raw("POST", "/api/reload", "admin"); status >= 300 || reloads != 1 {
		t.Errorf("reload as admin = %d, %d reloads, want one", status, reloads)
	}
	if status := w.raw("GET", "/debug/pprof/heap", "admin"); status != 200 {
		t.Errorf("pprof as admin = %d, want 200", status)
	}
}

func contains(all []int, n int) bool {
	for _, x := range all {
		if x == n {
			return true
		}
	}
	return false
}

// raw sends a path as it is spelt and returns the status.
func (w *world) raw(method, path, token string) int {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		token = "Authorization: Bearer " + token + "\r\n"
	}
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, path, token)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// Who asks is the connection, not what a header claims: a stranger's header
// does not open a listener of allowed clients.
func TestThreat80ForwardedFor(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	a, err := api.Open(api.Config{}, nil, api.Env{Pool: w.pool})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "True-Client-IP", "Forwarded", "CF-Connecting-IP"} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:5010/get/", nil)
		r.RemoteAddr = "11.0.0.1:5"
		r.Header.Set(name, "127.0.0.1")
		rec := httptest.NewRecorder()
		a.Door("jhao104", api.Compat{}).ServeHTTP(rec, r)
		if rec.Code != 403 {
			t.Errorf("a stranger with %s: %d, want 403", name, rec.Code)
		}
	}
}

func TestThreat81Underscores(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, name := range []string{"Proxy_Authorization", "x_api_key", "Sec_Fetch_Site", "Content_Type"} {
		want := 200
		if strings.Contains("Proxy_Authorization x_api_key Sec_Fetch_Site AUTHORIZATION_", name) {
			want = 400
		}
		if status, _, _ := w.do("GET", "/api/stats", "", name, "x"); status != want {
			t.Errorf("with header %s: %d, want %d", name, status, want)
		}
	}
}

// Bodies that are too large, too deep or ambiguous are refused, and cheaply.
func TestThreat82Bodies(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	id := w.page("").Items[0].ID
	good := `{"proxy":"` + id + `","verdict":"ok"}`
	for _, tt := range []struct {
		name, body string
		status     []int
		says       string
	}{
		{"as it should be", good, []int{200}, ""},
		{"a MiB and a byte", `{"verdict":"` + strings.Repeat("x", 1<<20) + `"}`, []int{413}, "too large"},
		{"deep", strings.Repeat("[", 1<<19), []int{400, 422}, "nested deeper"},
		{"deep objects", strings.Repeat(`{"a":`, 1<<17), []int{400, 422}, "nested deeper"},
		{"twice", `{"proxy":"` + id + `","verdict":"failed","verdict":"ok"}`, []int{400, 422}, "the name verdict is given twice"},
		{"twice, escaped", `{"proxy":"` + id + `","verdict":"failed","verd\u0069ct":"ok"}`, []int{400, 422}, "the name verdict is given twice"},
		{"unknown", `{"proxy":"` + id + `","verdict":"ok","score":1}`, []int{422}, "score"},
		{"twice, in another case", `{"proxy":"` + id + `","verdict":"failed","VERDICT":"ok"}`, []int{400, 422}, "given twice"},
		{"twice, with the sign of Kelvin", `{"K":1,"k":2}`, []int{400, 422}, "given twice"},
		{"two documents", good + good, []int{400, 422}, ""},
		{"cut", good[:len(good)-1], []int{400, 422}, ""},
		{"a list", "[" + good + "]", []int{400, 422}, ""},
		{"null", "null", []int{400, 422}, ""},
		{"nothing", "", []int{400, 422}, ""},
	} {
		status, _, body := w.do("POST", "/api/feedback", tt.body, "Content-Type", "application/json")
		if !contains(tt.status, status) || !strings.Contains(body, tt.says) || len(body) > 4096 {
			t.Errorf("%s: %d %.300s, want one of %v that says %q", tt.name, status, body, tt.status, tt.says)
		}
	}
}

// Clients set what the API lets them set, and ids cannot be counted up.
func TestThreat83MassAssignment(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	body := `[{"ip":"9.9.9.9","port":80,"protocol":"http","state":"live","score":1,"id":"mine","exit_ip":"9.9.9.8","checks":{"ok":99}}]`
	if status, _, answer := w.do("POST", "/api/proxies", body, "Content-Type", "application/json"); status != 200 {
		t.Fatalf("add = %d %s", status, answer)
	}
	p := w.page("").Items[0]
	if p.State != proxy.New || p.ID == "mine" || p.Checks.OK != 0 || p.ExitIP != "" {
		t.Errorf("the client has set %+v", p)
	}
	for _, id := range []string{"1", "0", "-1", "p1", "../stats", "%2e%2e", p.ID + "x", p.ID[:len(p.ID)-1]} {
		if status, _, _ := w.do("GET", "/api/proxies/"+id, ""); status == 200 && id != "../stats" && id != "%2e%2e" {
			t.Errorf("GET of id %q = 200", id)
		}
	}
}

// A long list is taken with little more memory than its text; what the
// pool has no room for is counted, and a list with a mistake adds nothing.
func TestThreat83LongList(t *testing.T) {
	const room, n = 20_000, 200_000
	w := open(t, func(_ *api.Config, e *api.Env) {
		p, err := pool.Open(t.Context(), pool.Config{MaxEntries: room}, pool.Env{})
		if err != nil {
			t.Fatal(err)
		}
		e.Pool = p
	})
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "9.%d.%d.%d:8080\n", i>>16, i>>8&255, i&255)
	}
	list := text.String()
	text = bytes.Buffer{}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go watchHeap(stop, peak)
	status, _, body := w.do("POST", "/api/proxies", list, "Content-Type", "text/plain")
	close(stop)
	top := <-peak
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes: %d MiB at most, %d MiB before", len(list), top>>20, before.HeapAlloc>>20)
	var got api.Added
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || got.New+got.Dropped["the pool is full"] != n || w.page("").Total > room || len(got.IDs) != 1000 {
		t.Errorf("add = %d, %d new, %v dropped (%v), %d in the pool; want all %d told and at most %d taken", status, got.New, got.Dropped, err, w.page("").Total, n, room)
	}
	if most := before.HeapAlloc + 24*uint64(len(list)); top > most {
		t.Errorf("the heap was %d MiB, want at most %d", top>>20, most>>20)
	}
	if status, _, _ := w.do("POST", "/api/proxies", strings.Repeat("x", 33<<20), "Content-Type", "text/plain"); status != 413 {
		t.Errorf("33 MiB = %d, want 413", status)
	}
}

// watchHeap notes the largest heap until stop is closed.
func watchHeap(stop chan struct{}, peak chan uint64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var m runtime.MemStats
	most := uint64(0)
	for {
		select {
		case <-tick.C:
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		case <-stop:
			peak <- most
			return
		}
	}
}

// Text of strangers is no markup for anybody, and no answer can be framed.
func TestThreats57And87Answers(t *testing.T) {
	t.Parallel()
	w := stocked(t, nil)
	for _, path := range []string{"/api/proxies", "/api/proxies?format=csv", "/api/proxies?format=txt", "/api/proxies?format=pac", "/api/proxies?format=clash",
		"/api/proxies/%3Cscript%3E", "/api/proxies?sort=%3Cscript%3E", "/compat/jhao104/get/", "/compat/python3webspider/all", "/%3Cscript%3E", "/metrics", "/readyz"} {
		_, h, body := w.do("GET", path, "")
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Content-Type") == "" {
			t.Errorf("GET %s: %v", path, h)
		}
		if strings.HasPrefix(h.Get("Content-Type"), "text/html") && strings.Contains(body, "<script") {
			t.Errorf("GET %s echoes %q", path, body)
		}
	}
}
