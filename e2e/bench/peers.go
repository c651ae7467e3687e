package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// peer is a proxy that is measured.
type peer struct {
	name  string
	addr  string
	pid   int
	cmd   *exec.Cmd
	stdin io.Closer
	dir   string // removed at the end; "" for none
}

// end stops the peer and waits for it.
func (p *peer) end() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	stop := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	stop.Stop()
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// startPeers starts the gateway, that of another build if there is one, then
// whatever else is installed.
func startPeers(o options, addrs string) (peers []*peer, err error) {
	this := func(addrs []string) (*peer, error) { return startGateway("freeway", "", o.cores, o.profile, addrs) }
	other := func(addrs []string) (*peer, error) {
		if o.beside == "" {
			return nil, nil
		}
		return startGateway("beside", o.beside, o.cores, "", addrs)
	}
	for _, start := range []func([]string) (*peer, error){this, other, startHAProxy, startSquid} {
		p, err := start(strings.Fields(addrs))
		if err != nil {
			return peers, err
		}
		if p != nil {
			peers = append(peers, p)
		}
	}
	return peers, nil
}

// startGateway starts the gateway of a build, see startBuild.
func startGateway(name, program string, cores int, profile string, addrs []string) (*peer, error) {
	g, addr, err := startBuild(program, cores, append([]string{"-role", "gateway", "-profile", profile}, addrs...)...)
	if err != nil {
		return nil, err
	}
	g.name, g.addr = name, addr
	return g, nil
}

// startBuild starts another build of this program, or this very one for "", in
// another role on so many cores and returns the first line that it prints.
func startBuild(program string, cores int, args ...string) (*peer, string, error) {
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, "", err
		}
		program = self
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cores))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return &peer{cmd: cmd, pid: cmd.Process.Pid, stdin: in}, strings.TrimSpace(line), err
}

// startOther runs a program of others with a configuration file, and waits until it listens.
func startOther(name string, args []string, file, conf, addr string) (*peer, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		fmt.Println(name, "is not installed and not measured")
		return nil, nil
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // squid changes its user
		return nil, err
	}
	conf = strings.ReplaceAll(conf, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, append(args, filepath.Join(dir, file))...)
	cmd.Stdout, cmd.Stderr = nil, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{name: name, addr: addr, cmd: cmd, pid: cmd.Process.Pid, stdin: in, dir: dir}
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return p, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.end()
	return nil, fmt.Errorf("%s does not listen", name)
}

// startHAProxy spreads over the upstreams in turn, on one thread.
func startHAProxy(addrs []string) (*peer, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	conf := "global\n nbthread 1\n maxconn 4000\ndefaults\n mode http\n timeout connect 3s\n timeout client 60s\n timeout server 60s\n timeout tunnel 300s\n" +
		" http-reuse safe\nlisten l\n bind " + addr + "\n balance roundrobin\n"
	for i, a := range addrs {
		conf += fmt.Sprintf(" server s%d %s\n", i, a)
	}
	return startOther("haproxy", []string{"-db", "-f"}, "haproxy.cfg", conf, addr)
}

// startSquid sends everything to the upstreams in turn and keeps nothing.
func startSquid(addrs []string) (*peer, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	conf := "http_port " + addr + "\nhttp_access allow all\nnever_direct allow all\ncache deny all\ncache_mem 8 MB\naccess_log none\ncache_log DIR/log\n" +
		"pid_filename none\nshutdown_lifetime 0 seconds\npinger_enable off\nnetdb_filename none\ndns_nameservers 127.0.0.1\n"
	for i, a := range addrs {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			return nil, err
		}
		conf += fmt.Sprintf("cache_peer %s parent %s 0 no-query no-digest no-netdb-exchange round-robin name=p%d\n", host, port, i)
	}
	return startOther("squid", []string{"-N", "-f"}, "squid.conf", conf, addr)
}

// freeAddr returns an address of loopback at which nothing listens.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// cpu returns the processor time that the peer has used: its CPU-time clock, see
// clock_getcpuclockid(3). Other than the ticks in /proc it counts nanoseconds.
func (p *peer) cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid<<3|2), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// rss returns the peer's resident memory in bytes.
func (p *peer) rss() int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// descriptors returns how many descriptors the peer has open.
func (p *peer) descriptors() int {
	d, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	return len(d)
}
