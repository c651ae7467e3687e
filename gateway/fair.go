package gateway

import (
	"net/netip"
	"sync"
	"time"
)

const mostClients = 8192 // whose limits are remembered

// clientKey names a client: a user, or an address where nobody logs in.
type clientKey struct {
	user string
	net  netip.Prefix // the address, or the /64 that one IPv6 client has whole
}

// clientLimits holds the limits of single clients. Its size is bounded: a
// client that has nothing running and all of its burst is forgotten.
type clientLimits struct {
	mu  sync.Mutex // protects the field below
	all map[clientKey]*gate
}

// enter applies Config.PerClient to a client.
func (t *clientLimits) enter(k clientKey, cfg ClientLimits, now time.Time) (leave func(), b *bandwidth, r *refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.all[k]
	if l == nil {
		if len(t.all) >= mostClients {
			t.prune(now)
		}
		l = &gate{}
		t.all[k] = l
	}
	l.set(cfg)
	if r := l.enter(now, "client"); r != nil {
		return nil, nil, r
	}
	return l.leave, l.bytes, nil
}

// prune forgets the clients that lose nothing by it, and when there are none
// one that has nothing running.
func (t *clientLimits) prune(now time.Time) {
	before := len(t.all)
	for k, l := range t.all {
		if l.idle(now) {
			delete(t.all, k)
		}
	}
	for k, l := range t.all {
		if len(t.all) < before {
			return
		}
		if l.running.Load() == 0 {
			delete(t.all, k)
		}
	}
}

// shares counts connections by address. The gateway's mutex protects it.
type shares map[netip.Prefix]int

// add changes the count of an address and forgets addresses without connections.
func (s shares) add(p netip.Prefix, n int) {
	if s[p] += n; s[p] <= 0 {
		delete(s, p)
	}
}

// extra is the part of the connection limit by which clients that have less
// than their share may exceed it: one that took all places does not keep others out.
const extra = 8

// below reports whether an address has less than an equal share of the places,
// and may still come in although all are taken.
func (s shares) below(p netip.Prefix, total, limit int) bool {
	return len(s) > 1 && s[p]*len(s) <= limit && total <= limit+max(limit/extra, 1)
}
