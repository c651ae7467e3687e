package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/api"
	"freeway/config"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

// running is a server of a test with its configuration file.
type running struct {
	*server
	file string
	log  *lockedBuffer
	stop func() error // ends it and returns what run returned
}

// serveFile opens and runs a server with a configuration file. DIR in the text
// is a folder of the test.
func serveFile(t *testing.T, text string) *running {
	t.Helper()
	return serveUnder(t, text, manager{})
}

// serveUnder is serveFile with a service manager.
func serveUnder(t *testing.T, text string, m manager) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{file: filepath.Join(dir, "freeway.yaml"), log: &lockedBuffer{}}
	base := "store: {path: DIR/freeway.db}\nadmin: {listen: \"127.0.0.1:0\"}\n"
	r.write(t, strings.ReplaceAll(base+text, "DIR", dir))
	load := func() (config.Config, error) { return config.Load(config.LoadOptions{Path: r.file}) }
	since := config.Fingerprint(r.file)
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	level := new(slog.LevelVar)
	r.server, err = openServer(t.Context(), cfg, serverOptions{log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: level})),
		level: level, control: loopback.Guard(t), load: load, watch: r.file, since: since, manager: m})
	if err != nil {
		t.Fatal(err)
	}
	r.runIt(t)
	return r
}

// runIt runs a server that is open until the test ends.
func (r *running) runIt(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, r.close())
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
}

func (r *running) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.file+".new", r.file); err != nil {
		t.Fatal(err)
	}
}

// change replaces a piece of the configuration file.
func (r *running) change(t *testing.T, old, with string) {
	t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("the file lacks %q", old)
	}
	r.write(t, strings.Replace(string(text), old, with, 1))
}

// get asks the admin listener.
func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return r.ask(t, http.MethodGet, path, "", nil)
}

// ask sends a request to the admin listener and returns what it answers.
func (r *running) ask(t *testing.T, method, path, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.admin.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// through returns a client of the gateway.
func (r *running) through(t *testing.T) *http.Client {
	t.Helper()
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Proxy:       http.ProxyURL(&url.URL{Scheme: "http", Host: r.gateway.Addr().String()}),
		DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}}
}

const nothingWorks = `
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: gone, url: "http://127.0.0.1:1/list.txt"}, {name: lost, file: DIR/missing.txt}]}
checker: {judges: ["http://127.0.0.1:1/"]}
log: {level: info}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`

// TestServeWithoutNetwork: the server stays up, says per source what failed,
// and answers 503 at once.
func TestServeWithoutNetwork(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	eventually(t, "both sources have failed", func() bool {
		failed := 0
		for _, res := range r.scraper.Results() {
			if res.Err != "" {
				failed++
			}
		}
		return failed == 2
	})
	begun := time.Now()
	resp, err := r.through(t).Get("http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Freeway-Error") != "no_upstream" {
		t.Errorf("GET through the gateway = %d %v, want 503 no_upstream", resp.StatusCode, resp.Header)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the answer took %v", took)
	}
	if status, body := r.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no proxy is live yet") {
		t.Errorf("GET /readyz = %d %q", status, body)
	}
	if status, _ := r.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("GET /livez = %d", status)
	}
	for _, name := range []string{"gone", "lost"} {
		if !strings.Contains(r.log.String(), name) {
			t.Errorf("the log does not say that %s failed", name)
		}
	}
}

// TestServeOverLab is serve itself, with a file source that names a SOCKS5
// proxy without saying so, a restart on the same store, and the audit log.
func TestServeOverLab(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	dir := t.TempDir()
	list := filepath.Join(dir, "list.txt")
	var lines string
	for range 3 {
		lines += add(t, l, lab.Upstream{Protocol: 4}).Address() + "\n"
	}
	if err := os.WriteFile(list, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	audit := filepath.Join(dir, "audit.log")
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
audit: {path: %q}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l), audit))
	eventually(t, "the proxies are live", func() bool { ok, _ := r.ready(); return ok && r.pool.Stats().Live == 3 })
	if err := fetch(t.Context(), r.through(t), l.HTTPName(), 5000, "x"); err != nil {
		t.Errorf("through the gateway: %v", err)
	}
	if _, body := r.get(t, "/api/explain?user=bob-protocol-socks5&url=https://example.com/"); !strings.Contains(body, `"left":3`) || !strings.Contains(body, "socks5://127.") {
		t.Errorf("explain = %s", body)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(audit)
	if err != nil || !strings.Contains(string(text), `"host":"www.lab.test","port":80,"decision":"allow",`) || strings.Contains(string(text), "/bytes") {
		t.Errorf("audit log: %v\n%s", err, text)
	}
}

// TestFeedbackAboutOpenTunnel: a tunnel is in /api/requests and feedback knows it
// while it is open; afterwards it is there once.
func TestFeedbackAboutOpenTunnel(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(add(t, l, lab.Upstream{Protocol: proxy.SOCKS5}).Address()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0", expose_upstream: true}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l)))
	eventually(t, "the proxy is live", func() bool { ok, _ := r.ready(); return ok && r.pool.Stats().Live == 1 })
	requests := func() (out []api.Request) {
		_, body := r.get(t, "/api/requests")
		var page api.Requests
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return page.Items
	}
	say := func(word string) (int, string) {
		return r.ask(t, "POST", "/api/feedback", word, http.Header{"Content-Type": {"application/json"}})
	}
	c, err := net.Dial("tcp", r.gateway.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	target := strings.TrimPrefix(l.HTTPName(), "http://") + ":80"
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\nFreeway-Options: tag-job7\r\n\r\n", target)
	answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"})
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("CONNECT: %v, %v", answer, err)
	}
	id := answer.Header.Get("Freeway-Request-Id")
	if got := requests(); len(got) != 1 || got[0].ID != id || !got[0].Running || len(got[0].Attempts) != 1 {
		t.Fatalf("while the tunnel is open the requests are %+v", got)
	}
	for _, word := range []string{`{"request_id": "` + id + `", "verdict": "ok"}`, `{"tag": "job7", "verdict": "captcha"}`} {
		if status, body := say(word); status != 200 || !strings.Contains(body, `"applied":1`) {
			t.Errorf("feedback %s = %d %s", word, status, body)
		}
	}
	if _, body := r.get(t, "/api/targets"); !strings.Contains(body, `"exit":`) {
		t.Errorf("after a captcha the targets are %s", body)
	}
	_ = c.Close()
	eventually(t, "the tunnel has ended", func() bool { got := requests(); return len(got) == 1 && got[0].ID == id && !got[0].Running })
	if status, body := say(`{"request_id": "` + id + `", "verdict": "ok"}`); status != 200 {
		t.Errorf("feedback after the end = %d %s", status, body)
	}
}

// TestUpstreamThatLeadsBack: a relay to the gateway looks like a proxy that works, by each
// protocol. It is found out by the first check, and never used.
func TestUpstreamThatLeadsBack(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	good := add(t, l, lab.Upstream{Protocol: proxy.SOCKS5})
	list := filepath.Join(t.TempDir(), "list.txt")
	text := good.Address() + "\n"
	for _, scheme := range []string{"http", "socks5", "socks4"} {
		text += scheme + "://" + back.Addr().String() + "\n"
	}
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s, recheck: 1s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l)))
	eventually(t, "the proxy is live", func() bool { ok, _ := r.ready(); return ok && r.pool.Stats().Live >= 1 })
	relay(t, back, r.gateway.Addr().String())
	for _, scheme := range []string{"http", "socks5", "socks4"} {
		ep, err := proxy.Parse(scheme + "://" + back.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, scheme+" is found out", func() bool {
			e, _ := r.pool.Find(ep)
			if e.State == proxy.Live {
				t.Fatalf("%s is live", scheme)
			}
			if e.State != proxy.Unsafe { // it was checked before the relay began
				r.pool.CheckNow(ep.ID())
			}
			return e.State == proxy.Unsafe && strings.Contains(e.Traits.Tampers, "loop")
		})
	}
}

// relay copies what comes to l to an address, both ways, until the test ends.
func relay(t *testing.T, l net.Listener, to string) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				all.Go(func() { _, _ = io.Copy(up, c); _ = up.Close() })
				_, _ = io.Copy(c, up)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
}

// TestReload: a good file is taken over by the watch, a bad one is refused and
// everything stays, and what cannot change says so.
func TestReload(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	r.change(t, "level: info", "level: debug")
	eventually(t, "the file's change is noticed", func() bool { return r.current().Log.Level == "debug" })
	if r.opt.level.Level() != slog.LevelDebug {
		t.Errorf("the log's level is %v", r.opt.level)
	}

	r.change(t, "level: debug", "level: loud")
	err := r.reload()
	if err == nil || !strings.Contains(err.Error(), `log.level: unknown level "loud"`) {
		t.Errorf("reload of a bad file = %v", err)
	}
	if got := r.current().Log.Level; got != "debug" {
		t.Errorf("after a bad file the level is %q", got)
	}
	r.change(t, "level: loud", "level: warn")
	r.change(t, "allow_targets: [127.0.0.0/8]", "allow_targets: []")
	report, err := r.reloadAndTell()
	if err != nil || !slices.Equal(report.NeedsRestart, []string{"network.allow_targets"}) {
		t.Errorf("reload of what needs a restart, beside what does not = %+v, %v", report, err)
	}
	if len(r.current().Network.AllowTargets) != 1 || r.current().Log.Level != "warn" {
		t.Errorf("in force: %v, %v", r.current().Network, r.current().Log)
	}
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, "freeway_config_restart_pending 1\n") {
		t.Error("the metrics do not say that a restart is pending")
	}
	r.change(t, "allow_targets: []", "allow_targets: [127.0.0.0/8]")
	if err := r.reload(); err != nil {
		t.Errorf("reload = %v", err)
	}
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, `freeway_config_reloads_total{result="failed"}`) {
		t.Errorf("the metrics do not count reloads")
	}
}

// TestReloadWhileStopping: it is refused, over the API with 503, and does not count as
// a bad configuration, which would raise an alert in each long drain.
func TestReloadWhileStopping(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	r.stopping.Store(true)
	for range 3 {
		if err := r.reload(); !errors.Is(err, api.ErrStopping) {
			t.Errorf("reload() = %v, want %v", err, api.ErrStopping)
		}
	}
	if status, _, _ := r.asks(t, nil).do("POST", "/api/reload", ""); status != http.StatusServiceUnavailable {
		t.Errorf("POST /api/reload: %d, want 503", status)
	}
	_, body := r.get(t, "/metrics")
	if strings.Contains(body, `freeway_config_reloads_total{result="failed"}`) || !strings.Contains(body, "freeway_config_last_reload_successful 1\n") {
		t.Error("the metrics say that the configuration is bad")
	}
}

// TestSecondServerNamesTheFirst: the store belongs to one process.
func TestSecondServerNamesTheFirst(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	cfg := r.current()
	_, err := openServer(t.Context(), cfg, serverOptions{log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("openServer on a store in use = %v, want the process to be named", err)
	}
}

// TestOwnListeners: an upstream that is one of our listeners would be a loop.
func TestOwnListeners(t *testing.T) {
	t.Parallel()
	s := &server{}
	own := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("0.0.0.0:9090"), netip.MustParseAddrPort("[::]:9091")}
	if s.isOwn(own[0]) {
		t.Error("before the listeners are bound nothing is our own")
	}
	s.own.Store(&own)
	for addr, want := range map[string]bool{"127.0.0.1:8080": true, "[::ffff:127.0.0.1]:8080": true, "127.0.0.2:8080": false, "127.0.0.1:8081": false,
		"127.5.6.7:9090": true, "192.0.2.1:9090": false, "[::1]:9091": true} {
		if got := s.isOwn(netip.MustParseAddrPort(addr)); got != want {
			t.Errorf("isOwn(%s) = %v, want %v", addr, got, want)
		}
	}
}

func TestRunStages(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	say := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	stage := func(name string, err error) part {
		return part{name, func(ctx context.Context) error {
			if err != nil {
				return err
			}
			<-ctx.Done()
			say(name)
			return nil
		}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runStages(ctx, func() { say("stopping") }, []part{stage("a", nil)}, []part{stage("b", nil)}, []part{stage("c", nil)}); err != nil {
		t.Errorf("runStages = %v", err)
	}
	if want := []string{"stopping", "a", "b", "c"}; !slices.Equal(order, want) {
		t.Errorf("order = %v, want %v", order, want)
	}
	order = nil
	broken := errors.New("broken")
	err := runStages(t.Context(), func() { say("stopping") }, []part{stage("a", nil)}, []part{stage("b", broken)}, []part{stage("c", nil)})
	if !errors.Is(err, broken) || err.Error() != "b: broken" {
		t.Errorf("runStages = %v, want b: broken", err)
	}
	if want := []string{"stopping", "a", "c"}; !slices.Equal(order, want) {
		t.Errorf("order after a failure = %v, want %v", order, want)
	}
}

// TestTokenFollowsItsFile: a reload reads the token again, and only then.
func TestTokenFollowsItsFile(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	token := filepath.Join(filepath.Dir(r.file), "token")
	put := func(text string) {
		if err := os.WriteFile(token, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.admin.Addr().String()+"/api/stats", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("none"); got != http.StatusOK {
		t.Errorf("without a token the API answers %d", got)
	}
	put("first-token")
	r.change(t, `admin: {listen: "127.0.0.1:0"}`, `admin: {listen: "127.0.0.1:0", token_file: token}`)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if a, b := status("first-token"), status("none"); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("with a token the API answers %d, and %d to another", a, b)
	}
	eventually(t, "the watch has reloaded, too", func() bool { return strings.Count(r.log.String(), "configuration reloaded") >= 2 })
	put("second-token")
	if got := status("first-token"); got != http.StatusOK {
		t.Errorf("before the reload the old token gets %d", got)
	}
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if a, b := status("second-token"), status("first-token"); a != http.StatusOK || b != http.StatusUnauthorized {
		t.Errorf("after the reload the new token gets %d, the old one %d", a, b)
	}
	put("")
	if err := r.reload(); err == nil || !strings.Contains(err.Error(), "admin.token_file: ") {
		t.Errorf("reload with an empty token file = %v", err)
	}
	if got := status("second-token"); got != http.StatusOK {
		t.Errorf("after a bad token file the token in force gets %d", got)
	}
}

// TestSourceThroughThePool: a list with via: pool is fetched through an
// upstream, and never directly.
func TestSourceThroughThePool(t *testing.T) {
	t.Parallel()
	l := startLab(t, lab.Config{})
	list := filepath.Join(t.TempDir(), "list.txt")
	var lines string
	for _, u := range []lab.Upstream{{Protocol: 4}, {Protocol: 4}, {}} {
		lines += add(t, l, u).String() + "\n"
	}
	if err := os.WriteFile(list, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serveFile(t, fmt.Sprintf(`
gateway: {listen: "127.0.0.1:0"}
sources: {builtin: false, list: [{name: mine, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1], timeout: 5s}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, list, l.JudgeHTTP(), l.JudgeHTTPS(), caFile(t, l)))
	eventually(t, "the proxies are live", func() bool { return r.pool.Stats().Live == 3 })
	u, err := url.Parse(l.HTTPName())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: r.throughPool, DisableKeepAlives: true}}
	if err := fetch(t.Context(), client, u.String(), 3000, "via"); err != nil {
		t.Errorf("through the pool: %v", err)
	}
	if n := l.DirectHits(); n != 0 {
		t.Errorf("%d connections went to a target directly", n)
	}
	var ok uint64
	for e := range r.pool.All(proxy.Filter{}) {
		ok += uint64(e.Uses.OK)
	}
	if ok != 1 {
		t.Errorf("%d uses are counted, want 1", ok)
	}
	if _, err := r.throughPool(t.Context(), "udp", "www.lab.test:80"); err == nil {
		t.Error("throughPool takes udp")
	}
}

// TestThroughPoolWithoutUpstreams: there is no direct way.
func TestThroughPoolWithoutUpstreams(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	if c, err := r.throughPool(t.Context(), "tcp", r.admin.Addr().String()); !errors.Is(err, proxy.ErrNone) {
		t.Errorf("throughPool = %v, %v, want ErrNone", c, err)
	}
}

// TestExplainRefusesWhatTheGatewayRefuses: explain says what a request would be answered.
func TestExplainRefusesWhatTheGatewayRefuses(t *testing.T) {
	t.Parallel()
	r := serveFile(t, strings.ReplaceAll(nothingWorks, `gateway: {listen: "127.0.0.1:0"}`,
		`gateway: {listen: "127.0.0.1:0", users: [{name: bob, password: x, require: country-de}]}`))
	for _, tt := range []struct{ user, url, want string }{
		{"bob", "tcp://mail.example.com:25", "forbidden_target: "},
		{"bob", "http://10.0.0.1/", "forbidden_target: "},
		{"bob", "http://" + r.gateway.Addr().String() + "/", "forbidden_target: "},
		{"bob", "http://" + r.admin.Addr().String() + "/", "forbidden_target: "},
		{"bob-country-us", "https://example.com/", "contradict"},
		{"bob-contry-us", "https://example.com/", "bad_options: "},
		{"eve", "https://example.com/", "auth_required: "},
	} {
		_, body := r.get(t, "/api/explain?"+url.Values{"user": {tt.user}, "url": {tt.url}}.Encode())
		if !strings.Contains(body, tt.want) || strings.Contains(body, `"left"`) {
			t.Errorf("explain %s %s = %s, want %q", tt.user, tt.url, body, tt.want)
		}
	}
	for _, url := range []string{"https://example.com/", "example.com:443", "1.2.3.4:8443", "tcp://example.com:22", "http://example.com"} {
		if _, body := r.get(t, "/api/explain?user=bob-country-de&url="+url); !strings.Contains(body, `"left":0`) {
			t.Errorf("explain of %s, which is allowed = %s", url, body)
		}
	}
}

// TestLockedStoreSaysWhomToAsk: every command that needs the store names the
// process that has it and the way to ask that.
func TestLockedStoreSaysWhomToAsk(t *testing.T) {
	t.Parallel()
	r := serveFile(t, nothingWorks)
	env := map[string]string{"FREEWAY_STORE_PATH": r.current().Store.Path, "FREEWAY_ADMIN_LISTEN": r.admin.Addr().String(), "FREEWAY_GATEWAY_LISTEN": "127.0.0.1:0"}
	const ask, end = "\"freeway get --server %s\" asks it instead\n", "end it first; \"freeway top --server %s\" shows what it does\n"
	for line, remedy := range map[string]string{
		"serve --log-level error":          "it probably serves at %s: end it first, or give this one another store.path\n",
		"store check":                      "\"freeway store check --server %s\" checks a copy of it\n",
		"store compact":                    end,
		"store backup -":                   "\"freeway store backup --server %s FILE\" asks it for a copy\n",
		"scan --store":                     ask,
		"scan --save socks5://192.0.2.1:1": "give it the list: curl --data-binary @FILE %s/api/proxies\n",
	} {
		want := fmt.Sprintf("is in use by process %d; ", os.Getpid()) + fmt.Sprintf(remedy, "http://"+r.admin.Addr().String())
		code, out, errs := command(t, env, strings.Fields(line)...)
		if code != 1 || out != "" || !strings.HasSuffix(errs, want) {
			t.Errorf("%s = %d, %q, %q, want %q", line, code, out, errs, want)
		}
	}
}
