package gateway

import (
	"strings"

	"freeway/internal/http1"
	"freeway/proxy"
)

// ownPage says whether an upstream wrote an answer itself, as far as that can
// be told. Its own pages are never passed on: a client would take them for the
// target's. Targets and what stands in front of them use the same products, so what a
// field names proves little; for a doubtful page, whatever it says, the client is
// answered that nobody delivered, and when several exits get it nobody is blamed.
type ownPage uint8

// The values of ownPage.
const (
	notOwn      ownPage = iota // the target's, passed on
	ownError                   // the upstream could not reach the target
	ownDenial                  // the upstream does not want to
	asksLogin                  // 407: meant for the gateway
	intercepted                // 511: a network that wants a login
)

// ownPageOf judges the head of an answer. repeats says that the request may be
// sent again; without that nothing is gained by doubting an answer.
func ownPageOf(h *http1.Response, forward, repeats bool) ownPage {
	gateway := h.Status == 502 || h.Status == 503 || h.Status == 504
	squid := h.Header.Get("X-Squid-Error")
	switch {
	case h.Status == 407:
		return asksLogin
	case h.Status == 511: // of whoever stands in the way (RFC 6585 section 6), never of the target
		return intercepted
	case !forward:
	case squid != "" && gateway:
		return ownError
	case h.Status == 403 && strings.HasPrefix(squid, "ERR_ACCESS_DENIED"):
		return ownDenial
	case gateway && repeats && signedByProxy(h.Header):
		return ownError
	case h.Status == 400 && repeats && signedByProxy(h.Header):
		return ownDenial
	}
	return notOwn
}

// loginClass is what a 407 means: through a tunnel the target is to blame.
func loginClass(forward bool) proxy.Class {
	if forward {
		return proxy.AuthRequired
	}
	return proxy.TargetFailed
}

// proxyServers are the products that sign their own error pages in Server; as
// mere forwarders they leave the target's field alone.
var proxyServers = []string{"squid", "tinyproxy", "mikrotik", "privoxy", "3proxy", "polipo", "freeproxy", "ccproxy", "wingate"}

// signedByProxy reports whether Server names such a product and Via, where it
// is given, no other one.
func signedByProxy(h http1.Header) bool {
	server := strings.ToLower(h.Get("Server"))
	for _, name := range proxyServers {
		if !strings.HasPrefix(server, name) {
			continue
		}
		for _, via := range h.Values("Via") {
			for hop := range strings.SplitSeq(via, ",") {
				if !strings.Contains(strings.ToLower(hop), name) {
					return false
				}
			}
		}
		return true
	}
	return false
}
