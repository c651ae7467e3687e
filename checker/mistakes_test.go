package checker_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// The mistakes that checkers of others shipped, by their numbers; 01, 04 and 17
// are tested where they belong: TestMistake01NeverDirect and
// TestMistake04ResultsNeverMix, TestMistake17InterceptorNeverPasses.

// TestMistake02HTTPSIsNotTLSToAProxy: lists write https for a proxy that can
// CONNECT; it is found to be http and passes, and no TLS reaches its plain port.
func TestMistake02HTTPSIsNotTLSToAProxy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	secure := 0
	secureJudge := newJudge(t, true, nil)
	ep := relay(t, func(first byte) {
		mu.Lock()
		defer mu.Unlock()
		if first == 0x16 { // a ClientHello
			secure++
		}
	}, "", 0)
	b := newBench(t, judges(secureJudge.URL), trusting(secureJudge))
	v, _ := b.one(t, as(ep, proxy.HTTPS))
	passed := false
	for _, o := range v.Outcomes {
		passed = passed || o.Endpoint == as(ep, proxy.HTTP) && o.Class == proxy.OK
	}
	if !passed || secure != 0 {
		t.Errorf("outcomes %+v, %d connections began with TLS; want http to pass and none; notes %q", v.Outcomes, secure, v.Notes)
	}
}

// TestMistake03ServerNameIsTheTargets: inside a tunnel the name is the judge's,
// never the proxy's address.
func TestMistake03ServerNameIsTheTargets(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	names := map[string]int{}
	j := newJudge(t, true, nil)
	j.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		names[h.ServerName]++
		return nil, nil
	}
	where := j.Listener.Addr().String()
	ep := relay(t, nil, where, 0)
	b := newBench(t, judges("https://example.com/"), trusting(j), func(_ *checker.Config, env *checker.Env) {
		d := net.Dialer{Control: env.Control}
		env.Direct = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, where)
		}
	})
	if v, o := b.one(t, ep); o.Class != proxy.OK {
		t.Fatalf("outcome = %v %v, want a pass; notes %q", o.Stage, o.Class, v.Notes)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(names) != 1 || names["example.com"] < 2 {
		t.Errorf("server names %v, want the judge's alone, directly and through the proxy", names)
	}
}

// relay is a proxy that only tunnels: to what it is asked for, or always to one
// address. heard, if any, is told the first byte of each connection. Every answer
// comes after a delay.
func relay(t *testing.T, heard func(first byte), always string, delay time.Duration) proxy.Endpoint {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: only Linux has more than one loopback address ready")
	}
	return scripted(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		if first, err := br.Peek(1); err == nil && heard != nil {
			heard(first[0])
		}
		req, err := http.ReadRequest(br)
		if err != nil || req.Method != http.MethodConnect {
			io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
			return
		}
		to := req.Host
		if always != "" {
			to = always
		}
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 44, 0, 9)}, Timeout: 10 * time.Second} // not our own address
		out, err := from.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		time.Sleep(delay)
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(out, br)
			out.Close()
		}()
		for buf := make([]byte, 64<<10); ; {
			n, err := out.Read(buf)
			time.Sleep(delay)
			if _, wrong := c.Write(buf[:n]); err != nil || wrong != nil {
				return
			}
		}
	})
}

// TestMistake05OneFailureDeletesNothing: a live proxy that fails a check stays in
// the pool and is live again when it passes.
func TestMistake05OneFailureDeletesNothing(t *testing.T) {
	t.Parallel()
	p := newPooled(t)
	ep := p.eps[0]
	if err := p.lab.Switch(ep, lab.Garbage); err != nil {
		t.Fatal(err)
	}
	p.pool.CheckNow(ep.ID())
	until(t, "a failure", func() bool { e, _ := p.pool.Find(ep); return e.Checks.Failed > 0 })
	if e, ok := p.pool.Find(ep); !ok || e.Checks.OK == 0 {
		t.Fatalf("after one failure it is there %v with %+v, want it kept with its history", ok, e.Checks)
	}
	if err := p.lab.Switch(ep, lab.Healthy); err != nil {
		t.Fatal(err)
	}
	p.pool.CheckNow(ep.ID())
	until(t, "that it is live again", func() bool { e, _ := p.pool.Find(ep); return e.State == proxy.Live })
}

// TestMistake16CredentialsAreUsed: checks log in with what the list gives.
func TestMistake16CredentialsAreUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5} {
		ep := b.add(t, lab.Upstream{Protocol: p, User: "bob", Password: "s3cret"})
		for password, want := range map[string]proxy.Class{"s3cret": proxy.OK, "wrong": proxy.AuthRequired} {
			v, o := b.one(t, ep, func(e *proxy.Entry) { e.Password = proxy.NewSecret(password) })
			if o.Class != want {
				t.Errorf("%v with %q: %v %v, want %v; notes %q", p, password, o.Stage, o.Class, want, v.Notes)
			}
		}
	}
}

// TestMistake18AnswersOfTheJudge: what the judge itself says through a verified
// tunnel is no fault of the proxy's.
func TestMistake18AnswersOfTheJudge(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]proxy.Class{429: proxy.Banned, 403: proxy.Banned, 503: proxy.TargetFailed} {
		j := newJudge(t, true, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") { // directly it is in order
				judge.Handler(judge.Options{}).ServeHTTP(w, r)
				return
			}
			http.Error(w, "not now", status)
		})
		b := newBench(t, judges(j.URL), trusting(j))
		if v, o := b.one(t, b.add(t, lab.Upstream{})); o.Class != want {
			t.Errorf("%d: outcome = %v %v, want %v; notes %q", status, o.Stage, o.Class, want, v.Notes)
		}
	}
}

// TestMistake19DeadJudgeDrainsNobody: when a judge dies, whoever was live stays so.
func TestMistake19DeadJudgeDrainsNobody(t *testing.T) {
	t.Parallel()
	plain, secure := newJudge(t, false, nil), newJudge(t, true, nil)
	p := newPooled(t, judges(plain.URL, secure.URL), trusting(secure))
	plain.set(down)
	secure.set(down)
	for range 3 {
		p.recheck(t)
	}
	if n := p.pool.Stats().Live; n != len(p.eps) {
		t.Errorf("%d of %d are live after their judges died", n, len(p.eps))
	}
}

// TestMistake20AConnectIsNotHealth: who takes connections and refuses every
// request never passes, whatever it is listed as.
func TestMistake20AConnectIsNotHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ep := scripted(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
	for _, change := range []func(*proxy.Entry){guess, checked, passedOnce, func(e *proxy.Entry) { e.State = proxy.Live }} {
		v, _ := b.one(t, ep, change)
		for _, o := range v.Outcomes {
			if o.Class == proxy.OK {
				t.Errorf("%v passes: %+v", o.Endpoint, o)
			}
		}
	}
}
