package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"freeway/checker"
	"freeway/lab"
)

// TestReadinessIsOfTheGateway: a source that fails, a judge that does not answer,
// and in the end no judge at all do not make the server not ready; the parts say
// what is wrong. Without an upstream it is not ready, and says so.
func TestReadinessIsOfTheGateway(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(""), 0o600); err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf("%q, %q", l.JudgeHTTP(), l.JudgeHTTPS())
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: mine, file: %q, protocols: [http]}, {name: dead, url: "http://127.0.0.1:9/list.txt"}]}
checker: {judges: [%s, "http://127.0.0.1:9/"], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, list, good, caFile(t, l)))
	if status, body := r.get(t, "/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(body, "[-]upstreams: no proxy is live yet\n") || !strings.Contains(body, "not ready: no proxy is live yet\n") {
		t.Errorf("without an upstream: %d %s", status, body)
	}
	if err := os.WriteFile(list, []byte(add(t, l, lab.Upstream{}).Address()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.scraper.RunNow(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready, with a judge and a source that fail", func() bool {
		status, body := r.get(t, "/readyz?verbose")
		return status == http.StatusOK && strings.Contains(body, "[+]judges: 2 of 3 answer; the breakers of 1 are open\n") && strings.Contains(body, "[ ]sources: 2 on, 1 failed the last time\n")
	})
	r.change(t, good, `"http://127.0.0.1:9/x"`)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no judge answers", func() bool {
		status, body := r.get(t, "/readyz?verbose")
		if status != http.StatusOK {
			t.Fatalf("not ready for want of judges: %d %s", status, body)
		}
		return strings.Contains(body, "[ ]judges: 0 of 2 answer; the breakers of 2 are open\n") && strings.Contains(body, "[ ]checks: scores are frozen")
	})
	if _, body := r.get(t, "/readyz"); body != "ok\n" {
		t.Errorf("/readyz says %q", body)
	}
	for metric, want := range map[string]string{`freeway_judge_breakers{state="closed"}`: " 0", `freeway_scraper_breaker_state{source="dead"}`: " "} {
		if _, text := r.get(t, "/metrics"); !strings.Contains(text, metric+want) {
			t.Errorf("the metrics lack %s%s", metric, want)
		}
	}
	if _, body := r.get(t, "/api/sources"); strings.Count(body, `"breaker":"`) != 2 {
		t.Errorf("the sources do not show their breakers: %s", body)
	}
	if _, body := r.get(t, "/api/stats"); strings.Count(body, `"breaker":"`) != 2 {
		t.Errorf("the judges do not show their breakers: %s", body)
	}
}

// TestLivezWaitsForNothing: it answers, within 10 ms when the machine lets it,
// while a reload is stuck and so is every lock of the server.
func TestLivezWaitsForNothing(t *testing.T) {
	t.Parallel()
	r := serveFile(t, deployConfig)
	r.mu.Lock()
	defer r.mu.Unlock()
	fastest := time.Hour
	for range 500 {
		began := time.Now()
		if status, body := r.get(t, "/livez"); status != http.StatusOK || body != "ok\n" {
			t.Fatalf("/livez says %d %q", status, body)
		}
		if fastest = min(fastest, time.Since(began)); fastest < 10*time.Millisecond {
			return
		}
	}
	t.Errorf("the fastest of 500 answers of /livez took %v", fastest)
}

// TestJudgesNotAskedAreNotBroken: a judge that the configuration has just brought is
// not called broken before it was asked.
func TestJudgesNotAskedAreNotBroken(t *testing.T) {
	t.Parallel()
	for want, judges := range map[string][]checker.JudgeStatus{
		"1 of 1 answer": {{Up: true, Breaker: "closed"}},
		"0 of 2 answer; the breakers of 2 are open":                  {{Breaker: "open"}, {Breaker: "half-open"}},
		"1 of 3 answer; the breakers of 1 are open; 1 not asked yet": {{Up: true, Breaker: "closed"}, {Breaker: "open"}, {Breaker: "closed"}},
		"0 of 1 answer; 1 not asked yet":                             {{Breaker: "closed"}},
	} {
		if got := judgesPart(judges); got.Says != want || got.OK != judges[0].Up {
			t.Errorf("%+v: %+v, want %q", judges, got, want)
		}
	}
}
