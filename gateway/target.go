package gateway

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"freeway/proxy"
)

// ownAddrs is where the gateway itself listens.
type ownAddrs struct {
	ports map[uint16]bool
	addrs map[netip.AddrPort]bool
	local map[netip.Addr]bool // addresses of this machine
	wild  map[uint16]bool     // ports of listeners on all addresses
	name  string              // of this machine, lower case; "" when not known
}

// newOwnAddrs takes down where the listeners can be reached. Addresses of this machine
// are read once: a listener on all of them also answers on ones that come later.
func newOwnAddrs(ls []*listener) ownAddrs {
	o := ownAddrs{ports: map[uint16]bool{}, addrs: map[netip.AddrPort]bool{}, local: map[netip.Addr]bool{}, wild: map[uint16]bool{}}
	for _, l := range ls {
		t, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			continue
		}
		ap := t.AddrPort()
		o.ports[ap.Port()] = true
		if ap.Addr().IsUnspecified() {
			o.wild[ap.Port()] = true
		}
		o.addrs[netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())] = true
	}
	locals, _ := net.InterfaceAddrs()
	for _, a := range locals {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			o.local[p.Addr().Unmap().WithZone("")] = true
		}
	}
	name, _ := os.Hostname()
	o.name = strings.ToLower(name)
	return o
}

// has reports whether the target is one of the gateway's own listeners, as far
// as that can be known without resolving names.
func (o *ownAddrs) has(t proxy.Target) bool {
	if !o.ports[t.Port] {
		return false
	}
	a := t.Addr().Unmap()
	if !a.IsValid() {
		return o.isHere(t.Host)
	}
	if o.addrs[netip.AddrPortFrom(a, t.Port)] || a.IsUnspecified() {
		return true
	}
	return o.wild[t.Port] && (a.IsLoopback() || o.local[a])
}

// hosts is what systems call the loopback address in /etc/hosts beside localhost.
var hosts = []string{"localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}

// isHere reports whether a name means this machine: localhost (RFC 6761 section
// 6.3), its usual other names, and the machine's own, with or without its domain.
func (o *ownAddrs) isHere(name string) bool {
	short, _, _ := strings.Cut(o.name, ".")
	return name == "localhost" || slices.Contains(hosts, name) || strings.HasSuffix(name, ".localhost") || name == o.name || name == short
}

// reaches reports whether self knows the target as an address of this program,
// also under a name or address that stands for the whole machine.
func (o *ownAddrs) reaches(self func(netip.AddrPort) bool, t proxy.Target) bool {
	if self == nil {
		return false
	}
	a := t.Addr().Unmap()
	if a.IsValid() && !a.IsUnspecified() {
		return self(netip.AddrPortFrom(a, t.Port))
	}
	if !a.IsValid() && !o.isHere(t.Host) {
		return false
	}
	for a := range o.local {
		if self(netip.AddrPortFrom(a, t.Port)) {
			return true
		}
	}
	return self(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), t.Port)) || self(netip.AddrPortFrom(netip.IPv6Loopback(), t.Port))
}

// loops reports whether the beginning of a request is this program's own.
func (g *Gateway) loops(request string) bool { return g.env.Loops != nil && g.env.Loops(request) }

// turnsBack is loops for what a client says in a tunnel.
func (f *flow) turnsBack(c *client) bool {
	if f.x.c.g.env.Loops == nil {
		return false
	}
	b, _ := c.r.Peek(c.r.Buffered())
	return speaksHTTP(b) && c.g.loops(string(b))
}

// checkTarget refuses what clients may not reach.
func (g *Gateway) checkTarget(s *settings, t proxy.Target) *refusal {
	g.mu.Lock()
	own := g.own
	g.mu.Unlock()
	if own.has(t) || own.reaches(g.env.Self, t) {
		return refusef(codeForbidden, "the gateway does not reach itself")
	}
	if r := checkPort(&s.cfg, t); r != nil {
		return r
	}
	if err := g.env.Targets.CheckHost(t.Host); err != nil {
		return refusef(codeForbidden, err.Error())
	}
	return nil
}

// checkPort applies Config.DenyPorts.
func checkPort(cfg *Config, t proxy.Target) *refusal {
	if slices.Contains(cfg.DenyPorts, t.Port) {
		return refusef(codeForbidden, "this port is closed (deny_ports)")
	}
	return nil
}
