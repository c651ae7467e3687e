package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"freeway/internal/loopback"
)

// bench is what is started, and what was seen of it.
type bench struct {
	o       options
	dir     string
	world   *child
	info    worldInfo
	server  *child
	gateway string // host:port
	secure  string // host:port of the TLS listener
	admin   string // host:port
	api     *http.Client
	certs   *issuer
	keep    bool // dir stays

	calm    calm
	tally   tally
	samples []sample  // of the measured time
	before  level     // without load, highest
	after   level     // when the load was over and nothing went down any more
	zero    time.Time // when the measured time began
	ended   struct {  // what was done to it and how it ended
		world             worldReport
		reloads, refused  int // configurations that were put there: good ones, bad ones
		counted, uncaught int // of these, what the server counts
		renewed, served   int // certificates
		exit              error
	}
}

// token is that of the admin API; it is a secret of nothing.
const token = "soak-soak-soak-soak"

// child is a process that was started here.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader // nil: its output goes into a file
	done chan struct{}
}

// end stops a child and waits for it.
func (c *child) end() error {
	if c == nil {
		return nil
	}
	_ = c.in.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		_ = c.cmd.Process.Kill()
		<-c.done
		return errors.New("it did not end within a minute and was killed")
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

// heapProfiles reports whether the server samples its heap. The profile's own records
// are on the heap that is looked at, the more the more places were sampled, so it
// does only for who looks for a leak and sets GODEBUG=memprofilerate=4096.
func heapProfiles() bool { return strings.Contains(os.Getenv("GODEBUG"), "memprofilerate=") }

// launch starts a child. log gets its output; nil: the caller reads it.
func launch(log *os.File, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "FREEWAY_LOOPBACK_ONLY=1")
	if !heapProfiles() {
		c.cmd.Env = append(c.cmd.Env, "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+",memprofilerate=0", ","))
	}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if log != nil {
		c.cmd.Stdout, c.cmd.Stderr = log, log
	} else {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer w.Close()
		c.cmd.Stdout, c.out = w, bufio.NewReader(r)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	return c, nil
}

// open starts the world and the server. What it returns is closed by the caller, also with an error.
func open(ctx context.Context, o options) (*bench, error) {
	s := &bench{o: o, dir: o.out, keep: o.out != ""}
	var err error
	if s.keep {
		err = errors.Join(os.MkdirAll(s.dir, 0o755), os.RemoveAll(filepath.Join(s.dir, "conf"))) // of a run before
		for _, end := range []string{"", ".bak", ".pid"} {
			_ = os.Remove(filepath.Join(s.dir, "freeway.db"+end))
		}
	} else {
		s.dir, err = os.MkdirTemp("", "soak")
	}
	if err != nil {
		return nil, err
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return s, err
	}
	if err := s.openWorld(); err != nil {
		return s, fmt.Errorf("world: %w", err)
	}
	return s, s.openServer(ctx)
}

// close ends what is still running.
func (s *bench) close() {
	_ = s.server.end()
	_ = s.world.end()
	if !s.keep {
		_ = os.RemoveAll(s.dir)
	}
}

// openWorld starts this program again as the world.
func (s *bench) openWorld() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if s.world, err = launch(nil, self, "-role", "world", "-upstreams", strconv.Itoa(s.o.upstreams)); err != nil {
		return err
	}
	return s.fromWorld(&s.info)
}

// fromWorld reads one line of the world.
func (s *bench) fromWorld(v any) error {
	line, err := s.world.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// ask tells the world something and returns its report.
func (s *bench) ask(word string) (r worldReport, err error) {
	if _, err := fmt.Fprintln(s.world.in, word); err != nil {
		return r, err
	}
	return r, s.fromWorld(&r)
}

// openServer writes the files, starts the command and waits until it knows its upstreams.
func (s *bench) openServer(ctx context.Context) error {
	if err := s.findPorts(); err != nil {
		return err
	}
	for name, text := range map[string]string{"judge.key": s.info.Key, "ca.pem": s.info.CA} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	var err error
	if s.certs, err = newIssuer(s.dir); err != nil {
		return err
	}
	if err := s.configure(0); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "freeway.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.api = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dialer().DialContext,
		DisableCompression: true}} // what packs an answer is a megabyte of the heap that is looked at
	if s.server, err = launch(log, s.o.freeway, "serve", "--config", filepath.Join(s.dir, "conf", "freeway.yaml")); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		s.keep = true
		return fmt.Errorf("%w; see %s", err, log.Name())
	}
	return nil
}

// dialer reaches nothing but this machine.
func dialer() *net.Dialer { return &net.Dialer{Timeout: 10 * time.Second, Control: loopback.Control} }

// findPorts looks for three free ports below those that the system and the lab give out.
func (s *bench) findPorts() error {
	next := 9000 + os.Getpid()%100*10
	for _, at := range []*string{&s.gateway, &s.secure, &s.admin} {
		for range 500 {
			next++
			addr := fmt.Sprintf("127.0.0.1:%d", next)
			if l, err := net.Listen("tcp", addr); err == nil {
				_ = l.Close()
				*at = addr
				break
			}
		}
		if *at == "" {
			return errors.New("no port is free")
		}
	}
	return nil
}

// waitReady waits until most of the good upstreams are live; checks of the others go on.
func (s *bench) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		var stats struct{ States map[string]int }
		text, err := s.get("/api/stats")
		if err == nil && json.Unmarshal(text, &stats) == nil && stats.States["live"] >= s.info.Good*8/10 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("of %d good upstreams not enough are live after 3 minutes: %v, %w", s.info.Good, stats.States, errors.Join(err, ctx.Err()))
		case <-s.server.done:
			return errors.New("the server ended at once")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// get reads a path of the admin listener.
func (s *bench) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.api.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return body, err
}

// note prints a line with the time since the load began.
func note(since time.Time, format string, args ...any) {
	fmt.Printf("%8s  %s\n", time.Since(since).Round(time.Second), fmt.Sprintf(format, args...))
}

// heapProfile keeps a heap profile beside the log, if there is one.
func (s *bench) heapProfile(name string) {
	if heapProfiles() {
		s.profile(name, "/debug/pprof/heap?gc=1")
	}
}

// profile keeps a profile beside the log, where a folder was asked for or something failed.
func (s *bench) profile(name, path string) {
	if text, err := s.get(path); err == nil {
		_ = os.WriteFile(filepath.Join(s.dir, name), text, 0o644)
	}
}

// lists are the lines of the configuration for the world's lists.
func (s *bench) lists() string {
	var b strings.Builder
	for i, u := range s.info.Lists {
		fmt.Fprintf(&b, "    - {name: list%d, url: %q", i, u)
		name := strings.TrimSuffix(filepath.Base(u), ".txt")
		if name != "all" && name != "unknown" {
			fmt.Fprintf(&b, ", protocols: [%s]", name)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// metric returns the sum of the series of a name in the text of /metrics that hold label.
func metric(text []byte, name, label string) float64 {
	sum := 0.0
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok || len(rest) == 0 || rest[0] != '{' && rest[0] != ' ' || !bytes.Contains(rest, []byte(label)) {
			continue
		}
		v, _ := strconv.ParseFloat(string(bytes.TrimSpace(rest[bytes.LastIndexByte(rest, ' ')+1:])), 64)
		sum += v
	}
	return sum
}

// running runs functions until ctx ends and waits for them.
func running(ctx context.Context, fs ...func(context.Context)) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(func() { f(ctx) })
	}
	wg.Wait()
}
