package checker

import (
	"net"
	"net/netip"
	"slices"
	"sort"
)

// ownAddrs are the addresses under which others see us. It is never changed once made.
type ownAddrs struct {
	set   map[netip.Addr]bool
	known bool // enough judges agree, or the configuration says so: who is not in set is not us
}

// has reports whether a is one of ours.
func (o *ownAddrs) has(a netip.Addr) bool { return o.set[a.Unmap()] }

// list returns the addresses in order.
func (o *ownAddrs) list() []netip.Addr {
	out := make([]netip.Addr, 0, len(o.set))
	for a := range o.set {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Less(out[j]) })
	return out
}

// sighting is one judge's word on who we are.
type sighting struct {
	addr     netip.Addr
	operator string
	trusted  bool // Freeway's own judge, whose answers have a checksum
}

// maxOwn bounds what liars can make us believe to be ours.
const maxOwn = 64

// localOnly knows this machine's interfaces, which does not say what others see.
func localOnly() *ownAddrs {
	o := &ownAddrs{set: map[netip.Addr]bool{}}
	for _, a := range localAddrs() {
		o.set[a] = true
	}
	return o
}

// learn returns the addresses of o and of the sightings. They count as known when
// the configuration names some, when a trusted judge says so, when two operators
// agree, or when there is only one operator to ask.
func (o *ownAddrs) learn(configured []netip.Addr, seen []sighting, operators int) *ownAddrs {
	next := &ownAddrs{set: map[netip.Addr]bool{}, known: o.known || len(configured) > 0}
	for a := range o.set {
		next.set[a] = true
	}
	for _, a := range configured {
		next.set[a.Unmap()] = true
	}
	by := map[netip.Addr][]string{}
	for _, s := range seen {
		if !s.addr.IsValid() {
			continue
		}
		if len(next.set) < maxOwn || s.trusted {
			next.set[s.addr] = true
		}
		if !slices.Contains(by[s.addr], s.operator) {
			by[s.addr] = append(by[s.addr], s.operator)
		}
		next.known = next.known || s.trusted || operators < 2 || len(by[s.addr]) > 1
	}
	return next
}

// localAddrs returns the addresses of this machine's interfaces.
func localAddrs() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil // judges and configuration know the address that matters
	}
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && !ip.IsLinkLocalUnicast() {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
