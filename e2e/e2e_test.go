package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/internal/baddisk"
	"freeway/internal/loopback"
)

// patience bounds everything that is waited for; nothing should come near it.
const patience = 60 * time.Second

var binary string // the command under test, built by TestMain

func TestMain(m *testing.M) {
	if err := baddisk.Launch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "freeway-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "freeway")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../cmd/freeway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	code := 1
	if err := build.Run(); err == nil {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// process is a program that a test started and that ends with it.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	out  syncBuffer
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a program until the test ends; its output is shown when the test fails.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	p := &process{name: filepath.Base(name), cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.run(t)
	return p
}

// run starts the command of p until the test ends.
func (p *process) run(t testing.TB) {
	t.Helper()
	p.runWith(t, p.cmd.Start)
}

// runWith is run with another way to start the command.
func (p *process) runWith(t testing.TB, begin func() error) {
	t.Helper()
	p.cmd.WaitDelay = 10 * time.Second
	if err := begin(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // exitCode tells
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", strings.Join(p.cmd.Args, " "), tail(p.out.String(), 6000))
		}
	})
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

func (p *process) signal(sig os.Signal) { p.cmd.Process.Signal(sig) } //nolint:errcheck // it may have ended

// exitCode waits for the end.
func (p *process) exitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s did not end within %v", p.name, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// eventually polls until ok holds; other processes give no signal to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// ports are given out one after the other, below those that the system gives
// to connections and those of the lab, so that no test and no
// connection takes one before the program that it is for. They begin somewhere
// else in each run, for another run beside this one.
var ports = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(3_000 + uint32(os.Getpid()%60)*100)
	return &n
}()

// freePort returns a port of 127.0.0.1 that nothing listens on, and that no
// other test is given.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := int(ports.Add(1))
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// server is a running `freeway serve`.
type server struct {
	*process
	gateway, admin string // host:port
	client         *http.Client
	dir            string
}

// serve writes the configuration, of which it adds listeners and store, and starts the command.
func serve(t testing.TB, config string) *server {
	t.Helper()
	s := prepare(t, config)
	s.restart(t)
	return s
}

// prepare is serve without the start.
func prepare(t testing.TB, config string) *server {
	t.Helper()
	s := &server{
		gateway: fmt.Sprintf("127.0.0.1:%d", freePort(t)), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), dir: t.TempDir(),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{
			DialContext: (&net.Dialer{Control: loopback.Guard(t)}).DialContext, DisableKeepAlives: true}},
	}
	full := fmt.Sprintf("store: {path: %s/freeway.db}\nadmin: {listen: %q}\n%s\n", s.dir, s.admin,
		strings.ReplaceAll(config, "GATEWAY", s.gateway))
	if err := os.WriteFile(s.dir+"/freeway.yaml", []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends an empty POST to an API path.
func (s *server) post(t testing.TB, path string) (int, []byte) {
	t.Helper()
	resp, err := s.client.Post("http://"+s.admin+path, "application/json", nil)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	return resp.StatusCode, body
}

// restart starts the command again on the same store and waits until it answers.
func (s *server) restart(t testing.TB) {
	t.Helper()
	s.process = start(t, binary, "serve", "--config", s.dir+"/freeway.yaml")
	s.waitUp(t)
}

func (s *server) waitUp(t testing.TB) {
	t.Helper()
	eventually(t, "the admin API answers", func() bool {
		select {
		case <-s.done:
			t.Fatalf("serve ended: %s", tail(s.out.String(), 3000))
		default:
		}
		resp, err := s.client.Get("http://" + s.admin + "/livez")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// get returns the status and body of an API path.
func (s *server) get(t testing.TB, path string) (int, []byte) {
	t.Helper()
	resp, err := s.client.Get("http://" + s.admin + path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return resp.StatusCode, body
}

// total returns how many proxies match an API query.
func (s *server) total(t testing.TB, query string) int {
	t.Helper()
	status, body := s.get(t, "/api/proxies?limit=1&"+query)
	var page struct{ Total int }
	if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
		t.Fatalf("GET /api/proxies?%s = %d %s", query, status, tail(string(body), 500))
	}
	return page.Total
}

// run runs a client program and returns its standard output.
func run(t *testing.T, env []string, name string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, tail(stderr.String(), 500))
	}
	return out, nil
}
