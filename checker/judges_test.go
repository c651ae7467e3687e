package checker_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/proxy"
)

// down is a judge that is not well.
func down(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "out of order", http.StatusServiceUnavailable)
}

func TestJudgeOutageDemotesNobody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		bad  http.HandlerFunc
	}{
		{"error page", down},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"another page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>we have moved</html>") }},
		{"stale answers", func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery, r.RequestURI = "", "/"
			judge.Handler(judge.Options{}).ServeHTTP(w, r)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain, secure := newJudge(t, false, nil), newJudge(t, true, nil)
			b := newBench(t, judges(plain.URL, secure.URL), trusting(secure), timeout(5*time.Second))
			var good []proxy.Endpoint
			for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5, proxy.SOCKS4} {
				good = append(good, b.add(t, lab.Upstream{Protocol: p}))
			}
			if tt.name == "silence" {
				good = good[:1] // each takes its time
			}
			for _, ep := range good {
				if _, o := b.one(t, ep); o.Class != proxy.OK {
					t.Fatalf("%v: %v %v, want a pass while the judges are up", ep, o.Stage, o.Class)
				}
			}
			plain.set(tt.bad)
			secure.set(tt.bad)
			for _, ep := range good {
				v := b.Check(t.Context(), jobOf(ep))
				if len(v.Outcomes) != 0 || len(v.Notes) == 0 {
					t.Errorf("%v is judged %+v during the outage, want it given back with a reason", ep, v.Outcomes)
				}
			}
			if s := b.Status(); s.Frozen == (s.Reason == "") || s.Void == 0 || !s.Frozen && tt.name != "silence" {
				t.Errorf("status = %+v, want it frozen with a reason", s)
			}
			open := 0
			for _, j := range b.Status().Judges {
				if j.Breaker != "closed" {
					open++
				}
				if j.Up != (j.Breaker == "closed") {
					t.Errorf("%s: up %v, breaker %s", j.URL, j.Up, j.Breaker)
				}
			}
			if s := b.Status(); s.Frozen && open != len(s.Judges) {
				t.Errorf("%d of %d breakers are open, though no judge answers", open, len(s.Judges))
			}
			plain.set(nil)
			secure.set(nil)
			if _, o := b.one(t, good[0]); o.Class != proxy.OK || b.Status().Frozen {
				t.Errorf("after the outage: %v %v, frozen %v, want a pass", o.Stage, o.Class, b.Status().Frozen)
			}
		})
	}
}

func TestOutageOfOneJudgeIsNoReasonToFail(t *testing.T) {
	t.Parallel()
	plain, secure := newJudge(t, false, nil), newJudge(t, true, nil)
	b := newBench(t, judges(plain.URL, secure.URL), trusting(secure))
	ep := b.add(t, lab.Upstream{})
	b.one(t, ep)
	secure.set(down)
	v, o := b.one(t, ep)
	if o.Class != proxy.OK || o.Learned.Forward != proxy.Yes || o.Learned.Tunnel == proxy.No {
		t.Errorf("outcome = %v %v %+v, want a pass by plain HTTP; notes %q", o.Stage, o.Class, o.Learned, v.Notes)
	}
	for _, j := range b.Status().Judges {
		if j.LastProbe.IsZero() || j.Kind != judge.Own {
			t.Errorf("judge %+v, want it probed and of our own kind", j)
		}
	}
}

func TestFailureIsConfirmedByALaterDirectRequest(t *testing.T) {
	t.Parallel()
	plain := newJudge(t, false, nil)
	b := newBench(t, judges(plain.URL), timeout(time.Second))
	silent := b.add(t, lab.Upstream{Behaviour: lab.Silent})
	before := plain.requests.Load()
	if _, o := b.one(t, silent); o.Class != proxy.Timeout {
		t.Errorf("outcome = %v, want a timeout", o.Class)
	}
	if n := plain.requests.Load() - before; n != 2+canaries {
		t.Errorf("the judge got %d direct requests, want one before and one after, and the canary pages once", n)
	}
	refused := closedPort(t)
	if _, o := b.one(t, refused); o.Class != proxy.Refused || plain.requests.Load()-before != 2+canaries {
		t.Errorf("outcome = %v after %d direct requests, want refused and no further one", o.Class, plain.requests.Load()-before)
	}
}

func TestNoJudgeNoCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, judges("http://"+closedPort(t).Address()+"/?token=hunter2"))
	ep := b.add(t, lab.Upstream{})
	if v := b.Check(t.Context(), jobOf(ep)); len(v.Outcomes) != 0 {
		t.Errorf("judged without a judge: %+v", v.Outcomes)
	}
	if n := b.dialled(ep); n != 0 {
		t.Errorf("%d connections to the proxy, want none", n)
	}
	s := b.Status()
	if !s.Frozen || !strings.Contains(s.Reason, "refused") || strings.Contains(s.Reason+s.Judges[0].URL, "hunter2") {
		t.Errorf("status = %+v, want it frozen, with the reason and without the query", s)
	}
}

func TestJudgeWithUntrustedCertificateIsDown(t *testing.T) {
	t.Parallel()
	secure := newJudge(t, true, nil) // signed by itself
	b := newBench(t, judges(secure.URL))
	if v := b.Check(t.Context(), jobOf(b.add(t, lab.Upstream{}))); len(v.Outcomes) != 0 {
		t.Errorf("judged by an unverified judge: %+v", v.Outcomes)
	}
	if s := b.Status(); !s.Frozen || !strings.Contains(s.Reason, "bad_tls") || s.Judges[0].Up {
		t.Errorf("status = %+v, want the judge down for its certificate", s)
	}
}

// TestNobodyIsAccusedWhenTheJudgesCertificateBreaks: an interceptor and a judge
// with a new, unknown certificate look the same through a proxy.
func TestNobodyIsAccusedWhenTheJudgesCertificateBreaks(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	strange := newJudge(t, true, nil) // its certificate is unknown
	var broken atomic.Bool
	b := benchOver(t, l, judges(l.JudgeHTTPS()), func(_ *checker.Config, env *checker.Env) {
		d := net.Dialer{Control: env.Control}
		env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if broken.Load() {
				addr = strange.Listener.Addr().String()
			}
			return d.DialContext(ctx, network, addr)
		}
	})
	b.one(t, b.add(t, lab.Upstream{}))
	broken.Store(true)
	ep := b.add(t, lab.Upstream{Behaviour: lab.Intercept})
	if v := b.Check(t.Context(), jobOf(ep)); len(v.Outcomes) != 0 {
		t.Errorf("accused while the judge does not verify directly: %+v", v.Outcomes)
	}
	broken.Store(false)
	if _, o := b.one(t, ep); o.Class != proxy.Tampered {
		t.Errorf("outcome = %v afterwards, want tampered", o.Class)
	}
}

func TestJudgeCAFile(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, judges(l.JudgeHTTPS()), func(c *checker.Config, env *checker.Env) {
		c.JudgeCA, env.Roots = writeFile(t, "ca.pem", string(l.CAPEM())), nil
	})
	if _, o := b.one(t, b.add(t, lab.Upstream{})); o.Class != proxy.OK {
		t.Errorf("outcome = %v %v, want a pass with the CA from a file", o.Stage, o.Class)
	}
}

func TestSignedJudge(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef-key"
	sign := func(key string) http.HandlerFunc { return judge.Handler(judge.Options{Key: []byte(key)}).ServeHTTP }
	plain := newJudge(t, false, sign(key))
	withKey := func(c *checker.Config, _ *checker.Env) {
		c.Judges = []checker.Judge{{URL: plain.URL, KeyFile: writeFile(t, "key", key+"\n")}}
	}
	b := newBench(t, withKey)
	ep := b.add(t, lab.Upstream{})
	if _, o := b.one(t, ep); o.Class != proxy.OK {
		t.Errorf("outcome = %v %v, want a pass", o.Stage, o.Class)
	}
	// A proxy that answers itself, in our format and with the right nonce, but without the key.
	forger := scripted(t, func(c net.Conn) { answerAlone(c, sign("another key of enough bytes")) })
	v, o := b.one(t, forger)
	if o.Class != proxy.Tampered || o.Learned.Tampers != "content: the answer was changed: the HMAC does not fit" {
		t.Errorf("outcome = %v %v %+v, want it caught; notes %q", o.Stage, o.Class, o.Learned, v.Notes)
	}
	unsigned := scripted(t, func(c net.Conn) { answerAlone(c, judge.Handler(judge.Options{}).ServeHTTP) })
	if _, o := b.one(t, unsigned); o.Class != proxy.Tampered {
		t.Errorf("outcome = %v %v for an answer without HMAC, want tampered", o.Stage, o.Class)
	}
	plain.set(sign("another key of enough bytes"))
	if v := b.Check(t.Context(), jobOf(forger)); len(v.Outcomes) != 0 {
		t.Errorf("judged by a judge with another key: %+v", v.Outcomes)
	}
}

// answerAlone serves one request on a connection, as if the handler were the target.
func answerAlone(c net.Conn, h http.HandlerFunc) {
	ln := &oneConn{c: c, done: make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			ln.Close()
		}
	}}
	srv.SetKeepAlivesEnabled(false)
	srv.Serve(ln)
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	c    net.Conn
	once sync.Once
	done chan struct{}
	mu   sync.Mutex
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	c := l.c
	l.c = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestHTTPBinJudges(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	b := benchOver(t, l, judges(l.JudgeHTTP()+"/get?show_env=1", l.JudgeHTTPS()+"/get?show_env=1"))
	for _, tt := range []struct {
		behaviour lab.Behaviour
		class     proxy.Class
		anonymity proxy.Anonymity
	}{
		{lab.Healthy, proxy.OK, proxy.Elite},
		{lab.Anonymous, proxy.OK, proxy.Anonymous},
		{lab.Transparent, proxy.OK, proxy.Transparent},
		{lab.Intercept, proxy.Tampered, 0},
		{lab.CutBody, proxy.Truncated, 0},
		{lab.LoginPage, proxy.WrongContent, 0},
	} {
		t.Run(tt.behaviour.String(), func(t *testing.T) {
			v, o := b.one(t, b.add(t, lab.Upstream{Behaviour: tt.behaviour}))
			if o.Class != tt.class {
				t.Fatalf("outcome = %v %v, want %v; notes %q", o.Stage, o.Class, tt.class, v.Notes)
			}
			if o.Class == proxy.OK && o.Learned.Anonymity != tt.anonymity {
				t.Errorf("anonymity = %v, want %v", o.Learned.Anonymity, tt.anonymity)
			}
		})
	}
	if j := b.Status().Judges[0]; j.Kind != judge.HTTPBin {
		t.Errorf("kind = %v, want httpbin", j.Kind)
	}
}

func TestOwnAddressIsNoExit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5} {
		v, o := b.one(t, b.add(t, lab.Upstream{Protocol: p, Exit: netip.MustParseAddr("127.0.0.1")}))
		if o.Class != proxy.SelfExit {
			t.Errorf("%v that leaves from 127.0.0.1: %v %v, want self_exit; notes %q", p, o.Stage, o.Class, v.Notes)
		}
	}
	other := newBench(t, func(c *checker.Config, _ *checker.Env) {
		c.OwnIPs = []netip.Addr{netip.MustParseAddr("127.55.66.77")}
	})
	v, o := other.one(t, other.add(t, lab.Upstream{Exit: netip.MustParseAddr("127.55.66.77")}))
	if o.Class != proxy.SelfExit {
		t.Errorf("exit from a configured own address: %v %v, want self_exit; notes %q", o.Stage, o.Class, v.Notes)
	}
}

// TestMistake01NeverDirect is the mistake of checks that went direct: every
// SOCKS entry passed. Here the judges count who comes without a proxy.
func TestMistake01NeverDirect(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	alone := map[string]int{}
	h := func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		alone[host]++
		mu.Unlock()
		judge.Handler(judge.Options{}).ServeHTTP(w, r)
	}
	plain, secure := newJudge(t, false, h), newJudge(t, true, h)
	b := newBench(t, judges(plain.URL, secure.URL), trusting(secure), timeout(time.Second))
	for _, p := range proxy.Protocols() {
		for _, behaviour := range []lab.Behaviour{lab.Healthy, lab.Refused, lab.Silent, lab.Garbage, lab.ConnectForbidden, lab.Locked} {
			ep := b.add(t, lab.Upstream{Protocol: p, Behaviour: behaviour})
			b.one(t, ep)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n, d := alone["127.0.0.1"], int(b.direct.Load()); n != d || d == 0 {
		t.Errorf("the judges got %d requests directly, but only %d were meant to be", n, d)
	}
	if len(alone) < 5 {
		t.Errorf("the judges saw %v, want the proxies as well", alone)
	}
}

// TestMistake04ResultsNeverMix is the mistake of shared variables between checks:
// results landed on other proxies.
func TestMistake04ResultsNeverMix(t *testing.T) {
	t.Parallel()
	b := newBench(t, timeout(30*time.Second))
	const n = 60
	eps := make([]proxy.Endpoint, n)
	for i := range eps {
		p := proxy.Protocols()[i%4]
		eps[i] = b.add(t, lab.Upstream{Protocol: p, Behaviour: []lab.Behaviour{lab.Healthy, lab.Transparent, lab.Anonymous}[i%3]})
	}
	truth := map[proxy.Endpoint]lab.Truth{}
	for _, tr := range b.lab.Truth() {
		truth[tr.Endpoint] = tr
	}
	var all sync.WaitGroup
	for range 3 {
		for _, ep := range eps {
			all.Go(func() {
				v := b.Check(t.Context(), jobOf(ep))
				if len(v.Outcomes) != 1 || v.Outcomes[0].Class != proxy.OK || v.Outcomes[0].Endpoint != ep {
					t.Errorf("%v: outcomes %+v, want one pass; notes %q", ep, v.Outcomes, v.Notes)
					return
				}
				l, tr := v.Outcomes[0].Learned, truth[ep]
				if l.ExitIP != tr.Exit || l.Anonymity != tr.Anonymity || (l.Forward == proxy.Yes) != tr.Forward {
					t.Errorf("%v: learned %+v, truth is %+v", ep, l, tr)
				}
			})
		}
	}
	all.Wait()
}

func TestCancelledCheckSaysNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ep := b.add(t, lab.Upstream{Behaviour: lab.Silent})
	b.one(t, b.add(t, lab.Upstream{}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for b.dialled(ep) == 0 {
			time.Sleep(time.Millisecond) // the connection is counted by a hook that cannot wait
		}
		cancel()
	}()
	if v := b.Check(ctx, jobOf(ep)); len(v.Outcomes) != 0 {
		t.Errorf("a cancelled check said %+v", v.Outcomes)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{})
	for _, tt := range []struct {
		name   string
		target checker.TargetCheck
		class  proxy.Class
		note   []string
	}{
		{"plain", checker.TargetCheck{URL: l.HTTPTarget() + "/status/200"}, proxy.OK, []string{"target x: ok"}},
		{"secure", checker.TargetCheck{URL: l.HTTPSTarget() + "/status/204", Status: 204}, proxy.OK, []string{"target x: ok"}},
		{"noted", checker.TargetCheck{URL: l.HTTPSTarget() + "/status/404"}, proxy.OK, []string{"target x: request: wrong_content", "404"}},
		{"required", checker.TargetCheck{URL: l.HTTPSTarget() + "/status/404", Required: true}, proxy.WrongContent, []string{"target x: request"}},
		{"banned", checker.TargetCheck{URL: l.HTTPTarget() + "/status/403", Required: true}, proxy.Banned, []string{"target x: request: banned"}},
		{"body", checker.TargetCheck{URL: l.HTTPTarget() + "/headers", Body: "nowhere to be found", Required: true}, proxy.WrongContent, []string{"target x"}},
		{"name", checker.TargetCheck{URL: l.HTTPSName() + "/status/200", Required: true}, proxy.OK, []string{"target x: ok"}},
		{"elsewhere", checker.TargetCheck{URL: "http://nowhere.test/", Required: true}, proxy.BadGateway, []string{"target x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.target.Name = "x"
			b := benchOver(t, l, func(c *checker.Config, _ *checker.Env) { c.Targets = []checker.TargetCheck{tt.target} })
			for _, p := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS5} {
				v, o := b.one(t, b.add(t, lab.Upstream{Protocol: p}))
				if o.Class != tt.class || o.Learned == nil && tt.class == proxy.OK || !anyNote(v, tt.note...) {
					t.Errorf("%v: outcome = %v %v, want %v; notes %q", p, o.Stage, o.Class, tt.class, v.Notes)
				}
				if reached := len(v.Reached[o.Endpoint]) == 1; reached != strings.HasSuffix(tt.note[0], ": ok") {
					t.Errorf("%v: reached %v; notes %q", p, v.Reached, v.Notes)
				}
				if o.Class != proxy.OK && tt.name != "elsewhere" && (o.Stage != proxy.StageRequest || o.Target.Port == 0) {
					t.Errorf("%v: failed at %v towards %v, want the request to the target", p, o.Stage, o.Target)
				}
			}
		})
	}
	if n := l.DirectHits(); n != 0 {
		t.Errorf("%d direct connections to targets", n)
	}
}
