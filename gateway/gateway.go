package gateway

import (
	"context"
	"crypto/tls"
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
	"freeway/proxy"
)

// Picker hands out upstreams and is told how each request went.
type Picker interface {
	// Pick returns a lease, or an error that is proxy.ErrNone, ErrSessionLost or ErrTargetDown.
	Pick(ctx context.Context, want proxy.Want) (proxy.Lease, error)
	// Record keeps one finished request with all its attempts. It must not block.
	Record(t proxy.Trace)
}

// Env is what a gateway works with that is not configuration.
type Env struct {
	Picker  Picker                      // required
	Dialer  *dial.Dialer                // required: the only way out
	Targets proxy.AddrPolicy            // which literal targets clients may ask for
	Self    func(netip.AddrPort) bool   // further addresses of this program that clients may not reach; nil: none
	Log     *slog.Logger                // nil: silent
	Metrics prometheus.Registerer       // nil: none
	Now     func() time.Time            // nil: time.Now
	Memory  func() (used, limit uint64) // bytes; nil: those of the runtime, whose limit is GOMEMLIMIT
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
	holdTime    time.Duration // that the beginning of a body is waited for; tests change it
	slowWindow  time.Duration // over which bodies must keep their pace; tests make it short
	ending      atomic.Bool   // no new connections or requests
	tunnels     atomic.Int64
	hugeBuffers atomic.Int64
	running     atomic.Int64 // requests

	wg sync.WaitGroup // accept loops and clients

	mu        sync.Mutex // protects the fields below
	listeners []*listener
	clients   map[*client]struct{}
	shares    shares // of clients
	excess    int    // how many of clients are over the limit and only told so
	own       ownAddrs
}

// listener is one bound address.
type listener struct {
	net.Listener
	fixed int         // index of its options in settings, -1 for none
	tls   *tls.Config // nil: plain
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
	g := &Gateway{env: env, m: newMetrics(env.Metrics), guard: newGuard(), perClient: clientLimits{all: map[clientKey]*gate{}}, shares: shares{}, memory: memory{read: env.Memory}, opened: env.Now(), creditAfter: creditAfter, holdTime: holdTime, slowWindow: slowWindow, clients: map[*client]struct{}{}}
	s, err := newSettings(cfg, env, nil)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.set.Store(s)
	g.observe(env.Metrics)
	return g, nil
}

// Apply swaps in a new configuration for requests that begin from now on.
// Addresses to listen on cannot be changed; with an error all stays as it was.
func (g *Gateway) Apply(cfg Config) error {
	old := g.set.Load()
	s, err := newSettings(cfg, g.env, old)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.set.Store(s)
	return nil
}

// Listen binds the configured listeners, all or none.
func (g *Gateway) Listen() error {
	cfg := g.set.Load().cfg
	var ls []*listener
	bind := func(addr string, fixed int, tlsConf *tls.Config) error {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			ls = append(ls, &listener{l, fixed, tlsConf})
		}
		return err
	}
	err := bind(cfg.Listen, -1, nil)
	for i, l := range cfg.Listeners {
		if err == nil {
			err = bind(l.Listen, i, nil)
		}
	}
	if err == nil && cfg.TLS.Listen != "" {
		var conf *tls.Config
		if conf, err = serverTLS(cfg.TLS); err == nil {
			err = bind(cfg.TLS.Listen, -1, conf)
		}
		if err == nil {
			g.h2, err = newH2(cfg.Timeouts.Idle)
		}
	}
	if err != nil {
		closeAll(ls)
		return fmt.Errorf("gateway: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners, g.own = ls, newOwnAddrs(ls)
	return nil
}

// closeAll closes listeners; connections that were accepted stay.
func closeAll(ls []*listener) {
	for _, l := range ls {
		_ = l.Close()
	}
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
	g.mu.Lock()
	ls := g.listeners
	g.mu.Unlock()
	if len(ls) == 0 {
		return errors.New("gateway: Run before Listen")
	}
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	for _, l := range ls {
		g.wg.Go(func() { g.accept(base, l) })
	}
	keep, forget := context.WithCancel(base)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		g.reuse.run(keep)
	}()
	<-ctx.Done()
	g.drain(ls, cut)
	forget()
	<-kept
	return nil
}

// drain ends everything: idle connections now, requests and tunnels when they are
// done, and what is left after Config.Drain by force.
func (g *Gateway) drain(ls []*listener, cut func()) {
	g.ending.Store(true)
	closeAll(ls)
	g.h2.drain()
	g.shed(-1, time.Now().Add(lastCall))
	done := make(chan struct{})
	go func() {
		g.wg.Wait()
		close(done)
	}()
	limit := time.NewTimer(g.set.Load().cfg.Drain)
	defer limit.Stop()
	select {
	case <-done:
		return
	case <-limit.C:
	}
	cut()
	g.mu.Lock()
	for c := range g.clients {
		_ = c.raw.Close()
	}
	g.mu.Unlock()
	<-done
}
