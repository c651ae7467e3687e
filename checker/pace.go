package checker

import (
	"context"
	"net/netip"
	"sync"
)

// DefaultPerNetwork is how many connects to one network, a /24 or an IPv6 /48,
// may be under way at the same time: what whole farms stand behind, and what
// takes many at once for a scan of its own.
const DefaultPerNetwork = 16

// pacer bounds the connects under way per network. Its zero value is ready.
type pacer struct {
	mu   sync.Mutex // protects the field below
	busy map[netip.Prefix]*lane
}

// lane is one network with connects under way.
type lane struct {
	n       int             // connects under way
	waiting []chan struct{} // who waits for a turn, first come first served
}

// networkOf returns the network of an address. Names, and what is not public,
// are not paced: the operator's own machines know what they can take.
func networkOf(host string) (netip.Prefix, bool) {
	a, err := netip.ParseAddr(host)
	if err != nil || a.IsLoopback() || a.IsPrivate() {
		return netip.Prefix{}, false
	}
	return prefixOf(a), true
}

// prefixOf returns the /24 or /48 of an address.
func prefixOf(a netip.Addr) netip.Prefix {
	a, bits := a.Unmap(), 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for no such length only
	return p
}

// enter waits for a turn to connect to a network of which limit may be under way;
// false when ctx ended before. leave must follow.
func (p *pacer) enter(ctx context.Context, n netip.Prefix, limit int) bool {
	p.mu.Lock()
	l := p.lane(n)
	if l.n < limit {
		l.n++
		p.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	p.mu.Unlock()
	select {
	case <-turn: // whoever left has left its place to us
		return true
	case <-ctx.Done():
		p.giveUp(n, turn)
		return false
	}
}

// tryEnter is enter for who does not wait; false when it is not its turn.
func (p *pacer) tryEnter(n netip.Prefix, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lane(n)
	if l.n >= limit {
		return false
	}
	l.n++
	return true
}

// lane returns the lane of a network, a new one when there is none. p.mu is held,
// and whoever asks enters it.
func (p *pacer) lane(n netip.Prefix) *lane {
	if p.busy == nil {
		p.busy = map[netip.Prefix]*lane{}
	}
	l := p.busy[n]
	if l == nil {
		l = &lane{}
		p.busy[n] = l
	}
	return l
}

// giveUp takes one who waits off the queue, or passes its turn on.
func (p *pacer) giveUp(n netip.Prefix, turn chan struct{}) {
	p.mu.Lock()
	l := p.busy[n]
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			p.mu.Unlock()
			return
		}
	}
	p.mu.Unlock()
	p.leave(n)
}

// leave ends a connect.
func (p *pacer) leave(n netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.busy[n]
	if len(l.waiting) > 0 {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		return
	}
	if l.n--; l.n == 0 {
		delete(p.busy, n)
	}
}
