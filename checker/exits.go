package checker

import (
	"fmt"
	"net/netip"
)

// exits notes when a proxy was seen to leave from several addresses: in this
// check, or now and at the latest one before. It rotates, or plain HTTP lies
// about it. Traits keep one exit, the one that verified TLS says when there is any.
func (t *try) exits(r *result, tunnel, plain *step) {
	var inTunnel, inPlain, now netip.Addr
	if tunnel.ok() {
		inTunnel = tunnel.seen.Remote
	}
	if plain.ok() {
		inPlain = plain.seen.Remote
	}
	if r.learned != nil {
		now = r.learned.ExitIP
	}
	r.compareExits(inTunnel, "through the tunnel", inPlain, "in plain HTTP")
	r.compareExits(now, "now", t.known.ExitIP, "at an earlier check")
}

// compareExits notes that an exit is not the same in two cases.
func (r *result) compareExits(a netip.Addr, when string, b netip.Addr, or string) {
	if a.IsValid() && b.IsValid() && a != b {
		r.notes = append(r.notes, fmt.Sprintf("several exits: %s %s, %s %s", a, when, b, or))
	}
}
