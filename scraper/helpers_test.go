package scraper_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"freeway/internal/loopback"
	"freeway/proxy"
	"freeway/scraper"
)

// patience is how long a test waits for what takes milliseconds.
const patience = 2 * time.Minute // bounds what is waited for; nothing should come near it

// pool is a Sink and a Notebook that remembers what it was told.
type pool struct {
	mu      sync.Mutex
	sets    map[string][]proxy.Candidate
	adds    map[string]int
	retired map[string]int
	docs    map[string][]byte
	worth   map[string]proxy.Worth
	fail    error
}

func newPool() *pool {
	return &pool{sets: map[string][]proxy.Candidate{}, adds: map[string]int{}, retired: map[string]int{}, docs: map[string][]byte{}, worth: map[string]proxy.Worth{}}
}

func (p *pool) Add(_ context.Context, source string, found []proxy.Candidate) (proxy.Yield, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return proxy.Yield{}, p.fail
	}
	p.sets[source] = found
	p.adds[source]++
	return proxy.Yield{New: len(found)}, nil
}

// Retire forgets the set and keeps a note of it.
func (p *pool) Retire(_ context.Context, source string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	delete(p.sets, source)
	p.retired[source]++
	return nil
}

func (p *pool) Worth(source string) proxy.Worth {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.worth[source]
}

func (p *pool) Recall(key string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.docs[key]
}

func (p *pool) Note(key string, doc []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.docs[key] = doc
}

// setFail makes Add and Retire fail.
func (p *pool) setFail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// has returns how many endpoints source named last and how often it was asked.
func (p *pool) has(source string) (n, adds int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sets[source]), p.adds[source]
}

// rig is a scraper over loopback with its pool.
type rig struct {
	*scraper.Scraper
	pool *pool
}

// open makes a scraper that may go to loopback only.
func open(t *testing.T, cfg scraper.Config, sources scraper.Sources, adapt ...func(*scraper.Env)) rig {
	t.Helper()
	p := newPool()
	env := scraper.Env{
		Sink: p, Notebook: p, Control: loopback.Guard(t),
		Jitter: func(time.Duration) time.Duration { return 0 },
	}
	for _, f := range adapt {
		f(&env)
	}
	s, err := scraper.Open(cfg, sources, env)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return rig{s, p}
}

// allowLoopback lets redirects and entries be on this machine.
func allowLoopback(env *scraper.Env) {
	env.Policy = proxy.NewAddrPolicy(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
}

func list(sources ...scraper.Source) scraper.Sources { return scraper.Sources{List: sources} }

// entries writes a list of n public addresses, beginning with the first-th.
func entries(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "5.%d.%d.%d:8080\n", i>>16&255, i>>8&255, i&255)
	}
	return b.String()
}

// serve starts a server whose answers are f's.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv.URL
}

// once runs a source, with a limit on the wait.
func (r rig) once(t *testing.T, name string) (scraper.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return r.RunNow(ctx, name)
}

// wire is a network in memory, for tests in virtual time.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// reply makes an answer of a wire.
func reply(r *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}
