//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor is the other end of sd_notify(3): a datagram socket and what came there.
type supervisor struct {
	conn *net.UnixConn
	mu   sync.Mutex // protects said
	said []string
}

// newSupervisor listens on a socket of the file system.
func newSupervisor(t *testing.T) *supervisor {
	t.Helper()
	dir, err := os.MkdirTemp("", "fw") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.said = append(s.said, string(buf[:n]))
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		os.RemoveAll(dir)
	})
	return s
}

// all is what came so far.
func (s *supervisor) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.said...)
}

// count is how many messages hold a text.
func (s *supervisor) count(text string) (n int) {
	for _, m := range s.all() {
		if strings.Contains(m, text) {
			n++
		}
	}
	return n
}

// bare is a configuration in which nothing works, and nothing is needed.
const bare = "sources: {builtin: false}\nchecker: {judges: [\"http://127.0.0.1:9/\"], own_ips: [127.0.0.1]}\n"

// supervised starts serve as a service manager does: with a socket to talk to and
// listening sockets from descriptor 3 on.
func supervised(t *testing.T, s *supervisor, config string, env []string, sockets ...*os.File) *server {
	t.Helper()
	out := prepare(t, config)
	p := &process{name: "freeway", done: make(chan struct{})}
	// LISTEN_PID is known only in the process itself; the shell becomes it.
	p.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, binary, out.dir+"/freeway.yaml")
	p.cmd.Env = append(os.Environ(), append(env, "NOTIFY_SOCKET="+s.conn.LocalAddr().String(), "FREEWAY_LOOPBACK_ONLY=1")...)
	if len(sockets) > 0 {
		p.cmd.Env = append(p.cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(sockets)))
	}
	p.cmd.ExtraFiles = sockets
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.run(t)
	out.process = p
	return out
}

// socketOf opens a listening socket for a service manager to hand over.
func socketOf(t *testing.T) (addr string, file *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err = l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return l.Addr().String(), file
}

// TestNotify: the service manager is told that the server is ready, reads its
// configuration, lives and stops; it lives only while it can serve.
func TestNotify(t *testing.T) {
	t.Parallel()
	m := newSupervisor(t)
	s := supervised(t, m, "gateway: {listen: GATEWAY}\n"+bare, []string{"WATCHDOG_USEC=400000"})
	eventually(t, "it is ready", func() bool { return m.count("READY=1\nSTATUS=serving: 0 proxies can be used") == 1 })
	if c, err := net.DialTimeout("tcp", s.gateway, time.Second); err != nil {
		t.Errorf("ready, but: %v", err)
	} else {
		c.Close()
	}
	eventually(t, "it gives signs of life", func() bool { return m.count("WATCHDOG=1") >= 3 })
	s.signal(syscall.SIGHUP)
	eventually(t, "the reload is over", func() bool { return m.count("READY=1\nSTATUS=the configuration was read") == 1 })
	var before unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
		t.Fatal(err)
	}
	for _, said := range m.all() {
		rest, ok := strings.CutPrefix(said, "RELOADING=1\nMONOTONIC_USEC=")
		if !ok {
			continue
		}
		n, _, _ := strings.Cut(rest, "\n")
		if at, err := strconv.ParseInt(n, 10, 64); err != nil || at <= 0 || at > before.Nano()/1000 {
			t.Errorf("RELOADING with the time %q, %v; now %d", n, err, before.Nano()/1000)
		}
	}
	if m.count("RELOADING=1\nMONOTONIC_USEC=") != 1 {
		t.Errorf("said %q", m.all())
	}
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if m.count("STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000\nSTATUS=stopping") != 1 {
		t.Errorf("at the end: %q", m.all())
	}
}

// TestActivation: sockets of the service manager are used in the order or by the
// names in which they come, serve on over reloads that change addresses, and lose
// nobody over a restart: who connects meanwhile waits in their queue.
func TestActivation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, names string
		gateway     int // which of the sockets it is
	}{{"in order", "", 0}, {"by name", "admin:gateway", 1}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newSupervisor(t)
			one, fileOne := socketOf(t)
			two, fileTwo := socketOf(t)
			gateway, admin := one, two
			if tt.gateway == 1 {
				gateway, admin = two, one
			}
			env := []string{"LISTEN_FDNAMES=" + tt.names}
			s := supervised(t, m, "gateway: {listen: GATEWAY}\n"+bare, env, fileOne, fileTwo)
			configured := s.gateway
			s.gateway, s.admin = gateway, admin
			s.waitUp(t)
			serves(t, gateway)
			if c, err := net.Dial("tcp", configured); err == nil {
				c.Close()
				t.Error("it listens at the configured address as well")
			}
			text, err := os.ReadFile(s.dir + "/freeway.yaml")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				text = []byte(strings.Replace(string(text), configured, fmt.Sprintf("127.0.0.1:%d", freePort(t)), 1))
				if err := os.WriteFile(s.dir+"/freeway.yaml", text, 0o600); err != nil {
					t.Fatal(err)
				}
				if status, body := s.post(t, "/api/reload"); status != http.StatusOK {
					t.Fatalf("reload: %d %s", status, body)
				}
				serves(t, gateway)
			}
			s.signal(syscall.SIGTERM)
			if code := s.exitCode(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			waiting, err := net.Dial("tcp", gateway) // nobody serves now
			if err != nil {
				t.Fatalf("between two runs: %v", err)
			}
			defer waiting.Close()
			next := supervised(t, m, "gateway: {listen: GATEWAY}\n"+bare, env, fileOne, fileTwo)
			answered503(t, waiting)
			next.signal(syscall.SIGTERM)
			if code := next.exitCode(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestActivationRefuses: a socket that others reach needs users, and a socket too
// many is a mistake.
func TestActivationRefuses(t *testing.T) {
	t.Parallel()
	wide, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wide.Close()
	open, err := wide.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	_, plain := socketOf(t)
	for name, tt := range map[string]struct {
		files []*os.File
		names string
		want  string
	}{
		"open to all":        {[]*os.File{open}, "", "can be reached by others"},
		"one too many":       {[]*os.File{plain, plain, plain, plain}, "", "nothing is left to listen"},
		"no such listener":   {[]*os.File{plain}, "listener2", "gateway.listeners has only 0"},
		"without a key pair": {[]*os.File{plain}, "tls", "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := supervised(t, newSupervisor(t), "gateway: {listen: GATEWAY}\n"+bare, []string{"LISTEN_FDNAMES=" + tt.names}, tt.files...)
			if code := s.exitCode(t); code != 1 || !strings.Contains(s.out.String(), tt.want) {
				t.Errorf("exit code %d, %s", code, s.out.String())
			}
		})
	}
}

// serves asks the gateway something that needs no proxy.
func serves(t *testing.T, gateway string) {
	t.Helper()
	c, err := net.Dial("tcp", gateway)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answered503(t, c)
}

// answered503 sends a request that nothing can be found for and wants to hear so.
func answered503(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprint(c, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) || !strings.HasPrefix(string(all), "HTTP/1.1 503 ") {
		t.Errorf("answer %q, %v", all, err)
	}
}
