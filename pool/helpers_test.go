package pool_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"freeway/pool"
	"freeway/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a pool that closes nothing and needs nothing.
func open(t testing.TB, cfg pool.Config, env pool.Env) *pool.Pool {
	t.Helper()
	p, err := pool.Open(context.Background(), cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// candidate makes one from text.
func candidate(t testing.TB, url string) proxy.Candidate {
	t.Helper()
	ep, password, err := proxy.ParseURL(url)
	if err != nil {
		t.Fatalf("ParseURL(%q): %v", url, err)
	}
	return proxy.Candidate{Endpoint: ep, Password: password}
}

func candidates(t testing.TB, urls ...string) []proxy.Candidate {
	t.Helper()
	var out []proxy.Candidate
	for _, u := range urls {
		out = append(out, candidate(t, u))
	}
	return out
}

// many makes n endpoints, each on an address of its own in a network of its own.
func many(n int) []proxy.Candidate {
	out := make([]proxy.Candidate, n)
	for i := range out {
		host := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 1}).String()
		out[i].Endpoint = proxy.Endpoint{Protocol: proxy.HTTP, Host: host, Port: 8080}
	}
	return out
}

func add(t testing.TB, p *pool.Pool, source string, found []proxy.Candidate) proxy.Yield {
	t.Helper()
	y, err := p.Add(context.Background(), source, found)
	if err != nil {
		t.Fatalf("Add(%q, %d candidates): %v", source, len(found), err)
	}
	return y
}

// next claims a job that is due already.
func next(t testing.TB, p *pool.Pool) proxy.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	j, err := p.Next(ctx)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return j
}

// verdict says the same of all entries of a job.
func verdict(j proxy.Job, class proxy.Class) proxy.Verdict {
	v := proxy.Verdict{Job: j}
	for _, e := range j.Entries {
		o := proxy.Outcome{Endpoint: e.Endpoint, Stage: proxy.StageConnect, Class: class, Origin: proxy.FromCheck}
		if class == proxy.OK {
			o.Stage, o.Phases = proxy.StageVerify, proxy.Phases{FirstByte: 100 * time.Millisecond}
			o.Learned = &proxy.Traits{Forward: proxy.Yes, Tunnel: proxy.Yes, TunnelAny: proxy.Yes, RemoteDNS: proxy.Yes,
				Anonymity: proxy.Elite, ExitIP: e.Endpoint.Addr()}
		}
		v.Outcomes = append(v.Outcomes, o)
	}
	return v
}

// report judges an endpoint without a claim.
func report(p *pool.Pool, ep proxy.Endpoint, class proxy.Class) {
	j := proxy.Job{Host: ep.Host, Port: ep.Port, Entries: []proxy.Entry{{Endpoint: ep}}}
	p.Report(verdict(j, class))
}

// livePool makes a pool whose n entries are live.
func livePool(t testing.TB, cfg pool.Config, env pool.Env, n int) (*pool.Pool, []proxy.Candidate) {
	t.Helper()
	p := open(t, cfg, env)
	found := many(n)
	add(t, p, "list", found)
	for _, c := range found {
		report(p, c.Endpoint, proxy.OK)
	}
	p.Eligible(proxy.Want{}) // makes a snapshot
	return p, found
}

func state(t testing.TB, p *pool.Pool, ep proxy.Endpoint) proxy.State {
	t.Helper()
	e, ok := p.Find(ep)
	if !ok {
		t.Fatalf("%s is not known", ep)
	}
	return e.State
}

func target(t testing.TB, s string) proxy.Target {
	t.Helper()
	x, err := proxy.ParseTarget(s, 443)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// memStore is a Store whose failures can be chosen.
type memStore struct {
	mu    sync.Mutex // protects the fields below
	recs  map[proxy.Endpoint]proxy.Record
	docs  map[string][]byte
	saves int
	puts  int
	fail  error
	gate  chan struct{} // not nil: Save waits for it
}

func newMemStore() *memStore {
	return &memStore{recs: map[proxy.Endpoint]proxy.Record{}, docs: map[string][]byte{}}
}

var errDisk = errors.New("disk on fire")

// Load implements pool.Store.
func (s *memStore) Load(context.Context) iter.Seq2[proxy.Record, error] {
	s.mu.Lock()
	recs := maps.Clone(s.recs)
	s.mu.Unlock()
	return func(yield func(proxy.Record, error) bool) {
		for _, r := range recs {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Docs implements pool.Store.
func (s *memStore) Docs(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs), nil
}

// Save implements pool.Store.
func (s *memStore) Save(_ context.Context, b proxy.Batch) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saves++
	if s.fail != nil {
		return s.fail
	}
	for _, ep := range b.Drop {
		delete(s.recs, ep)
	}
	for _, r := range b.Put {
		s.recs[r.Endpoint] = r
		s.puts++
	}
	for name, doc := range b.Docs {
		if doc == nil {
			delete(s.docs, name)
		} else {
			s.docs[name] = doc
		}
	}
	return nil
}

func (s *memStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *memStore) counts() (saves, puts, recs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saves, s.puts, len(s.recs)
}

func (s *memStore) has(ep proxy.Endpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.recs[ep]
	return ok
}

func urls(list []proxy.Entry) string {
	out := ""
	for _, e := range list {
		out += fmt.Sprintf("%s ", e.Endpoint)
	}
	return out
}
