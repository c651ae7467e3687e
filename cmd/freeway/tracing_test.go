package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"freeway/lab"
	"freeway/proxy"
)

// spanJSON is what this test wants to know of a span in OTLP.
type spanJSON struct {
	TraceID, SpanID, ParentSpanID, Name string
}

// collector takes spans.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []spanJSON
	text  strings.Builder
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			ResourceSpans []struct{ ScopeSpans []struct{ Spans []spanJSON } }
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		raw := json.RawMessage{}
		if err := json.NewDecoder(z).Decode(&raw); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(raw, &in); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text.Write(raw)
		for _, res := range in.ResourceSpans {
			for _, s := range res.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// path names a span with all above it.
func (c *collector) path(s spanJSON) string {
	for _, p := range c.spans {
		if p.TraceID == s.TraceID && p.SpanID == s.ParentSpanID && s.ParentSpanID != "" {
			return c.path(p) + " > " + s.Name
		}
	}
	return s.Name
}

// TestTracing: requests, checks and runs of sources arrive as spans at a real
// collector, the request's trace is an exemplar, and no path and no secret is in it.
func TestTracing(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	l := startLab(t, lab.Config{})
	dir := t.TempDir()
	list, headers := filepath.Join(dir, "list.txt"), filepath.Join(dir, "headers")
	ep, err := l.Add(lab.Upstream{Protocol: proxy.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{list: ep.String() + "\n", headers: "Authorization: Bearer s3cret-token\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0", users: [{name: bob, password: hunter2}]}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
tracing: {endpoint: %q, headers_file: %q}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l), c.URL, headers))
	eventually(t, "the proxy is live", func() bool { return r.pool.Stats().Live == 1 })
	client := r.through(t)
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.gateway.Addr().String(), User: url.UserPassword("bob", "hunter2")})
	if err := fetch(t.Context(), client, l.HTTPName(), 5000, "secret-path"); err != nil {
		t.Fatalf("through the gateway: %v", err)
	}
	_, metrics := r.ask(t, http.MethodGet, "/metrics", "", http.Header{"Accept": {"application/openmetrics-text;version=1.0.0"}}) // has exemplars
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var paths []string
	for _, s := range c.spans {
		paths = append(paths, c.path(s))
		if s.Name == "GET" && !strings.Contains(metrics, `# {trace_id="`+s.TraceID+`"}`) {
			t.Errorf("trace %s is no exemplar in\n%s", s.TraceID, regexp.MustCompile(`(?m)^.*trace_id.*$`).FindString(metrics))
		}
	}
	for _, want := range []string{"GET", "GET > pick", "GET > attempt", "GET > attempt > dial", "GET > attempt > first byte", "check", "check > probe", "check > probe > dial", "scrape"} {
		if !slices.Contains(paths, want) {
			t.Errorf("no span %q among %q", want, slices.Compact(slices.Sorted(slices.Values(paths))))
		}
	}
	for _, secret := range []string{"secret-path", "hunter2", "s3cret", "/bytes", "bob"} {
		if strings.Contains(c.text.String(), secret) {
			t.Errorf("the spans tell %q", secret)
		}
	}
}
