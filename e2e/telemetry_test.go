package e2e_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// mustWork sends requests, through tunnels and not, that must be answered rightly.
func (s *small) mustWork(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		if err := s.short(i%2 == 1); err != nil {
			t.Error(err)
		}
	}
}

// TestCollectorHangs: a collector that takes connections and never answers keeps
// no request waiting, and no server from ending.
func TestCollectorHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{})
	var once sync.Once
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			once.Do(func() { close(came) })
			all.Go(func() {
				defer c.Close()
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	s := newSmall(t, 2, "", fmt.Sprintf("tracing: {endpoint: \"http://%s\", sample_ratio: 1}", l.Addr()))
	s.live(t, 2)
	s.mustWork(t, 10)
	<-came
	s.mustWork(t, 10)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	l.Close()
	all.Wait() // the server has closed its connections
}

// TestLogDiskIsFull: requests go on where the log file cannot grow, and what is
// missing is counted.
func TestLogDiskIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", dir+"/log"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, quietly+"log: {file: "+dir+"/log, sample: {first: 0}}\n")
	s.chat(t, 5)
	eventually(t, "the lost lines are counted", func() bool { return s.metric(t, `freeway_log_dropped_total{reason="write"}`) > 0 })
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 && code != 1 {
		t.Errorf("exit code %d", code)
	}
}

// TestCardinality: what clients ask for, who they are and through what they go
// makes no series, and its names are in none.
func TestCardinality(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 3, "", "")
	s.live(t, 3)
	s.mustWork(t, 2)
	series := func() (names map[string]bool, text string) {
		status, body := s.get(t, "/metrics")
		if status != http.StatusOK {
			t.Fatalf("/metrics: %d", status)
		}
		names = map[string]bool{}
		for line := range strings.Lines(string(body)) {
			if !strings.HasPrefix(line, "#") {
				names[line[:strings.LastIndexByte(line, ' ')]] = true
			}
		}
		return names, string(body)
	}
	for i := range 200 {
		req, err := http.NewRequest("GET", fmt.Sprintf("http://host%d.lab.test/secret%d", i, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("user%d-session-s%d:x", i, i))))
		s.throughGateway(t, req).Body.Close()
	}
	some, _ := series()
	for i := range 200 {
		req, err := http.NewRequest("GET", fmt.Sprintf("http://other%d.lab.test/secret%d", i, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("other%d-session-s%d:x", i, i))))
		s.throughGateway(t, req).Body.Close()
	}
	more, text := series()
	for name := range more {
		if !some[name] {
			t.Logf("new: %s", name)
		}
	}
	if len(more) > len(some)+20 {
		t.Errorf("%d series after 200 hosts, %d after 400", len(some), len(more))
	}
	for _, m := range regexp.MustCompile(`(?m)^\w+\{.*(127\.\d|lab\.test|user\d|secret|session-|:\d{4}).*`).FindAllString(text, 5) {
		t.Errorf("a series names who or what was there: %s", m)
	}
}
