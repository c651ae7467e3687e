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
	local map[netip.Addr]bool // addresses of this machine that a wildcard listener answers on
	wild  map[uint16]bool     // ports of listeners on all addresses
	name  string              // of this machine, lower case
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
	if len(o.wild) > 0 {
		locals, _ := net.InterfaceAddrs()
		for _, a := range locals {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				o.local[p.Addr().Unmap().WithZone("")] = true
			}
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
		return t.Host == "localhost" || strings.HasSuffix(t.Host, ".localhost") || t.Host == o.name
	}
	if o.addrs[netip.AddrPortFrom(a, t.Port)] || a.IsUnspecified() {
		return true
	}
	return o.wild[t.Port] && (a.IsLoopback() || o.local[a])
}

// checkTarget refuses what clients may not reach.
func (g *Gateway) checkTarget(s *settings, t proxy.Target) *refusal {
	g.mu.Lock()
	own := g.own
	g.mu.Unlock()
	a := t.Addr()
	switch {
	case own.has(t), a.IsValid() && g.env.Self != nil && g.env.Self(netip.AddrPortFrom(a.Unmap(), t.Port)):
		return refusef(codeForbidden, "the gateway does not reach itself")
	case slices.Contains(s.cfg.DenyPorts, t.Port):
		return refusef(codeForbidden, "this port is closed (deny_ports)")
	}
	if err := g.env.Targets.CheckHost(t.Host); err != nil {
		return refusef(codeForbidden, err.Error())
	}
	return nil
}
