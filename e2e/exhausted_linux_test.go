package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// allowFiles changes how many descriptors a process may have, for a while.
func allowFiles(t *testing.T, pid int, n uint64) {
	t.Helper()
	var lim unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
		t.Fatalf("prlimit: %v", err)
	}
	lim.Cur = n
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &lim, nil); err != nil {
		t.Fatalf("prlimit: %v", err)
	}
}

// openFiles counts the descriptors of a process.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestThreat97NoDescriptorToDial: while no connection to an upstream and no file can
// be opened, requests get an answer that says so, nobody is blamed and a list that
// cannot be read keeps what it named; afterwards all is as before.
func TestThreat97NoDescriptorToDial(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 3, "", "")
	if err := s.short(false); err != nil {
		t.Fatalf("before: %v", err)
	}
	// Clients come first, so that what is missing is missing for dials and files.
	var clients []io.Writer
	for range 6 {
		clients = append(clients, s.dialGateway(t))
	}
	eventually(t, "they are accepted", func() bool { return s.metric(t, "freeway_gateway_open_connections") >= 6 })
	pid := s.cmd.Process.Pid
	allowFiles(t, pid, 3) // no new one at all; those that are open stay
	for _, c := range clients {
		fmt.Fprintf(c, "GET %s/bytes/100?seed=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", s.lab.HTTPName())
	}
	failed := 0
	for _, c := range clients {
		text, _ := io.ReadAll(c.(io.Reader))
		if strings.HasPrefix(string(text), "HTTP/1.1 50") {
			failed++
		} else if !strings.HasPrefix(string(text), "HTTP/1.1 200") { // one over a connection that was kept
			t.Errorf("without descriptors: %.200q", text)
		}
	}
	if failed == 0 {
		t.Error("every request was served, so nothing was shown")
	}
	allowFiles(t, pid, 1024)
	began := time.Now()
	eventually(t, "it serves again", func() bool { return s.short(false) == nil && s.short(true) == nil })
	t.Logf("served again after %v, %d descriptors", time.Since(began).Round(time.Millisecond), openFiles(t, pid))
	if n := s.total(t, "state=live"); n != 3 {
		t.Errorf("%d of 3 upstreams are live after it; the want of descriptors is ours", n)
	}
	if status, body := s.post(t, "/api/sources/mine/run"); status != http.StatusOK {
		t.Errorf("reading a list: %d %s", status, body)
	}
}

// TestThreat93Stopped: a process that stood still for 3 s, as on a machine that was
// paused, finishes what it was at and demotes nobody. (It sleeps for these 3 s.)
func TestThreat93Stopped(t *testing.T) {
	t.Parallel()
	s := newBench(t, "", "")
	upstreams := s.total(t, "state=live")
	s.signal(syscall.SIGTERM)
	s.exitCode(t)
	file := filepath.Join(s.dir, "freeway.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	often := strings.Replace(string(text), "checker: {", "checker: {recheck: 1s, connect_timeout: 2s, timeout: 2s, ", 1)
	if err := os.WriteFile(file, []byte(often), 0o600); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	eventually(t, "all are live", func() bool { return s.total(t, "state=live") == upstreams })
	came, answer := make(chan struct{}, 10), make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-answer
		io.WriteString(w, "whole") //nolint:errcheck // the test tells
	}))
	t.Cleanup(target.Close)
	type result struct {
		body string
		err  error
	}
	results := make(chan result, 3)
	client := s.proxyClient(t)
	for range 3 {
		go func() {
			resp, err := client.Get(target.URL)
			if err != nil {
				results <- result{"", err}
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			results <- result{fmt.Sprint(resp.StatusCode, " ", string(b)), err}
		}()
	}
	for range 3 {
		select {
		case <-came:
		case r := <-results:
			t.Fatalf("a request ended before the target answered: %q, %v", r.body, r.err)
		}
	}
	s.signal(syscall.SIGSTOP)
	close(answer)
	time.Sleep(3 * time.Second)
	s.signal(syscall.SIGCONT)
	for range 3 {
		if r := <-results; r.err != nil || r.body != "200 whole" {
			t.Errorf("a request that was under way: %q, %v", r.body, r.err)
		}
	}
	if n := s.total(t, "state=live"); n != upstreams {
		t.Errorf("%d of %d are live right after the pause", n, upstreams)
	}
	if resp, err := client.Get(target.URL); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("a request after the pause: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	_, metrics := s.get(t, "/metrics")
	for line := range strings.Lines(string(metrics)) {
		if strings.HasPrefix(line, "freeway_checks_total") && !strings.Contains(line, `result="ok"`) && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("a check failed because of the pause: %s", line)
		}
	}
}
