//go:build linux

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serveInto is serve with the standard error of the caller.
func serveInto(t *testing.T, stderr *os.File, config string) *server {
	t.Helper()
	s := &server{gateway: fmt.Sprintf("127.0.0.1:%d", freePort(t)), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), dir: t.TempDir(),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	full := fmt.Sprintf("store: {path: %s/freeway.db}\nadmin: {listen: %q}\n%s\n", s.dir, s.admin, strings.ReplaceAll(config, "GATEWAY", s.gateway))
	if err := os.WriteFile(s.dir+"/freeway.yaml", []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{name: "freeway", cmd: exec.Command(binary, "serve", "--config", s.dir+"/freeway.yaml"), done: make(chan struct{})}
	p.cmd.Stderr = stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // exitCode tells
		close(p.done)
	}()
	t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.done })
	s.process = p
	s.waitUp(t)
	return s
}

// chat makes the server log, and wants requests to be answered all the while.
func (s *server) chat(t *testing.T, rounds int) {
	t.Helper()
	client := s.proxyClient(t)
	for i := range rounds {
		resp, err := s.client.Post("http://"+s.admin+"/api/reload", "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		resp, err = client.Get("http://www.example.com/")
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Freeway-Error"); got != "no_upstream" {
			t.Fatalf("request %d: %d %s", i, resp.StatusCode, got)
		}
	}
}

// TestNobodyReadsTheLog: the pipe of stderr is full, so that a write would
// never end. Requests and reloads go on, and the server ends in time.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	s := serveInto(t, w, quietly)
	w.Close()
	s.chat(t, 60)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestTheReaderOfTheLogIsGone: writing to a pipe that nobody reads any more
// neither ends the process nor stops it; what is lost is counted.
func TestTheReaderOfTheLogIsGone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := serveInto(t, w, quietly)
	w.Close()
	r.Close()
	s.chat(t, 5)
	eventually(t, "failed writes are counted", func() bool { return s.metric(t, `freeway_log_dropped_total{reason="write"}`) > 0 })
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestLogFileOnSIGHUP: log and audit log are moved away and opened anew while
// requests run; not one line of the audit log is lost. Then the log rotates by itself.
func TestLogFileOnSIGHUP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, quietly+fmt.Sprintf("log: {file: %[1]s/log, format: json, max_size: 1KiB, max_files: 2}\naudit: {path: %[1]s/audit}\n", dir))
	const each, rounds = 40, 5
	client := s.proxyClient(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range each {
				resp, err := client.Get("http://www.example.com/secret?secret")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	for i := range rounds {
		for _, name := range []string{"log", "audit"} {
			if err := os.Rename(dir+"/"+name, fmt.Sprintf("%s/%s-%d", dir, name, i)); err != nil {
				t.Error(err)
			}
		}
		s.signal(syscall.SIGHUP)
		eventually(t, "both files are there anew", func() bool {
			_, err1 := os.Stat(dir + "/log")
			_, err2 := os.Stat(dir + "/audit")
			return err1 == nil && err2 == nil
		})
	}
	all.Wait()
	s.chat(t, 30)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var audit []byte
	for _, name := range []string{"audit", "audit-0", "audit-1", "audit-2", "audit-3", "audit-4"} {
		text, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		audit = append(audit, text...)
	}
	if n := bytes.Count(audit, []byte(`"outcome":"no_upstream"`)); n != 4*each+30 || bytes.Contains(audit, []byte("secret")) {
		t.Errorf("%d requests are in the audit log, want %d, without path or query", n, 4*each+30)
	}
	for _, name := range []string{"log", "log.1", "log.2"} {
		info, err := os.Stat(dir + "/" + name)
		if err != nil || info.Size() > 1<<10 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want at most 1 KiB with mode 600", name, info, err)
		}
	}
	if _, err := os.Stat(dir + "/log.3"); err == nil {
		t.Error("there is a third old file")
	}
	text, _ := os.ReadFile(dir + "/log")
	for line := range bytes.Lines(text) {
		if !json.Valid(line) {
			t.Errorf("a line is torn: %q", line)
		}
	}
	if out := s.out.String(); strings.Contains(out, "serving") {
		t.Errorf("the log went to stderr: %s", out)
	}
}

// TestLogHoldsNoSecrets: at level debug, with passwords, tokens, paths and
// queries in everything that is configured, asked and answered.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hush-hush"
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/headers", []byte("Authorization: Bearer "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := freePort(t)
	s := serve(t, fmt.Sprintf(`
gateway: {listen: "GATEWAY", users: [{name: bob, password: %[1]s-password}]}
sources: {builtin: false, list: [{name: gone, url: "http://127.0.0.1:%[2]d/%[1]s/list?key=%[1]s", headers: {X-Key: %[1]s}}]}
checker: {judges: ["http://127.0.0.1:1/"], own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
log: {level: debug, sample: {first: 0}}
tracing: {endpoint: "http://127.0.0.1:%[2]d", headers_file: %[3]s/headers}
`, secret, closed, dir))
	resp, err := s.client.Post("http://"+s.admin+"/api/proxies", "text/plain", strings.NewReader(fmt.Sprintf("http://u:%s@127.0.0.1:%d\n", secret, closed)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, q := range []struct{ user, path string }{{"bob:" + secret + "-password", secret}, {"bob:" + secret, secret}, {"", "?" + secret}, {"bob-country-" + secret + ":" + secret, secret}} {
		req, err := http.NewRequest("GET", "http://127.0.0.1:1/"+q.path+"?token="+secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", secret)
		req.Header.Set("Authorization", "Bearer "+secret)
		if q.user != "" {
			req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(q.user)))
		}
		s.throughGateway(t, req).Body.Close()
	}
	for _, path := range []string{"/api/proxies?token=" + secret, "/nothing/" + secret, "/api/stats?" + secret} {
		req, err := http.NewRequest("GET", "http://"+s.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		if resp, err = s.client.Do(req); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	eventually(t, "the source has failed and the collector was tried", func() bool {
		out := s.out.String()
		return strings.Contains(out, "gone") && strings.Contains(out, "traces")
	})
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out := s.out.String(); strings.Contains(out, secret) {
		t.Errorf("the log holds a secret:\n%s", out)
	}
}

// TestAuditDiskIsFull: requests go on, and what is missing is counted.
func TestAuditDiskIsFull(t *testing.T) {
	t.Parallel()
	s := serve(t, quietly+"audit: {path: /dev/full}\n")
	began := time.Now()
	s.chat(t, 5)
	eventually(t, "the lost requests are counted", func() bool { return s.metric(t, "freeway_audit_lost_total") == 5 })
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 && code != 1 {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	if !strings.Contains(s.out.String(), "audit log cannot be written; requests go on") {
		t.Error("the log does not say so")
	}
}
