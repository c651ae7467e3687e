package checker_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freeway/checker"
	"freeway/internal/judge"
	"freeway/lab"
	"freeway/pool"
	"freeway/proxy"
)

// pooled is a checker over a real pool of live proxies.
type pooled struct {
	*bench
	pool *pool.Pool
	eps  []proxy.Endpoint
	cut  atomic.Bool // our own network reaches nobody
}

// newPooled waits until all proxies are live.
func newPooled(t *testing.T, opts ...option) *pooled {
	t.Helper()
	l := start(t, lab.Config{AllowLoopback: true})
	p := &pooled{}
	var err error
	if p.pool, err = pool.Open(t.Context(), pool.Config{}, pool.Env{Policy: labPolicy}); err != nil {
		t.Fatal(err)
	}
	p.bench = benchOver(t, l, append(opts, withQueue(p.pool), workers(4), timeout(2*time.Second), p.uplink)...)
	var found []proxy.Candidate
	for _, proto := range []proxy.Protocol{proxy.HTTP, proxy.SOCKS4, proxy.SOCKS5, proxy.HTTP} {
		ep := p.add(t, lab.Upstream{Protocol: proto})
		p.eps = append(p.eps, ep)
		found = append(found, proxy.Candidate{Endpoint: ep})
	}
	if _, err := p.pool.Add(t.Context(), "list", found); err != nil {
		t.Fatal(err)
	}
	stop, _ := run(t, p.Checker)
	t.Cleanup(func() { _ = stop() })
	until(t, "that all are live", func() bool { return p.pool.Stats().Live == len(p.eps) })
	return p
}

// uplink makes every connection fail while the network is cut.
func (p *pooled) uplink(_ *checker.Config, env *checker.Env) {
	inner := env.Direct
	if inner == nil {
		d := net.Dialer{Control: env.Control}
		inner = d.DialContext
	}
	env.Direct = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.cut.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
		}
		return inner(ctx, network, addr)
	}
}

// all returns what the pool knows of each proxy that a failure would change.
func (p *pooled) all() string {
	var b strings.Builder
	for _, ep := range p.eps {
		e, ok := p.pool.Find(ep)
		fmt.Fprintf(&b, "%v there %v, %v, failed %d, last failure %v, tampers %q\n", ep, ok, e.State, e.Checks.Failed, e.Error, e.Traits.Tampers)
	}
	return b.String()
}

// recheck has every proxy checked and waits until nothing more comes of it.
func (p *pooled) recheck(t *testing.T) {
	t.Helper()
	before := p.Status()
	for _, ep := range p.eps {
		if !p.pool.CheckNow(ep.ID()) {
			t.Fatalf("%v is not in the pool", ep)
		}
	}
	until(t, "that they are given back, or that checking stops", func() bool {
		s := p.Status()
		return s.Frozen && s.Running == 0 && s.Held == 0 || s.Void+s.Checked >= before.Void+before.Checked+int64(len(p.eps)) && s.Held == 0
	})
}

// theirFault is the case that shows that the others could fail.
const theirFault = "the proxies' own fault"

// TestNothingChangesWhileItIsOurFault: judges are down, lie, are slow, hide
// behind a CDN, or our own uplink is cut, while every live proxy is checked
// again: the pool is the same afterwards, says why, and goes on when it is over.
func TestNothingChangesWhileItIsOurFault(t *testing.T) {
	t.Parallel()
	genuine := judge.Handler(judge.Options{})
	for _, tt := range []struct {
		name string
		bad  http.HandlerFunc // nil: the uplink is cut
	}{
		{"down", down},
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"lying about the request", func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery, r.RequestURI = "nonce=00000000000000000000000000000000", "/?nonce=00000000000000000000000000000000"
			genuine.ServeHTTP(w, r)
		}},
		{"lying with an empty page", func(http.ResponseWriter, *http.Request) {}},
		{"behind a CDN that asks for a browser", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", "edge")
			http.Error(w, "<title>Just a moment...</title>", http.StatusForbidden)
		}},
		{"own uplink cut", nil},
		{theirFault, genuine.ServeHTTP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plain, secure := newJudge(t, false, nil), newJudge(t, true, nil)
			p := newPooled(t, judges(plain.URL, secure.URL), trusting(secure))
			before := p.all()
			if tt.bad != nil {
				plain.set(tt.bad)
				secure.set(tt.bad)
			} else {
				p.cut.Store(true)
				for _, ep := range p.eps { // nobody is reached any more
					if err := p.lab.Switch(ep, lab.Silent); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.name == theirFault {
				for _, ep := range p.eps {
					if err := p.lab.Switch(ep, lab.Garbage); err != nil {
						t.Fatal(err)
					}
				}
			}
			p.recheck(t)
			if tt.name == theirFault {
				if got := p.all(); got == before {
					t.Errorf("the pool is still\n%s", got)
				}
				return
			}
			if got := p.all(); got != before {
				t.Errorf("the pool was\n%sand is\n%s", before, got)
			}
			if s := p.Status(); s.Void == 0 && !s.Frozen {
				t.Errorf("status %+v, want it frozen or checks given back", s)
			}
		})
	}
}
