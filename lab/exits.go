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
	known map[netip.AddrPort]netip.Addr
	dials map[chan struct{}]bool
}

// newExits knows of no connection yet.
func newExits() *exits {
	return &exits{known: map[netip.AddrPort]netip.Addr{}, dials: map[chan struct{}]bool{}}
}

// begin announces a dial; the function it returns ends it. local is the zero value when the dial failed.
func (x *exits) begin() (end func(local netip.AddrPort, exit netip.Addr)) {
	ch := make(chan struct{})
	x.mu.Lock()
	x.dials[ch] = true
	x.mu.Unlock()
	return func(local netip.AddrPort, exit netip.Addr) {
		x.mu.Lock()
		delete(x.dials, ch)
		if local.IsValid() {
			x.known[local] = exit
		}
		x.mu.Unlock()
		close(ch)
	}
}

// take returns the exit of the connection from remote, once. When it is not
// known, pending are the dials that may still turn out to be it.
func (x *exits) take(remote netip.AddrPort) (exit netip.Addr, ok bool, pending []chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if exit, ok = x.known[remote]; ok {
		delete(x.known, remote)
		return exit, true, nil
	}
	for ch := range x.dials {
		pending = append(pending, ch)
	}
	return netip.Addr{}, false, pending
}

// await is take after all pending dials have ended; done gives up.
func (x *exits) await(remote netip.AddrPort, pending []chan struct{}, done <-chan struct{}) (netip.Addr, bool) {
	for _, ch := range pending {
		select {
		case <-ch:
		case <-done:
			return netip.Addr{}, false
		}
	}
	exit, ok, _ := x.take(remote)
	return exit, ok
}
