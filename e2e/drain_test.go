package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/lab"
)

// small is a server over a few proxies that all work at once.
type small struct {
	*server
	lab *lab.Lab
}

// newSmall starts a lab with n healthy HTTP proxies and a server over it, and waits
// until all are live. more stands in the gateway's section, behind a comma; rest
// at the end of the configuration.
func newSmall(t *testing.T, n int, more, rest string) *small {
	t.Helper()
	l, text := smallLab(t, n)
	s := &small{serve(t, fmt.Sprintf("gateway: {listen: GATEWAY%s}\n%s%s\n", more, text, rest)), l}
	s.live(t, n)
	return s
}

// smallLab starts the lab, and returns what the configuration says about it.
func smallLab(t *testing.T, n int) (*lab.Lab, string) {
	t.Helper()
	l, err := lab.Start(context.Background(), lab.Config{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dir := t.TempDir()
	key, ca, list := dir+"/judge.key", dir+"/ca.pem", ""
	for range n {
		ep, err := l.Add(lab.Upstream{})
		if err != nil {
			t.Fatal(err)
		}
		list += ep.Address() + "\n"
	}
	for name, data := range map[string][]byte{key: l.JudgeKey(), ca: l.CAPEM(), dir + "/list.txt": []byte(list)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l, fmt.Sprintf(`sources: {builtin: false, list: [{name: mine, file: %q, protocols: [http]}]}
checker: {judges: [{url: %q, key_file: %q}, {url: %q, key_file: %q}], judge_ca: %q, own_ips: [127.0.0.1]}
network: {allow_upstreams: [127.0.0.0/8], allow_targets: [127.0.0.0/8]}
`, dir+"/list.txt", l.JudgeHTTP()+"/", key, l.JudgeHTTPS()+"/", key, ca)
}

// live waits until so many proxies are.
func (s *small) live(t *testing.T, n int) {
	t.Helper()
	eventually(t, "all proxies are live", func() bool { return s.total(t, "state=live") == n })
}

// errRefused means that the gateway took no connection: whoever hears that goes elsewhere.
var errRefused = errors.New("refused")

// dialShort connects to the gateway.
func (s *small) dialShort() (net.Conn, error) {
	d := net.Dialer{Control: loopback.Control, Timeout: patience}
	c, err := d.Dial("tcp", s.gateway)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}

// short sends one request over a connection of its own, through a tunnel or not,
// and checks the answer byte for byte.
func (s *small) short(tunnel bool) error {
	c, err := s.dialShort()
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	base, where := s.lab.HTTPName(), ""
	if tunnel {
		base = ""
		if err := openTunnel(c, r, strings.TrimPrefix(s.lab.HTTPName(), "http://")+":80"); err != nil {
			return err
		}
		where = "in a tunnel: "
	}
	fmt.Fprintf(c, "GET %s/bytes/100?seed=a HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", base, strings.TrimPrefix(s.lab.HTTPName(), "http://"))
	p, err := http.ReadResponse(r, nil)
	if err != nil {
		return fmt.Errorf("%sno answer: %w", where, err)
	}
	defer p.Body.Close()
	body, err := io.ReadAll(p.Body)
	if err != nil || p.StatusCode != http.StatusOK || len(body) != 100 {
		return fmt.Errorf("%s%s %s, %d bytes, %w", where, p.Status, p.Header.Get("Freeway-Error"), len(body), err)
	}
	return nil
}

// openTunnel asks for a tunnel.
func openTunnel(c net.Conn, r *bufio.Reader, to string) error {
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	p, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	if p.StatusCode != http.StatusOK {
		return fmt.Errorf("CONNECT: %s %s", p.Status, p.Header.Get("Freeway-Error"))
	}
	return nil
}

// load sends short requests, one after the other in each of the workers, until no
// connection is taken any more. It returns how many went well and what went wrong.
func (s *small) load(workers int, begun *atomic.Int64) (right int64, wrong []error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range workers {
		wg.Go(func() {
			for {
				err := s.short(i%2 == 0)
				begun.Add(1)
				if errors.Is(err, errRefused) {
					return
				}
				mu.Lock()
				if err == nil {
					right++
				} else {
					wrong = append(wrong, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return right, wrong
}

// TestThreat88DrainsUnderLoad: however often the server is stopped under load, no
// request fails whose connection was taken, and it ends with 0. FREEWAY_DRAINS
// sets how often.
func TestThreat88DrainsUnderLoad(t *testing.T) {
	t.Parallel()
	drains, err := strconv.Atoi(os.Getenv("FREEWAY_DRAINS"))
	if err != nil {
		drains = 4
	}
	s := newSmall(t, 4, "", "")
	var all int64
	for i := range drains {
		if i > 0 {
			s.restart(t)
			s.live(t, 4)
		}
		var begun atomic.Int64
		var right int64
		var wrong []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			right, wrong = s.load(12, &begun)
		}()
		eventually(t, "the load is under way", func() bool { return begun.Load() >= 24 })
		s.signal(syscall.SIGTERM)
		if code := s.exitCode(t); code != 0 {
			t.Fatalf("drain %d: exit code %d", i+1, code)
		}
		<-done
		if len(wrong) > 0 {
			t.Fatalf("drain %d: %d of %d short requests failed: %v", i+1, len(wrong), right+int64(len(wrong)), wrong[0])
		}
		all += right
	}
	t.Logf("%d drains, %d short requests, none failed", drains, all)
}

// TestThreat88Order: after SIGTERM the server is not ready, then goes on for the
// pause, then takes no connections; a request and a tunnel that run finish, are
// counted in the log, and what was learnt is in the store.
func TestThreat88Order(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 2, ", drain_delay: 2s", "")
	c, err := s.dialShort()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if err := openTunnel(c, r, strings.TrimPrefix(s.lab.HTTPName(), "http://")+":80"); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	eventually(t, "it is not ready", func() bool { status, _ := s.get(t, "/readyz"); return status == http.StatusServiceUnavailable })
	if status, body := s.get(t, "/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "[-]serving: stopping") {
		t.Errorf("/readyz?verbose in the pause: %d %s", status, body)
	}
	if status, _ := s.get(t, "/livez"); status != http.StatusOK {
		t.Errorf("/livez in the pause: %d", status)
	}
	if err := s.short(false); err != nil {
		t.Errorf("in the pause: %v", err)
	}
	eventually(t, "no connection is taken", func() bool { return errors.Is(s.short(false), errRefused) })
	fmt.Fprintf(c, "GET /bytes/100?seed=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if p, err := http.ReadResponse(r, nil); err != nil || p.StatusCode != http.StatusOK {
		t.Errorf("in the tunnel: %v, %v", p, err)
	} else {
		_, _ = io.Copy(io.Discard, p.Body)
		p.Body.Close()
	}
	c.Close()
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out := s.out.String(); !strings.Contains(out, "pause=2s") || !strings.Contains(out, "tunnels=1") || strings.Contains(out, "cut at the end") {
		t.Error("the log does not count the tunnel, or says that something was cut")
	}
	s.restart(t)
	if n := s.total(t, "state=live"); n != 2 {
		t.Errorf("%d are live after the restart, want 2", n)
	}
}

// TestThreat89Signals: SIGHUPs come in a storm and change nothing; a second
// SIGTERM cuts what runs, and everything learnt is saved all the same.
func TestThreat89Signals(t *testing.T) {
	t.Parallel()
	s := newSmall(t, 2, ", drain: 1h", "")
	c, err := s.dialShort()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if err := openTunnel(c, r, strings.TrimPrefix(s.lab.HTTPName(), "http://")+":80"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		s.signal(syscall.SIGHUP)
	}
	if err := s.short(true); err != nil {
		t.Errorf("in a storm of SIGHUPs: %v", err)
	}
	s.signal(syscall.SIGTERM)
	eventually(t, "no connection is taken", func() bool { return errors.Is(s.short(false), errRefused) })
	select {
	case <-s.done:
		t.Fatal("it ended before the tunnel")
	default:
	}
	s.signal(os.Interrupt)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the tunnel was not cut")
	}
	s.restart(t)
	if n := s.total(t, "state=live"); n != 2 {
		t.Errorf("%d are live after the restart, want 2", n)
	}
}
