package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freeway/dial"
	"freeway/internal/certs"
	"freeway/proxy"
)

// Picker hands out upstreams and is told how each request went.
type Picker interface {
	// Pick returns a lease, or an error that is proxy.ErrNone, ErrSessionLost or ErrTargetDown.
	Pick(ctx context.Context, want proxy.Want) (proxy.Lease, error)
	// Record keeps one finished request with all its attempts. It must not block.
	// Running has the request until it returns.
	Record(t proxy.Trace)
}

// Env is what a gateway works with that is not configuration.
type Env struct {
	Picker  Picker                      // required
	Dialer  *dial.Dialer                // required: the only way out
	Targets proxy.AddrPolicy            // which literal targets clients may ask for
	Self    func(netip.AddrPort) bool   // further addresses of this program that clients may not reach; nil: none
	Loops   func(request string) bool   // whether the beginning of a request is this program's own, which an upstream has led back; such a request is refused. nil: nobody knows
	Log     *slog.Logger                // nil: silent
	Metrics prometheus.Registerer       // nil: none
	Now     func() time.Time            // nil: time.Now
	Memory  func() (used, limit uint64) // bytes; nil: those of the runtime, whose limit is GOMEMLIMIT

	// Done is told of every request at its end, also of those that were refused
	// before anybody knew what they want: such a one may lack user, method and
	// target. It must not block. nil: nobody.
	Done func(proxy.Trace)
	// TraceID names the trace that a request will be found under, "" when it is
	// not traced; metrics carry it as exemplar. nil: nothing is traced.
	TraceID func(request string) string

	Listen func(addr string) (net.Listener, error) // opens an address of the configuration; nil: the function Listen
	Certs  *certs.Keeper                           // what the TLS listener serves, told of changes by the caller; nil: the files of Config.TLS
}

// Gateway serves clients. Make one with Open, then Listen, then Run.
type Gateway struct {
	env         Env
	m           *metrics
	set         atomic.Pointer[settings]
	guard       *guard // against guessing passwords
	perClient   clientLimits
	memory      memory
	pace        pace // how long steps take now
	hedges      budget
	reuse       reuse
	h2          *h2 // nil: there is no TLS listener
	opened      time.Time
	creditAfter time.Duration // of tunnels; tests make it short
	soonTime    time.Duration // tests make it very short
	greetHold   time.Duration // tests make it very long
	coded       coded
	spliceTurn  time.Duration // tests make it short
	holdTime    time.Duration // that the beginning of a body is waited for; tests change it
	slowWindow  time.Duration // over which bodies must keep their pace; tests make it short
	leaving     atomic.Bool   // connections end with the answer that they wait for
	ending      atomic.Bool   // no new connections or requests
	hurry       chan struct{} // closed by Hurry
	hurryOnce   sync.Once
	tunnels     atomic.Int64
	hugeBuffers atomic.Int64
	splices     atomic.Int64 // tunnels in splice.run
	spliced     atomic.Int64 // bytes that it moved
	running     atomic.Int64 // requests

	wg      sync.WaitGroup // accept loops and clients
	workers workers

	applying sync.Mutex    // held by Apply and Listen; protects the field below
	certs    *certs.Keeper // of the TLS listener, where Env has none

	mu        sync.Mutex      // protects the fields below
	base      context.Context // of connections; nil: Run was not called
	listeners []*listener
	clients   map[*client]struct{}
	shares    shares // of clients
	excess    int    // how many of clients are over the limit and only told so
	own       ownAddrs
}

// Open checks the configuration. It binds nothing and starts nothing.
func Open(cfg Config, env Env) (*Gateway, error) {
	if env.Picker == nil || env.Dialer == nil {
		return nil, errors.New("gateway: no picker or no dialer")
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	g := &Gateway{env: env, m: newMetrics(env.Metrics), guard: newGuard(), perClient: clientLimits{all: map[clientKey]*gate{}}, shares: shares{}, memory: memory{read: env.Memory}, opened: env.Now(), creditAfter: creditAfter, soonTime: soonTime, greetHold: greetHold, spliceTurn: spliceTurn, holdTime: holdTime, slowWindow: slowWindow, clients: map[*client]struct{}{}, hurry: make(chan struct{})}
	s, err := newSettings(cfg, env, nil)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.set.Store(s)
	if g.h2, err = newH2(s.cfg.Timeouts.Idle); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.observe(env.Metrics)
	return g, nil
}

// Apply swaps in a new configuration for requests that begin from now on, and
// binds and closes listeners as it says; connections that are open stay. With an
// error all stays as it was.
func (g *Gateway) Apply(cfg Config) error {
	g.applying.Lock()
	defer g.applying.Unlock()
	s, err := newSettings(cfg, g.env, g.set.Load())
	if err == nil && len(g.bound()) > 0 {
		err = g.rebind(s)
	}
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.set.Store(s)
	return nil
}

// Addr returns where the main listener listens, nil before Listen.
func (g *Gateway) Addr() net.Addr { return g.addr(0) }

// Addrs returns where all listeners listen: the main one, those of
// Config.Listeners in order, the TLS one.
func (g *Gateway) Addrs() []net.Addr {
	g.mu.Lock()
	n := len(g.listeners)
	g.mu.Unlock()
	out := make([]net.Addr, n)
	for i := range out {
		out[i] = g.addr(i)
	}
	return out
}

// addr returns the address of the i-th listener, nil for none.
func (g *Gateway) addr(i int) net.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i >= len(g.listeners) {
		return nil
	}
	return g.listeners[i].Addr()
}

// Counts returns how many client connections, tunnels and requests (tunnels
// included) there are now.
func (g *Gateway) Counts() (connections, tunnels, requests int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.clients), int(g.tunnels.Load()), int(g.running.Load())
}

// Run serves until ctx ends. Then it takes no new connections, lets running
// requests and tunnels finish until Config.Drain has passed, cuts the rest,
// waits for all goroutines and returns nil. It is called once, after Listen.
func (g *Gateway) Run(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	if !g.begin(base) {
		return errors.New("gateway: Run before Listen")
	}
	keep, forget := context.WithCancel(base)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		g.reuse.run(keep, func() { g.workers.thin(false) })
	}()
	<-ctx.Done()
	g.drain(cut)
	forget()
	<-kept
	return nil
}

// begin accepts from all listeners. It reports false when there are none.
func (g *Gateway) begin(base context.Context) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.listeners) == 0 {
		return false
	}
	g.base = base
	for _, l := range g.listeners {
		g.start(l)
	}
	return true
}
