//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"freeway/internal/loopback"
)

// setFiles changes how many descriptors a process may have.
func setFiles(t *testing.T, pid int, n uint64) {
	t.Helper()
	lim := unix.Rlimit{Cur: n, Max: n}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &lim, nil); err != nil {
		t.Fatalf("prlimit: %v", err)
	}
}

// dialGateway opens a raw connection.
func (s *server) dialGateway(t *testing.T) net.Conn {
	t.Helper()
	d := net.Dialer{Control: loopback.Control, Timeout: patience}
	c, err := d.Dial("tcp", s.gateway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// TestThreat97OutOfDescriptors: connections that wait for a request make room when no
// descriptor is left, and the gateway goes on.
func TestThreat97OutOfDescriptors(t *testing.T) {
	t.Parallel()
	s := serve(t, "gateway: {listen: GATEWAY, max_connections: 10000}\nsources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:9/\"], own_ips: [127.0.0.1]}\n")
	setFiles(t, s.cmd.Process.Pid, 60)
	var idle []net.Conn
	for range 200 {
		idle = append(idle, s.dialGateway(t))
	}
	for range 3 {
		c := s.dialGateway(t)
		fmt.Fprint(c, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Freeway-Error") != "no_upstream" {
			t.Fatalf("with 200 connections on 60 descriptors: %v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	for _, c := range idle {
		c.Close()
	}
	if status, _ := s.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("afterwards /livez says %d", status)
	}
	if _, text := s.get(t, "/metrics"); !strings.Contains(string(text), "freeway_gateway_accept_errors_total") || strings.Contains(string(text), "freeway_gateway_accept_errors_total 0\n") {
		t.Error("no accept failed, so nothing was shown")
	}
}

// TestDailyBytesSurvive: what a user has used up stays so over a restart.
func TestDailyBytesSurvive(t *testing.T) {
	t.Parallel()
	b := newBench(t, `, users: [{name: bob, password: "", daily_bytes: 100KiB}]`, "")
	ask := func() int {
		req, err := http.NewRequest(http.MethodGet, b.o.http+"/page/150000", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Proxy-Authorization", "Basic Ym9iOg==")
		resp := b.throughGateway(t, req)
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	for i, want := range []int{200, 429} {
		if status := ask(); status != want {
			t.Errorf("request %d: %d, want %d", i, status, want)
		}
	}
	b.signal(syscall.SIGTERM)
	if code := b.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.restart(t)
	if status := ask(); status != http.StatusTooManyRequests {
		t.Errorf("after a restart: %d, want 429", status)
	}
}

// TestSecretsStayInside: what goes through the gateway leaves no trace but host
// and port: not in the log at its most talkative, the audit file, the API, the
// metrics or an error; passwords are nowhere at all.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	audit := filepath.Join(t.TempDir(), "audit.jsonl")
	b := newBench(t, `, expose_upstream: true, users: [{name: bob, password: USERSECRET}]`, fmt.Sprintf("log: {level: debug}\naudit: {path: %q}", audit))
	told := ""
	for i := range 8 { // each upstream, with and without an answer of the target
		path := []string{"/page/10?q=QUERYSECRET", "/PATHSECRET"}[i%2]
		req, err := http.NewRequest(http.MethodGet, b.o.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("bob:USERSECRET")))
		req.Header.Set("Cookie", "id=COOKIESECRET")
		resp := b.throughGateway(t, req)
		for name, values := range resp.Header {
			told += name + ": " + strings.Join(values, ",") + "\n"
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if want := []int{200, 404}[i%2]; resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	c := b.dialGateway(t)
	fmt.Fprintf(c, "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic %s\r\nCookie: id=COOKIESECRET\r\nConnection: close\r\n\r\n",
		base64.StdEncoding.EncodeToString([]byte("bob:USERSECRET")))
	answer, _ := io.ReadAll(c)
	places := map[string]string{"an error": string(answer), "answers' headers": told}
	for _, path := range []string{"/api/requests", "/api/proxies?format=txt", "/api/proxies", "/api/config", "/api/stats", "/api/targets", "/metrics"} {
		_, body := b.get(t, path)
		places[path] = string(body)
	}
	b.signal(syscall.SIGTERM)
	b.exitCode(t)
	lines, err := os.ReadFile(audit)
	if err != nil || len(lines) == 0 || !strings.Contains(places["/api/requests"], "127.0.0.1") {
		t.Errorf("the requests were not recorded: %v", err)
	}
	places["the audit file"], places["the log"] = string(lines), b.out.String()
	for where, text := range places {
		for _, secret := range []string{"QUERYSECRET", "PATHSECRET", "COOKIESECRET", "USERSECRET", upSecret, "Ym9iOlVTRVJTRUNSRVQ"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", where, secret, tail(text, 300))
			}
		}
	}
}
