//go:build linux

package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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

// TestOutOfDescriptors: connections that wait for a request make room when no
// descriptor is left, and the gateway goes on.
func TestOutOfDescriptors(t *testing.T) {
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
	b := newBench(t, `, users: [{name: bob, password: "", daily_bytes: 100KiB}]`)
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
