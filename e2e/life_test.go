package e2e_test

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/internal/loopback"
)

// connections returns how many connections the origin has accepted.
func (o *origin) connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conns
}

// proxyClient is a client that uses the gateway for everything.
func (s *server) proxyClient(t *testing.T) *http.Client {
	u := &url.URL{Scheme: "http", Host: s.gateway}
	tr := &http.Transport{Proxy: http.ProxyURL(u), DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}
	return &http.Client{Transport: tr, Timeout: patience}
}

// throughGateway sends one request through the gateway.
func (s *server) throughGateway(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	resp, err := s.proxyClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// TestKillNine: threats row 65. It ends the server with SIGKILL at random moments while it scrapes
// and checks: what the API acknowledged is there afterwards.
func TestKillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	t.Parallel()
	const rounds = 50
	o := newOrigin(t)
	plain, secure := o.judge(t)
	dead := freePort(t)
	list := t.TempDir() + "/list.txt"
	var lines strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&lines, "127.8.%d.%d:%d\n", i/250, i%250+1, dead)
	}
	if err := os.WriteFile(list, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY"}
scraper: {schedule: "@every 1s"}
sources: {builtin: false, list: [{name: dead, file: %q}]}
checker: {judges: [%q, %q], judge_ca: %q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.0.0.0/8]}
`, list, plain, secure, o.ca))
	acknowledged := map[string]bool{}
	for round := range rounds {
		s.addUntilKilled(t, round, dead, acknowledged)
		s.restart(t)
		s.mustHave(t, round, acknowledged)
	}
	t.Logf("%d endpoints acknowledged over %d kills", len(acknowledged), rounds)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

// addUntilKilled adds endpoints in small requests until a SIGKILL, at a random
// moment of the stream, ends the server.
func (s *server) addUntilKilled(t *testing.T, round, port int, acknowledged map[string]bool) {
	t.Helper()
	kill := time.AfterFunc(time.Duration(rand.IntN(150)+1)*time.Millisecond, func() { s.signal(syscall.SIGKILL) })
	defer kill.Stop()
	for i := 0; ; i++ {
		var batch []string
		for j := range 5 {
			batch = append(batch, fmt.Sprintf("socks5://127.7.%d.%d:%d", round, (i*5+j)%250+1, port-1-(i*5+j)/250))
		}
		resp, err := s.client.Post("http://"+s.admin+"/api/proxies", "text/plain", strings.NewReader(strings.Join(batch, "\n")))
		if err != nil {
			break // killed: nothing was acknowledged
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			break
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("POST /api/proxies = %d %s", resp.StatusCode, body)
		}
		for _, e := range batch {
			acknowledged[e] = true
		}
	}
	<-s.done
}

func (s *server) mustHave(t *testing.T, round int, acknowledged map[string]bool) {
	t.Helper()
	_, body := s.get(t, "/api/proxies?format=txt")
	have := map[string]bool{}
	for line := range bytes.Lines(body) {
		have[string(bytes.TrimSpace(line))] = true
	}
	lost := 0
	for e := range acknowledged {
		if !have[e] {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("kill %d: %d of %d acknowledged endpoints are lost", round+1, lost, len(acknowledged))
	}
}

// TestTermUnderLoad: requests that had begun when SIGTERM came are answered whole.
func TestTermUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	all := peers(t)
	s := overPeers(t, o, listOf(t, all), len(all))
	const running = 12
	var wg sync.WaitGroup
	var right atomic.Int32
	for i := range running {
		wg.Go(func() {
			target := o.http + "/slow"
			if i%2 == 0 { // a tunnel
				right.Add(slowTunnel(t, s.gateway, strings.TrimPrefix(o.http, "http://")))
				return
			}
			req, _ := http.NewRequest(http.MethodGet, target, nil)
			resp, err := s.proxyClient(t).Do(req)
			if err != nil {
				t.Errorf("request: %v", err)
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err == nil && bytes.Equal(body, append(page(1000), page(2000)...)) {
				right.Add(1)
			} else {
				t.Errorf("request cut: %d bytes, %v", len(body), err)
			}
		})
	}
	for range running {
		<-o.slow // all are in the middle of their answers
	}
	s.signal(syscall.SIGTERM)
	eventually(t, "the gateway takes no new connections", func() bool {
		c, err := net.DialTimeout("tcp", s.gateway, time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(o.gate)
	wg.Wait()
	if n := right.Load(); n != running {
		t.Errorf("%d of %d requests were answered whole", n, running)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// slowTunnel asks for /slow through CONNECT and returns 1 when the answer is whole.
func slowTunnel(t *testing.T, gateway, target string) int32 {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := (&net.Dialer{Control: loopback.Guard(t)}).DialContext(ctx, "tcp", gateway)
	if err != nil {
		t.Errorf("tunnel: %v", err)
		return 0
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // a connection just opened
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET /slow HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, target, target)
	all, err := io.ReadAll(c)
	if err == nil && bytes.Contains(all, page(1000)) && bytes.Contains(all, page(2000)[:500]) {
		return 1
	}
	t.Errorf("tunnel cut: %d bytes, %v", len(all), err)
	return 0
}

// TestBinaryIsStatic: it needs no interpreter and no library of the system.
func TestBinaryIsStatic(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: looks at ELF files")
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %v segment", p.Type)
		}
	}
}
