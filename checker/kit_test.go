package checker_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"freeway/checker"
	"freeway/dial"
	"freeway/internal/judge"
	"freeway/internal/loopback"
	"freeway/lab"
	"freeway/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// labPolicy allows the addresses of the lab.
var labPolicy = proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"))

// bench is a checker over a lab, and counts what is dialled.
type bench struct {
	*checker.Checker
	lab *lab.Lab

	mu     sync.Mutex     // protects dials
	dials  map[string]int // connections to proxies by address
	direct atomic.Int64   // connections to judges without a proxy
}

// option changes what newBench makes.
type option func(*checker.Config, *checker.Env)

// start opens a lab for the test.
func start(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	l, err := lab.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newBench makes a checker whose judges are the lab's.
func newBench(t *testing.T, opts ...option) *bench {
	t.Helper()
	return benchOver(t, start(t, lab.Config{AllowLoopback: true}), opts...)
}

func benchOver(t *testing.T, l *lab.Lab, opts ...option) *bench {
	t.Helper()
	b := &bench{lab: l, dials: map[string]int{}}
	guard := loopback.Guard(t)
	cfg := checker.Config{Timeout: 10 * time.Second, ConnectTimeout: 10 * time.Second,
		Judges: []checker.Judge{{URL: l.JudgeHTTP()}, {URL: l.JudgeHTTPS()}}}
	env := checker.Env{
		Dialer: dial.New(dial.Config{}, dial.Env{Policy: labPolicy, Roots: l.Roots(), Control: func(network, addr string, c syscall.RawConn) error {
			b.mu.Lock()
			b.dials[addr]++
			b.mu.Unlock()
			return guard(network, addr, c)
		}}),
		Control: func(network, addr string, c syscall.RawConn) error {
			b.direct.Add(1)
			return guard(network, addr, c)
		},
		Roots: l.Roots(),
	}
	for _, o := range opts {
		o(&cfg, &env)
	}
	c, err := checker.Open(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	b.Checker = c
	return b
}

// dialled returns how many connections there were to an endpoint's address.
func (b *bench) dialled(ep proxy.Endpoint) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dials[ep.Address()]
}

// add puts an upstream into the lab.
func (b *bench) add(t *testing.T, u lab.Upstream) proxy.Endpoint {
	t.Helper()
	ep, err := b.lab.Add(u)
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// one checks a single endpoint; change may alter the entry first.
func (b *bench) one(t *testing.T, ep proxy.Endpoint, change ...func(*proxy.Entry)) (proxy.Verdict, proxy.Outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v := b.Check(ctx, jobOf(ep, change...))
	if len(v.Outcomes) == 0 {
		t.Fatalf("check of %v gave no outcome: %q; status %+v", ep, v.Notes, b.Status())
	}
	return v, v.Outcomes[0]
}

// canaries is how many connections the canary pages cost at the first check that passes.
const canaries = 3

func jobOf(ep proxy.Endpoint, change ...func(*proxy.Entry)) proxy.Job {
	e := proxy.Entry{Endpoint: ep}
	for _, f := range change {
		f(&e)
	}
	return proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{e}}
}

// as returns the endpoint under another protocol.
func as(ep proxy.Endpoint, p proxy.Protocol) proxy.Endpoint {
	ep.Protocol = p
	return ep
}

func guess(e *proxy.Entry)   { e.Guess = true }
func checked(e *proxy.Entry) { e.LastChecked = time.Now() }

// passedOnce is of one whose turn with the canary pages is over.
func passedOnce(e *proxy.Entry) { e.LastChecked, e.Checks.OK = time.Now(), 1 }

// judges sets the judges of the configuration.
func judges(urls ...string) option {
	return func(c *checker.Config, _ *checker.Env) {
		c.Judges = nil
		for _, u := range urls {
			c.Judges = append(c.Judges, checker.Judge{URL: u})
		}
	}
}

// timeout sets the time of one protocol.
func timeout(d time.Duration) option {
	return func(c *checker.Config, _ *checker.Env) { c.Timeout, c.ConnectTimeout = d, d }
}

// testJudge is a judge of the test's own, whose behaviour can be changed.
type testJudge struct {
	*httptest.Server
	handler  atomic.Pointer[http.HandlerFunc]
	requests atomic.Int64
}

// newJudge serves h, nil for the real handler, by TLS or plain.
func newJudge(t *testing.T, secure bool, h http.HandlerFunc) *testJudge {
	t.Helper()
	j := &testJudge{}
	j.set(h)
	j.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		j.requests.Add(1)
		(*j.handler.Load())(w, r)
	}))
	j.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		j.StartTLS()
	} else {
		j.Start()
	}
	j.Config.SetKeepAlivesEnabled(false)
	t.Cleanup(j.Close)
	return j
}

// set changes what the judge does.
func (j *testJudge) set(h http.HandlerFunc) {
	if h == nil {
		h = judge.Handler(judge.Options{}).ServeHTTP
	}
	j.handler.Store(&h)
}

// trusting makes the checker believe the certificates of test judges, too.
func trusting(js ...*testJudge) option {
	return func(_ *checker.Config, env *checker.Env) {
		roots := x509.NewCertPool()
		if env.Roots != nil {
			roots = env.Roots.Clone()
		}
		for _, j := range js {
			roots.AddCert(j.Certificate())
		}
		env.Roots = roots
	}
}

// scripted is a server that speaks by a script, a function per connection.
func scripted(t *testing.T, script func(net.Conn)) proxy.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				script(c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	ep, err := proxy.Parse("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// hangUp ends a connection properly after a first message of the client.
func hangUp(c net.Conn) {
	c.Read(make([]byte, 1024))
}

// listQueue hands out a fixed list of jobs and keeps the verdicts.
type listQueue struct {
	mu       sync.Mutex
	jobs     []proxy.Job
	verdicts []proxy.Verdict
	wait     bool          // Next waits for ctx when the list is empty
	reported chan struct{} // gets one for each verdict; has room for all
}

func newQueue(jobs ...proxy.Job) *listQueue {
	return &listQueue{jobs: jobs, reported: make(chan struct{}, 100_000)}
}

func (q *listQueue) Next(ctx context.Context) (proxy.Job, error) {
	q.mu.Lock()
	if len(q.jobs) > 0 {
		defer q.mu.Unlock()
		j := q.jobs[0]
		q.jobs = q.jobs[1:]
		return j, nil
	}
	q.mu.Unlock()
	if !q.wait {
		return proxy.Job{}, io.EOF
	}
	<-ctx.Done()
	return proxy.Job{}, ctx.Err()
}

func (q *listQueue) Report(v proxy.Verdict) {
	q.mu.Lock()
	q.verdicts = append(q.verdicts, v)
	q.mu.Unlock()
	q.reported <- struct{}{}
}

func (q *listQueue) all() []proxy.Verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]proxy.Verdict(nil), q.verdicts...)
}

// await waits for something that takes milliseconds.
func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not happen", what)
	}
}

// closedPort returns an address at which nothing listens: where there is one, not
// that of other tests, which could be given the port next.
func closedPort(t *testing.T) proxy.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.66.66.66:0")
	if err != nil {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ep, err := proxy.Parse(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

// namedJudges are the lab's judges by their names, which only upstreams resolve; the direct way is shown.
func namedJudges(b *lab.Lab) option {
	return func(c *checker.Config, env *checker.Env) {
		c.Judges = []checker.Judge{{URL: "http://judge.lab.test/"}, {URL: "https://judge.lab.test/"}}
		d := net.Dialer{Control: env.Control}
		env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
			where := map[string]string{"judge.lab.test:80": b.JudgeHTTP(), "judge.lab.test:443": b.JudgeHTTPS()}[addr]
			u, err := url.Parse(where)
			if err != nil || where == "" {
				return nil, errors.New("no such judge: " + addr)
			}
			return d.DialContext(ctx, network, u.Host)
		}
	}
}

// writeFile puts text into a file of the test's.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// anyNote reports whether a note of the verdict holds all of the words.
func anyNote(v proxy.Verdict, words ...string) bool {
next:
	for _, n := range v.Notes {
		for _, w := range words {
			if !strings.Contains(n, w) {
				continue next
			}
		}
		return true
	}
	return false
}
