package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// report is what POST /api/reload answers.
type report struct {
	OK           bool     `json:"ok"`
	Changed      []string `json:"changed"`
	NeedsRestart []string `json:"needs_restart"`
}

// reload asks for a reload that must work.
func (s *server) reload(t *testing.T) (r report) {
	t.Helper()
	status, body := s.post(t, "/api/reload")
	if err := json.Unmarshal(body, &r); err != nil || status != http.StatusOK || !r.OK {
		t.Fatalf("reload = %d %s", status, body)
	}
	return r
}

// swapped is a server whose configuration is a mounted ConfigMap: a symlink
// through ..data, which moves.
type swapped struct {
	*small
	mount string
	n     int
}

// put writes another version of the mounted configuration and moves ..data to it.
func (s *swapped) put(t *testing.T, text string) {
	t.Helper()
	s.n++
	version := filepath.Join(s.mount, fmt.Sprintf("..v%d", s.n))
	if err := os.Mkdir(version, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version+"/freeway.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(s.mount, "..data")
	before, _ := os.Readlink(data)
	if err := os.Symlink(filepath.Base(version), data+"_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+"_tmp", data); err != nil {
		t.Fatal(err)
	}
	if before != "" {
		os.RemoveAll(filepath.Join(s.mount, before))
	}
}

// versions are two configurations that differ in all that may change live.
func (s *swapped) versions(t *testing.T) [2]string {
	t.Helper()
	_, body := smallLab(t, 0) // another lab, with judges of its own
	ports := [2]int{freePort(t), freePort(t)}
	var out [2]string
	for i := range out {
		text, err := os.ReadFile(s.dir + "/freeway.yaml")
		if err != nil {
			t.Fatal(err)
		}
		out[i] = strings.Replace(string(text), "gateway: {", fmt.Sprintf(`gateway: {listeners: [{listen: "127.0.0.1:%d", options: country-u%c}], rotation: %s, per_client: {rate: %d}, allow_clients: [127.0.0.0/8], users: [{name: u%d, password: x, concurrency: %d}], timeouts: {connect: %ds}, `,
			ports[i], 's'+rune(i), []string{"adaptive", "random"}[i], 1000+i, i, 10+i, 3+i), 1)
		out[i] += fmt.Sprintf("scraper: {schedule: \"@every %dm\"}\ncompat: {scylla: \"%s\"}\n", 30+i, []string{"", fmt.Sprintf("127.0.0.1:%d", freePort(t))}[i])
		if i == 1 {
			judges := regexp.MustCompile(`judges: \[.*\], judge_ca`)
			out[i] = judges.ReplaceAllString(out[i], judges.FindString(body)[:strings.LastIndex(judges.FindString(body), ", judge_ca")]+", judge_ca")
			out[i] = strings.Replace(out[i], "name: mine", "name: other", 1)
		}
	}
	return out
}

// mounted starts a server over a ConfigMap.
func mounted(t *testing.T) *swapped {
	t.Helper()
	l, text := smallLab(t, 3)
	s := &swapped{&small{prepare(t, "gateway: {listen: GATEWAY}\n"+text), l}, t.TempDir(), 0}
	first, err := os.ReadFile(s.dir + "/freeway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, string(first))
	if err := os.Symlink("..data/freeway.yaml", s.mount+"/freeway.yaml"); err != nil {
		t.Fatal(err)
	}
	s.process = start(t, binary, "serve", "--config", s.mount+"/freeway.yaml")
	s.waitUp(t)
	s.live(t, 3)
	return s
}

// TestSwaps: the configuration changes a thousand times (FREEWAY_SWAPS; fewer
// without) in all that may change live, while a connection, a tunnel and short
// requests go on; no request fails, and descriptors and goroutines are as many as
// before.
func TestSwaps(t *testing.T) {
	t.Parallel()
	swaps, err := strconv.Atoi(os.Getenv("FREEWAY_SWAPS"))
	if err != nil {
		swaps = 60
	}
	s := mounted(t)
	both := s.versions(t)
	for i := range 10 { // until all is there that is made once
		s.put(t, both[i%2])
		s.reload(t)
	}
	for range 10 { // so that connections to the proxies are kept
		if err := s.short(false); err != nil {
			t.Fatal(err)
		}
	}
	tunnel, tunnelReader := s.held(t)
	eventually(t, "nothing else runs", func() bool { return s.metric(t, "freeway_gateway_running_requests") == 1 })
	files, goroutines := s.settled(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	done := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.short(done%2 == 0); err != nil && failed == nil {
				failed = fmt.Errorf("request %d: %w", done, err)
			}
			done++
		}
	})
	for i := range swaps {
		s.put(t, both[i%2])
		s.reload(t)
	}
	close(stop)
	wg.Wait()
	if failed != nil {
		t.Error(failed)
	}
	fmt.Fprintf(tunnel, "GET /bytes/100?seed=a HTTP/1.1\r\nHost: x\r\n\r\n")
	if p, err := http.ReadResponse(tunnelReader, nil); err != nil || p.StatusCode != http.StatusOK {
		t.Errorf("the tunnel: %v, %v", p, err)
	} else {
		_, _ = io.Copy(io.Discard, p.Body)
		p.Body.Close()
	}
	if swaps%2 == 1 {
		s.put(t, both[1])
		s.reload(t)
	}
	const kept = 6 // connections to the three proxies, that are kept for the next request or not
	f, g := 0.0, 0.0
	eventually(t, "descriptors and goroutines are as many as before", func() bool {
		f, g = s.settled(t)
		t.Logf("descriptors %v, before %v; goroutines %v, before %v", f, files, g, goroutines)
		return f <= files+kept && g <= goroutines
	})
	t.Logf("%d swaps, %d requests", swaps, done)
}

// held opens a tunnel that stays.
func (s *small) held(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := s.dialShort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Minute))
	r := bufio.NewReader(c)
	if err := openTunnel(c, r, strings.TrimPrefix(s.lab.HTTPName(), "http://")+":80"); err != nil {
		t.Fatal(err)
	}
	return c, r
}

// settled is how many descriptors and goroutines there are: the least of some
// looks, as checks come and go.
func (s *server) settled(t *testing.T) (files, goroutines float64) {
	t.Helper()
	files, goroutines = 1e9, 1e9
	for range 20 {
		files = min(files, s.metric(t, "process_open_fds"))
		goroutines = min(goroutines, s.metric(t, "go_goroutines"))
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // another process gives no signal
	}
	return files, goroutines
}

// TestThreat90MountedConfiguration: a moved ..data is noticed; what is cut
// leaves the old configuration, and is counted and logged.
func TestThreat90MountedConfiguration(t *testing.T) {
	t.Parallel()
	s := mounted(t)
	both := s.versions(t)
	rotation := func() string {
		_, body := s.get(t, "/api/config")
		return first2(string(body), `"rotation":"`)
	}
	s.put(t, both[1])
	eventually(t, "the moved symlink is noticed", func() bool { return rotation() == "random" })
	s.put(t, both[0][:len(both[0])/2]) // cut in the middle
	eventually(t, "a cut file is counted", func() bool { return s.metric(t, `freeway_config_reloads_total{result="failed"}`) >= 1 })
	if s.metric(t, "freeway_config_last_reload_successful") != 0 || rotation() != "random" || !strings.Contains(s.out.String(), "configuration not changed") {
		t.Error("a cut file is not refused, or not as it should be")
	}
	ok := s.metric(t, `freeway_config_reloads_total{result="ok"}`)
	s.put(t, both[0])
	eventually(t, "the good file is taken", func() bool { return rotation() == "adaptive" })
	if n := s.metric(t, `freeway_config_reloads_total{result="ok"}`); n != ok+1 || s.metric(t, "freeway_config_last_reload_successful") != 1 {
		t.Errorf("%v reloads worked, want %v", n, ok+1)
	}
	if err := s.short(true); err != nil {
		t.Error(err)
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// first2 is what stands between a text and the next quote.
func first2(text, after string) string {
	_, rest, _ := strings.Cut(text, after)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// TestListenersMove: the gateway and the admin API move to other ports, and to all
// addresses of the same port, with connections open; what needs a restart is
// named and keeps nothing else from changing; a port that is taken changes nothing.
func TestListenersMove(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 2, ", allow_clients: [127.0.0.0/8]", "")
	text, err := os.ReadFile(s.dir + "/freeway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, with string) {
		text = []byte(strings.Replace(string(text), old, with, 1))
		if err := os.WriteFile(s.dir+"/freeway.yaml", text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept, r := s.held(t)
	gateway, admin := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	old := s.gateway
	change(s.gateway, gateway)
	change(s.dir+"/freeway.db", s.dir+"/other.db")
	got := s.reload(t)
	if !slices.Contains(got.NeedsRestart, "store.path") || len(got.NeedsRestart) != 1 {
		t.Errorf("the reload says %+v", got)
	}
	s.gateway = gateway
	if err := s.short(true); err != nil {
		t.Errorf("at the new address: %v", err)
	}
	if c, err := net.Dial("tcp", old); err == nil {
		c.Close()
		t.Error("the old address is still open")
	}
	change(s.admin, admin)
	s.reload(t)
	s.admin = admin
	s.waitUp(t)
	_, port, _ := net.SplitHostPort(gateway)
	change(gateway, "0.0.0.0:"+port)
	s.reload(t)
	if err := s.short(false); err != nil {
		t.Errorf("at all addresses: %v", err)
	}
	change("0.0.0.0:"+port, admin)
	if status, _ := s.post(t, "/api/reload"); status == http.StatusOK {
		t.Error("the gateway moved to the port of the admin API")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	change("gateway: {listen: "+admin, "gateway: {listen: "+taken.Addr().String())
	if status, body := s.post(t, "/api/reload"); status == http.StatusOK || !strings.Contains(string(body), "address already in use") {
		t.Errorf("a port that is taken: %d %s", status, body)
	}
	if err := s.short(true); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	fmt.Fprintf(kept, "GET /bytes/100?seed=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if p, err := http.ReadResponse(r, nil); err != nil || p.StatusCode != http.StatusOK {
		t.Errorf("the tunnel from before: %v, %v", p, err)
	}
}
