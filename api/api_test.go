package api_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"freeway/api"
	"freeway/pool"
	"freeway/proxy"
)

// world is the API over a real pool in memory, behind a real server.
type world struct {
	t    *testing.T
	pool *pool.Pool
	url  string
}

// open starts the API; change may alter what it is started with.
func open(t *testing.T, change func(*api.Config, *api.Env)) *world {
	t.Helper()
	p, err := pool.Open(t.Context(), pool.Config{}, pool.Env{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, env := api.Config{}, api.Env{Pool: p, Version: "test"}
	if change != nil {
		change(&cfg, &env)
	}
	tokens, err := cfg.AccessTokens()
	if err != nil {
		t.Fatal(err)
	}
	a, err := api.Open(cfg, tokens, env)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return &world{t, env.Pool, srv.URL}
}

// do sends a request and returns the status, the headers and the body.
func (w *world) do(method, path, body string, header ...string) (int, http.Header, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// page asks for a list and reads it.
func (w *world) page(query string) api.Page {
	w.t.Helper()
	status, _, body := w.do("GET", "/api/proxies?"+query, "")
	var p api.Page
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != http.StatusOK {
		w.t.Fatalf("GET /api/proxies?%s = %d %s (%v)", query, status, body, err)
	}
	return p
}

// check reports a passed or failed check of every address that is due.
func (w *world) check(n int, class proxy.Class, exit string, latency time.Duration) {
	w.t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
		job, err := w.pool.Next(ctx)
		cancel()
		if err != nil {
			w.t.Fatalf("Next: %v", err)
		}
		v := proxy.Verdict{Job: job}
		for _, e := range job.Entries {
			o := proxy.Outcome{Endpoint: e.Endpoint, At: time.Now(), Class: class, Stage: proxy.StageVerify, Origin: proxy.FromCheck,
				Phases: proxy.Phases{Connect: latency}}
			if class == proxy.OK {
				o.Learned = &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, Anonymity: proxy.Elite, ExitIP: netip.MustParseAddr(exit)}
			}
			v.Outcomes = append(v.Outcomes, o)
		}
		w.pool.Report(v)
	}
}

func TestAddThenList(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	status, _, body := w.do("POST", "/api/proxies?pool=own", "socks5://9.9.9.9:1080\nhttp://bob:secret@8.8.4.4:3128\n127.0.0.1:80\n", "Content-Type", "text/plain")
	var added api.Added
	if err := json.Unmarshal([]byte(body), &added); err != nil || status != http.StatusOK {
		t.Fatalf("POST /api/proxies = %d %s (%v)", status, body, err)
	}
	if added.New != 2 || len(added.IDs) != 2 || len(added.Refused) != 1 || added.Refused[0].Line != 3 {
		t.Errorf("POST /api/proxies = %s, want 2 new and line 3 refused", body)
	}
	p := w.page("sort=url")
	if p.Total != 2 || len(p.Items) != 2 {
		t.Fatalf("list = %+v, want 2", p)
	}
	first := p.Items[0]
	want := api.Proxy{ID: first.ID, URL: "http://bob@8.8.4.4:3128", Protocol: proxy.HTTP, Host: "8.8.4.4", Port: 3128, Pool: "own", State: proxy.New,
		Score: first.Score, Sources: first.Sources, FirstSeen: first.FirstSeen, NextCheck: first.NextCheck}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first item (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/api/proxies", "/api/proxies?format=csv", "/api/proxies?format=txt", "/api/proxies/" + first.ID} {
		if _, _, body := w.do("GET", path, ""); strings.Contains(body, "secret") {
			t.Errorf("GET %s shows the password", path)
		}
	}
}

func TestJSONFieldsOfAProxy(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.do("POST", "/api/proxies", "socks5://9.9.9.9:1080")
	_, _, body := w.do("GET", "/api/proxies", "")
	var page struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields(`id url protocol host port pool state score latency_ms anonymity forward tunnel exit_ip country asn org
		tampers sources first_seen last_checked last_live next_check checks uses error`) {
		if _, ok := page.Items[0][key]; !ok {
			t.Errorf("a proxy has no field %q: %s", key, body)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	var list strings.Builder
	for i := range 7 {
		fmt.Fprintf(&list, "http://9.9.9.%d:80\n", i+1)
	}
	w.do("POST", "/api/proxies", list.String())
	var got []string
	cursor := ""
	for range 10 {
		p := w.page("sort=url&limit=3&cursor=" + cursor)
		if p.Total != 7 {
			t.Errorf("total %d, want 7", p.Total)
		}
		for _, item := range p.Items {
			got = append(got, item.URL)
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(got) != 7 || !slices.IsSorted(got) || len(slices.Compact(got)) != 7 {
		t.Errorf("pages gave %v, want each once in order", got)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.do("POST", "/api/proxies", "socks5://9.9.9.9:1080\nhttp://8.8.4.4:3128\n")
	status, h, body := w.do("GET", "/api/proxies?format=txt&sort=url", "")
	if status != 200 || body != "http://8.8.4.4:3128\nsocks5://9.9.9.9:1080\n" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Errorf("txt = %d %q %v", status, body, h)
	}
	if _, _, body = w.do("GET", "/api/proxies?format=txt&sort=url&limit=1", ""); body != "http://8.8.4.4:3128\n" {
		t.Errorf("txt with a limit of 1 = %q", body)
	}
	_, h, body = w.do("GET", "/api/proxies?format=csv&sort=url", "")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][1] != "http://8.8.4.4:3128" || !strings.HasPrefix(h.Get("Content-Type"), "text/csv") {
		t.Errorf("csv = %v, %v %v", rows, err, h)
	}
	_, _, body = w.do("GET", "/api/proxies?format=ndjson", "")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	for _, line := range lines {
		var p api.Proxy
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Errorf("ndjson line %q: %v", line, err)
		}
	}
	if len(lines) != 2 {
		t.Errorf("ndjson gave %d lines, want 2", len(lines))
	}
	if h.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("no nosniff on an export")
	}
}

func TestRandom(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	status, h, body := w.do("GET", "/api/proxies/random", "")
	if status != http.StatusNotFound || h.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, "0 ") {
		t.Errorf("random of nothing = %d %v %s, want a 404 problem with a reason", status, h, body)
	}
	w.do("POST", "/api/proxies", "http://9.9.9.1:80\nhttp://9.9.9.2:80\nhttp://9.9.9.3:80\n")
	w.check(3, proxy.OK, "9.9.9.1", 100*time.Millisecond)
	status, _, body = w.do("GET", "/api/proxies/random?format=txt&wait=10s", "")
	if status != 200 || !strings.HasPrefix(body, "http://9.9.9.") {
		t.Errorf("random txt = %d %q, want a bare URL", status, body)
	}
	status, _, body = w.do("GET", "/api/proxies/random?protocol=HTTP&anonymity=anonymous", "")
	var one api.Proxy
	if err := json.Unmarshal([]byte(body), &one); err != nil || status != 200 || one.State != proxy.Live {
		t.Errorf("random = %d %s, want one live proxy", status, body)
	}
	status, _, body = w.do("GET", "/api/proxies/random?n=10", "")
	var many api.Page
	if err := json.Unmarshal([]byte(body), &many); err != nil || status != 200 || len(many.Items) != 3 {
		t.Errorf("random?n=10 = %d %s, want the 3 there are", status, body)
	}
	if status, _, body = w.do("GET", "/api/proxies/random?protocol=socks4", ""); status != http.StatusNotFound {
		t.Errorf("random of another protocol = %d %s, want 404", status, body)
	}
}

func TestDeleteKeepsOut(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.do("POST", "/api/proxies", "http://9.9.9.1:80")
	id := w.page("").Items[0].ID
	if status, _, body := w.do("DELETE", "/api/proxies/"+id, ""); status != http.StatusNoContent || body != "" {
		t.Errorf("DELETE = %d %s, want 204", status, body)
	}
	if status, _, _ := w.do("GET", "/api/proxies/"+id, ""); status != http.StatusNotFound {
		t.Errorf("GET after DELETE = %d, want 404", status)
	}
	if status, _, _ := w.do("DELETE", "/api/proxies/"+id, ""); status != http.StatusNotFound {
		t.Errorf("second DELETE = %d, want 404", status)
	}
	ep, _ := proxy.Parse("http://9.9.9.1:80")
	if _, err := w.pool.Add(t.Context(), "list", []proxy.Candidate{{Endpoint: ep}}); err != nil {
		t.Fatal(err)
	}
	if n := w.page("").Total; n != 0 {
		t.Errorf("a list brought back %d deleted endpoints", n)
	}
}

func TestFeedbackAndDetail(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.do("POST", "/api/proxies", "http://9.9.9.1:80")
	w.check(1, proxy.OK, "9.9.9.1", 100*time.Millisecond)
	id := w.page("").Items[0].ID
	before := w.page("").Items[0].Score
	status, _, body := w.do("POST", "/api/feedback", `{"proxy":"`+id+`","target":"example.com","verdict":"failed"}`, "Content-Type", "application/json")
	if status != 200 || !strings.Contains(body, `"applied":1`) {
		t.Fatalf("feedback = %d %s", status, body)
	}
	if after := w.page("").Items[0].Score; after >= before {
		t.Errorf("score %v after a failure, was %v", after, before)
	}
	_, _, body = w.do("GET", "/api/proxies/"+id, "")
	var d api.Detail
	if err := json.Unmarshal([]byte(body), &d); err != nil || d.Why == "" || len(d.History) < 2 || d.History[0].Origin != "feedback" {
		t.Errorf("detail = %s (%v), want a why and the feedback on top of the history", body, err)
	}
	if status, _, body := w.do("POST", "/api/feedback", `{"proxy":"nobody","verdict":"ok"}`, "Content-Type", "application/json"); status != 404 && status != 422 {
		t.Errorf("feedback on nobody = %d %s", status, body)
	}
	if status, _, _ := w.do("POST", "/api/proxies/"+id+"/check", ""); status != http.StatusAccepted {
		t.Errorf("check now = %d, want 202", status)
	}
}

func TestMistakesAreProblems(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	for _, tt := range []struct {
		method, path, body, names string
		status                    int
	}{
		{"GET", "/api/proxies?countri=de", "", "countri", 422},
		{"GET", "/api/proxies?country=deu", "", "country", 422},
		{"GET", "/api/proxies?limit=1001", "", "limit", 422},
		{"GET", "/api/proxies?format=xml", "", "format", 422},
		{"GET", "/api/proxies?sort=colour", "", "colour", 422},
		{"GET", "/api/proxies?cursor=%21%21", "", "cursor", 422},
		{"GET", "/api/proxies/random?wait=1h", "", "wait", 422},
		{"GET", "/api/proxies/random?state=dead", "", "state", 422},
		{"POST", "/api/proxies", "nothing here", "no endpoint", 422},
		{"POST", "/api/proxies", "10.0.0.1:8080", "not a public address", 422},
		{"POST", "/api/proxies?protocol=gopher", "1.2.3.4:80", "gopher", 422},
		{"GET", "/api/proxies?country=de&country=fr", "", "country", 422},
		{"POST", "/api/feedback", `{"verdict":"ok"}`, "request", 422},
		{"POST", "/api/feedback", `{"verdict":"great"}`, "verdict", 422},
		{"POST", "/api/feedback", `{"verdict":"ok","colour":"red"}`, "colour", 422},
		{"GET", "/api/nothing", "", "openapi.json", 404},
		{"GET", "/nothing", "", "openapi.json", 404},
		{"PUT", "/api/proxies", "", "PUT", 405},
		{"DELETE", "/api/sessions/none", "", "none", 404},
		{"DELETE", "/api/targets/none.example", "", "none.example", 404},
	} {
		status, h, body := w.do(tt.method, tt.path, tt.body, "Content-Type", "application/json")
		if status != tt.status || h.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, tt.names) {
			t.Errorf("%s %s = %d %s %s, want a %d problem that names %q", tt.method, tt.path, status, h.Get("Content-Type"), body, tt.status, tt.names)
		}
	}
}

func TestOpenAPIDescribesTheContract(t *testing.T) {
	t.Parallel()
	w := open(t, func(_ *api.Config, e *api.Env) {
		e.Config = func() any { return map[string]string{} }
		e.Reload = func(context.Context) (api.ReloadReport, error) { return api.ReloadReport{}, nil }
		e.Explain = func(string, string) (any, error) { return nil, nil }
	})
	status, _, body := w.do("GET", "/api/openapi.json", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("openapi = %d, version %q, %v", status, doc.OpenAPI, err)
	}
	for _, op := range []string{"get /api/proxies", "post /api/proxies", "get /api/proxies/random", "get /api/proxies/{id}", "delete /api/proxies/{id}",
		"post /api/proxies/{id}/check", "post /api/feedback", "get /api/explain", "get /api/sessions", "delete /api/sessions/{id}", "get /api/targets",
		"delete /api/targets/{domain}", "get /api/stats", "get /api/requests", "get /api/config", "post /api/reload"} {
		method, path, _ := strings.Cut(op, " ")
		if doc.Paths[path][method] == nil {
			t.Errorf("the document does not describe %s", op)
		}
	}
	w.do("POST", "/api/proxies", "http://9.9.9.1:80")
	for path, methods := range doc.Paths { // what it describes is there
		if methods["get"] == nil || strings.Contains(path, "{") || path == "/api/explain" || path == "/api/proxies/random" {
			continue
		}
		if status, _, body := w.do("GET", path, ""); status != 200 {
			t.Errorf("GET %s = %d %s", path, status, body)
		}
	}
}

func TestRequestsShowAttempts(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	ep, _ := proxy.Parse("socks5://9.9.9.9:1080")
	target, _ := proxy.ParseTarget("example.com:443", 0)
	w.pool.Record(proxy.Trace{ID: "r1", At: time.Now(), Method: "CONNECT", Target: target, Status: 200, Took: 1500 * time.Millisecond,
		Attempts: []proxy.Attempt{{Endpoint: ep, Stage: proxy.StageConnect, Class: proxy.Refused}, {Endpoint: ep, Stage: proxy.StageTunnel}}})
	_, _, body := w.do("GET", "/api/requests", "")
	var got api.Requests
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Items) != 1 {
		t.Fatalf("requests = %s (%v)", body, err)
	}
	r := got.Items[0]
	if r.ID != "r1" || r.Target != "example.com:443" || r.TookMS != 1500 || len(r.Attempts) != 2 || r.Attempts[0].Class != "refused" || r.Attempts[1].Class != "ok" {
		t.Errorf("request = %+v", r)
	}
}

// TestRequestsThatRun: the list says which they are, and feedback knows them.
func TestRequestsThatRun(t *testing.T) {
	t.Parallel()
	target, _ := proxy.ParseTarget("example.com:443", 0)
	var ep proxy.Endpoint
	p, err := pool.Open(t.Context(), pool.Config{}, pool.Env{Running: func(_ int, want func(*proxy.Trace) bool) []proxy.Trace {
		one := proxy.Trace{ID: "r2", Tag: "job7", At: time.Now(), Method: "CONNECT", Target: target, Status: 200, Took: time.Minute, Running: true}
		if !want(&one) {
			return nil
		}
		one.Attempts = []proxy.Attempt{{Endpoint: ep, Stage: proxy.StageTunnel}}
		return []proxy.Trace{one}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := open(t, func(_ *api.Config, e *api.Env) { e.Pool = p })
	w.do("POST", "/api/proxies", "http://9.9.9.1:80")
	ep, _ = proxy.Parse("http://9.9.9.1:80")
	p.Record(proxy.Trace{ID: "r1", At: time.Now().Add(-time.Hour), Method: "GET", Target: target, Status: 200})
	for path, want := range map[string]string{"/api/requests": "r2 true r1 false ", "/api/requests?running=true": "r2 true ", "/api/requests?running=false&limit=1": "r2 true "} {
		status, _, body := w.do("GET", path, "")
		var page api.Requests
		_ = json.Unmarshal([]byte(body), &page)
		got := ""
		for _, r := range page.Items {
			got += fmt.Sprint(r.ID, " ", r.Running, " ")
		}
		if status != 200 || got != want {
			t.Errorf("GET %s = %d %s", path, status, body)
		}
	}
	for body, want := range map[string]int{`{"request_id": "r2", "verdict": "captcha"}`: 200, `{"tag": "job7", "verdict": "banned"}`: 200,
		`{"request_id": "r1", "verdict": "ok"}`: 404, `{"request_id": "r3", "verdict": "ok"}`: 404, `{"request_id": "r2", "verdict": "great"}`: 422,
		`{"request_id": "r2", "tag": "job7", "verdict": "ok"}`: 422} {
		if status, _, answer := w.do("POST", "/api/feedback", body, "Content-Type", "application/json"); status != want {
			t.Errorf("feedback %s = %d %s, want %d", body, status, answer, want)
		}
	}
	if targets := p.Targets(); len(targets) != 1 || targets[0].Domain != "example.com" {
		t.Errorf("after a captcha the targets are %+v", targets)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	ready := false
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "freeway_test", Help: "h"}))
	w := open(t, func(_ *api.Config, e *api.Env) {
		e.Gatherer = reg
		e.Ready = func() (bool, []string) { return ready, []string{"no upstream is live"} }
	})
	if status, _, body := w.do("GET", "/livez", ""); status != 200 || body != "ok\n" {
		t.Errorf("livez = %d %q", status, body)
	}
	if status, _, body := w.do("GET", "/readyz", ""); status != 503 || !strings.Contains(body, "no upstream is live") {
		t.Errorf("readyz = %d %q, want 503 with the reason", status, body)
	}
	ready = true
	if status, _, _ := w.do("GET", "/readyz", ""); status != 200 {
		t.Errorf("readyz = %d, want 200", status)
	}
	if status, _, body := w.do("GET", "/metrics", ""); status != 200 || !strings.Contains(body, "freeway_test 0") {
		t.Errorf("metrics = %d %q", status, body)
	}
	if status, _, _ := w.do("GET", "/debug/pprof/", ""); status != 404 {
		t.Errorf("pprof = %d although it is off", status)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := open(t, func(c *api.Config, _ *api.Env) {
		c.Token = proxy.NewSecret("letmein")
		c.Pprof = true
	})
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"no token", "GET", "/api/proxies", nil, 401},
		{"bad token", "GET", "/api/proxies", []string{"Authorization", "Bearer nope"}, 401},
		{"token", "GET", "/api/proxies", []string{"Authorization", "Bearer letmein"}, 200},
		{"health needs none", "GET", "/livez", nil, 200},
		{"metrics need one", "GET", "/metrics", nil, 401},
		{"pprof needs one", "GET", "/debug/pprof/", nil, 401},
		{"pprof", "GET", "/debug/pprof/", []string{"Authorization", "Bearer letmein"}, 200},
		{"pprof heap", "GET", "/debug/pprof/heap", []string{"Authorization", "Bearer letmein"}, 200},
		{"arguments stay private", "GET", "/debug/pprof/cmdline", []string{"Authorization", "Bearer letmein"}, 404},
		{"encoded path", "GET", "/%61pi/proxies", nil, 401},
		{"double slash", "GET", "//api/proxies", nil, 401},
		{"rebinding", "GET", "/api/proxies", []string{"Host", "evil.example", "Authorization", "Bearer letmein"}, 403},
		{"other origin", "POST", "/api/proxies", []string{"Authorization", "Bearer letmein", "Origin", "http://evil.example"}, 403},
	} {
		if status, _, body := w.do(tt.method, tt.path, "", tt.header...); status != tt.status {
			t.Errorf("%s: %s %s = %d %s, want %d", tt.name, tt.method, tt.path, status, body, tt.status)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		cfg  api.Config
		want string // "": fine
	}{
		{"zero", api.Config{}, ""},
		{"any port", api.Config{Listen: "127.0.0.1:0"}, ""},
		{"localhost", api.Config{Listen: "localhost:8081"}, ""},
		{"open to all", api.Config{Listen: "0.0.0.0:8081"}, "without a token"},
		{"open to all, no host", api.Config{Listen: ":8081"}, "without a token"},
		{"with token", api.Config{Listen: ":8081", Token: proxy.NewSecret("x")}, ""},
		{"no port", api.Config{Listen: "127.0.0.1"}, "host:port"},
		{"bad port", api.Config{Listen: "127.0.0.1:99999"}, "port"},
		{"two tokens", api.Config{Token: proxy.NewSecret("x"), TokenFile: "y"}, "either"},
		{"bad host", api.Config{Hosts: []string{"a b"}}, "hosts[0]"},
	} {
		err := tt.cfg.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Validate() = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestRowDefusesFormulas(t *testing.T) {
	t.Parallel()
	row := api.Row(api.Proxy{Org: "=HYPERLINK(1)", Tampers: "@x"})
	if got := strings.Join(row, "|"); !strings.Contains(got, "'=HYPERLINK(1)") || !strings.Contains(got, "'@x") {
		t.Errorf("Row = %s", got)
	}
	if len(row) != len(api.Columns()) {
		t.Errorf("%d cells for %d columns", len(row), len(api.Columns()))
	}
}
