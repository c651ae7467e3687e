package scraper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// hostInterval is the least time between the end of a request to a host and
	// the next one.
	hostInterval = 500 * time.Millisecond

	// A host that could not be reached unreachedTries times in a row is left
	// alone for unreachedPause, so that forty lists on one dead host do not
	// wait for forty time-outs.
	unreachedTries = 3
	unreachedPause = time.Minute

	// keptHosts is how many hosts are remembered before idle ones are dropped:
	// redirects could name ever new ones.
	keptHosts = 512
)

// hosts keeps the manners towards the machines that lists lie on: one request
// at a time, an interval between them, and quiet when they ask for it or
// cannot be reached. This machine itself is only asked one at a time.
type hosts struct {
	now func() time.Time

	mu sync.Mutex // protects m and the gates' users, free, held and why
	m  map[string]*gate
}

// gate is the entrance to one host.
type gate struct {
	turn    chan struct{} // holds one token: who has it may ask
	breaker *breaker
	users   int       // who is in or waits
	free    time.Time // when the next request may begin
	held    time.Time // until when the host wants to be left alone (Retry-After)
	why     error     // it was not reached last; nil: it was
}

// newHosts remembers nothing yet; now is the wall clock.
func newHosts(now func() time.Time) *hosts {
	return &hosts{now: now, m: map[string]*gate{}}
}

// enter waits for the turn to ask host, a host:port. The caller calls leave
// once, with the error of an attempt that did not reach the host or nil.
func (h *hosts) enter(ctx context.Context, host string) (leave func(unreached error), err error) {
	g := h.join(host)
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		h.quit(g)
		return nil, ctx.Err()
	}
	out := func() {
		h.quit(g)
		<-g.turn
	}
	if thisMachine(host) {
		return func(error) { out() }, nil
	}
	done, err := h.pass(ctx, g, host)
	if err != nil {
		out()
		return nil, err
	}
	return func(unreached error) {
		done(unreached)
		h.mu.Lock()
		g.free, g.why = h.now().Add(hostInterval), unreached
		h.mu.Unlock()
		out()
	}, nil
}

// pass keeps the host's wishes; the caller has the turn.
func (h *hosts) pass(ctx context.Context, g *gate, host string) (done func(error), err error) {
	h.mu.Lock()
	now := h.now()
	held, wait, why := g.held, g.free.Sub(now), g.why
	h.mu.Unlock()
	if held.After(now) && held.Before(now.Add(maxHold)) {
		return nil, fmt.Errorf("%s asked to be left alone until %s", clip(host, 80), held.UTC().Format(time.RFC3339))
	}
	if err := sleep(ctx, min(wait, hostInterval)); err != nil { // more only when the clock was set back
		return nil, err
	}
	done, err = g.breaker.Allow()
	if err != nil {
		return nil, fmt.Errorf("%s is left alone for %v after %d tries: %w", clip(host, 80), unreachedPause, unreachedTries, errors.Join(why))
	}
	return done, nil
}

// hold leaves host alone until then.
func (h *hosts) hold(host string, until time.Time) {
	if thisMachine(host) {
		return
	}
	g := h.join(host)
	h.mu.Lock()
	if until.After(g.held) {
		g.held = until
	}
	h.mu.Unlock()
	h.quit(g)
}

// join finds or makes the gate of host and counts the caller.
func (h *hosts) join(host string) *gate {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.m[host]
	if g == nil {
		h.prune()
		g = &gate{turn: make(chan struct{}, 1), breaker: newBreaker(unreachedTries, unreachedPause)}
		h.m[host] = g
	}
	g.users++
	return g
}

// quit undoes join.
func (h *hosts) quit(g *gate) {
	h.mu.Lock()
	g.users--
	h.mu.Unlock()
}

// prune drops gates that nobody uses and nothing is remembered of. The caller
// holds mu.
func (h *hosts) prune() {
	if len(h.m) < keptHosts {
		return
	}
	now := h.now()
	for name, g := range h.m {
		if g.users == 0 && g.free.Before(now) && g.held.Before(now) {
			delete(h.m, name)
		}
	}
}

// thisMachine reports whether a host:port is a loopback address.
func thisMachine(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
