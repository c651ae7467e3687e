package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// listener is one bound address. What it offers follows the configuration;
// connections keep the listener that they came in by, also after it was closed.
type listener struct {
	net.Listener
	place place
	fixed atomic.Pointer[Options]    // nil: none
	tls   atomic.Pointer[tls.Config] // holds nil: plain
	done  chan struct{}              // closed when nothing accepts from it any more; nil: nothing does
	gone  atomic.Bool                // it is being closed
}

// place tells listeners apart: two with the same place are one, whatever
// order the configuration has them in.
type place struct {
	addr   string // as configured
	secure bool
	nth    int // of those with the same address: port 0 may come more than once
}

// offer is a place with what is offered there.
type offer struct {
	place place
	fixed *Options
	tls   *tls.Config
}

// newListener gives l what is offered.
func newListener(l net.Listener, o offer) *listener {
	out := &listener{Listener: l, place: o.place}
	out.take(o)
	return out
}

// take makes connections that come from now on get what is offered.
func (l *listener) take(o offer) {
	l.fixed.Store(o.fixed)
	l.tls.Store(o.tls)
}

// inner is a listener for streams of HTTP/2 inside a connection to l.
func (l *listener) inner() *listener {
	return newListener(l.Listener, offer{place: l.place, fixed: l.fixed.Load()})
}

// offers lists what the settings want, the main one first.
func (s *settings) offers(secure *tls.Config) []offer {
	seen := map[place]int{}
	var out []offer
	add := func(addr string, fixed *Options, conf *tls.Config) {
		p := place{addr: addr, secure: conf != nil}
		p.nth, seen[p] = seen[p], seen[p]+1
		out = append(out, offer{p, fixed, conf})
	}
	add(s.cfg.Listen, nil, nil)
	for i, l := range s.cfg.Listeners {
		add(l.Listen, &s.fixed[i], nil)
	}
	if secure != nil {
		add(s.cfg.TLS.Listen, nil, secure)
	}
	return out
}

// Listen binds the configured listeners, all or none.
func (g *Gateway) Listen() error {
	g.applying.Lock()
	defer g.applying.Unlock()
	if err := g.rebind(g.set.Load()); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// rebind makes the listeners those that the settings want: addresses that stay
// keep their sockets, those that are gone are closed when all others are bound.
// With an error all stays as it was. The caller holds applying.
func (g *Gateway) rebind(s *settings) error {
	secure, err := g.secure(s)
	if err != nil {
		return err
	}
	offers := s.offers(secure)
	have := g.bound()
	var next, added []*listener
	gone := slices.DeleteFunc(slices.Clone(have), func(l *listener) bool {
		return slices.ContainsFunc(offers, func(o offer) bool { return o.place == l.place })
	})
	for _, o := range offers {
		if i := slices.IndexFunc(have, func(l *listener) bool { return l.place == o.place }); i >= 0 {
			next = append(next, have[i])
			continue
		}
		l, err := g.bindOver(o, gone)
		if err != nil {
			closeAll(added)
			return errors.Join(err, g.reopen(gone))
		}
		next, added = append(next, l), append(added, l)
	}
	for i, o := range offers {
		next[i].take(o)
	}
	return g.swap(next, added, gone)
}

// swap puts the listeners in force.
func (g *Gateway) swap(next, added, gone []*listener) error {
	g.mu.Lock()
	if g.ending.Load() {
		g.mu.Unlock()
		closeAll(added)
		return errors.New("it is stopping")
	}
	g.listeners, g.own = next, newOwnAddrs(next)
	for _, l := range added {
		g.start(l)
	}
	g.mu.Unlock()
	g.retire(gone)
	return nil
}

// start accepts from the listener if the gateway runs; the caller holds mu.
func (g *Gateway) start(l *listener) {
	if base := g.base; base != nil {
		l.done = make(chan struct{})
		g.wg.Go(func() {
			defer close(l.done)
			g.accept(base, l)
		})
	}
}

// bound returns the listeners there are now.
func (g *Gateway) bound() []*listener {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.listeners)
}

// bindOver binds an address. Where one of the listeners that go has the port, and
// it is that which is in the way, it goes first.
func (g *Gateway) bindOver(o offer, gone []*listener) (*listener, error) {
	l, err := g.bind(o.place.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		for _, old := range gone {
			if portOf(old.place.addr) == portOf(o.place.addr) {
				g.retire([]*listener{old})
				l, err = g.bind(o.place.addr)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return newListener(l, o), nil
}

// bind opens one address.
func (g *Gateway) bind(addr string) (net.Listener, error) {
	if g.env.Listen != nil {
		return g.env.Listen(addr)
	}
	return Listen(addr)
}

// Listen binds an address for clients, as a gateway does that has no other way
// (Env.Listen). It is without multipath TCP, whose sockets cannot be told to
// take no further handshakes, which closing one without a loss needs.
func Listen(addr string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	inheritKeepAlive(&lc)
	return lc.Listen(context.Background(), "tcp", addr)
}

// reopen binds again what bindOver has closed.
func (g *Gateway) reopen(gone []*listener) error {
	var errs []error
	for _, l := range gone {
		if !l.gone.Load() {
			continue
		}
		again, err := g.bind(l.place.addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fresh := newListener(again, offer{l.place, l.fixed.Load(), l.tls.Load()})
		g.mu.Lock()
		if i := slices.Index(g.listeners, l); i >= 0 {
			g.listeners[i] = fresh
		}
		g.start(fresh)
		g.mu.Unlock()
	}
	return errors.Join(errs...)
}

// portOf is what stands behind the last colon.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// retire closes listeners. Who has connected is served: on a socket of our own
// no more handshakes begin, those under way end, and the queue is taken, before
// it closes.
func (g *Gateway) retire(ls []*listener) {
	var all sync.WaitGroup
	for _, l := range ls {
		all.Go(func() {
			if !l.gone.Swap(true) && l.done != nil {
				g.empty(l)
			}
			_ = l.Close()
			if l.done != nil {
				<-l.done
			}
		})
	}
	all.Wait()
}

// closeAll closes listeners that nothing accepts from.
func closeAll(ls []*listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}
