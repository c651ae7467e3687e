package lab

import (
	"net/netip"
	"slices"
	"strings"
)

// hostNames are the names that upstreams resolve to the targets.
func hostNames() []string {
	return []string{"www.lab.test", "lab.test", "shop.lab.test", "news.lab.test", "www.other.test"}
}

// judgeNames are the names that upstreams resolve to the judges; two registrable domains, as of two operators.
func judgeNames() []string { return []string{"judge.lab.test", "judge.other.test"} }

// servers are the addresses of the lab's own servers.
type servers struct{ http, https, judge, judgeTLS netip.AddrPort }

// own reports whether addr is one of them.
func (s servers) own(addr netip.AddrPort) bool {
	return addr == s.http || addr == s.https || addr == s.judge || addr == s.judgeTLS
}

// secure reports whether TLS is spoken at addr.
func (s servers) secure(addr netip.AddrPort) bool { return addr == s.https || addr == s.judgeTLS }

// resolve returns where a host and port lead in the lab. Everything outside it leads nowhere.
// everywhere allows all loopback addresses.
func (s servers) resolve(host string, port uint16, everywhere bool) (netip.AddrPort, bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		ap := netip.AddrPortFrom(a.Unmap(), port)
		return ap, s.own(ap) || everywhere && ap.Addr().IsLoopback()
	}
	if everywhere && host == "localhost" {
		return netip.AddrPortFrom(localhost, port), true
	}
	plain, secure := s.http, s.https
	if slices.Contains(judgeNames(), host) {
		plain, secure = s.judge, s.judgeTLS
	} else if !slices.Contains(hostNames(), host) {
		return netip.AddrPort{}, false
	}
	switch port {
	case 80, 8080, plain.Port():
		return plain, true
	case 443, 8443, secure.Port():
		return secure, true
	}
	return netip.AddrPort{}, false
}

// localhost is where everything listens that needs no address of its own.
var localhost = netip.AddrFrom4([4]byte{127, 0, 0, 1})
