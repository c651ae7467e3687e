package lab

import (
	"net/netip"
	"sync"
)

// exits knows which connections to the lab's own servers come from upstreams,
// and which exit each of them stands for. A dial is announced before and
// registered after; a server that sees a connection in between waits for it.
type exits struct {
	mu    sync.Mutex // protects the fields below
	known map[path]netip.Addr
	dials map[chan struct{}]bool
}

// path is a connection of an upstream to one of the lab's servers. One port of an exit
// may be in use for several servers at a time.
type path struct{ from, to netip.AddrPort }

// newExits knows of no connection yet.
func newExits() *exits {
	return &exits{known: map[path]netip.Addr{}, dials: map[chan struct{}]bool{}}
}

// begin announces a dial; the function it returns ends it. It is not valid when the dial failed or does not lead to a server of the lab.
func (x *exits) begin() (end func(p path, exit netip.Addr)) {
	ch := make(chan struct{})
	x.mu.Lock()
	x.dials[ch] = true
	x.mu.Unlock()
	return func(p path, exit netip.Addr) {
		x.mu.Lock()
		delete(x.dials, ch)
		if p.from.IsValid() {
			x.known[p] = exit
		}
		x.mu.Unlock()
		close(ch)
	}
}

// take returns the exit of a connection, once. When it is not
// known, pending are the dials that may still turn out to be it.
func (x *exits) take(p path) (exit netip.Addr, ok bool, pending []chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if exit, ok = x.known[p]; ok {
		delete(x.known, p)
		return exit, true, nil
	}
	for ch := range x.dials {
		pending = append(pending, ch)
	}
	return netip.Addr{}, false, pending
}

// await is take after all pending dials have ended; done gives up.
func (x *exits) await(p path, pending []chan struct{}, done <-chan struct{}) (netip.Addr, bool) {
	for _, ch := range pending {
		select {
		case <-ch:
		case <-done:
			return netip.Addr{}, false
		}
	}
	exit, ok, _ := x.take(p)
	return exit, ok
}
