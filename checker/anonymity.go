package checker

import (
	"net/netip"
	"strings"

	"freeway/internal/judge"
	"freeway/proxy"
)

// baseline is what a judge shows of a request that came directly: how many
// values, separated by commas, each header has that we did not send ourselves.
// Names are in lower case. Front ends of judges add some, and only differences count.
type baseline map[string]int

// baselineOf counts the headers of an answer that came directly.
func baselineOf(seen judge.Seen) baseline {
	b := baseline{}
	for _, f := range seen.Header {
		if name := strings.ToLower(f.Name); !weSend(name) {
			b[name] += 1 + strings.Count(f.Value, ",")
		}
	}
	return b
}

// weSend reports whether a header, in lower case, is one of those that ask sends.
func weSend(name string) bool {
	switch name {
	case "host", "user-agent", "accept", "connection", "x-canary":
		return true
	}
	return false
}

// grade says how much of us a judge saw through the proxy. An own address
// anywhere makes it transparent. Otherwise nothing is claimed unless our own
// addresses are known.
func grade(seen judge.Seen, base baseline, own *ownAddrs) proxy.Anonymity {
	for _, a := range seen.Chain {
		if own.has(a) {
			return proxy.Transparent
		}
	}
	reveals := false
	counts := baselineOf(seen)
	for _, f := range seen.Header {
		name := strings.ToLower(f.Name)
		if !weSend(name) && mentions(f.Value, own.has) {
			return proxy.Transparent
		}
		reveals = reveals || revealing(name) && counts[name] > base[name]
	}
	switch {
	case !own.known:
		return proxy.AnonymityUnknown
	case reveals:
		return proxy.Anonymous
	}
	return proxy.Elite
}

// revealing reports whether a header name, in lower case, tells that there is a
// proxy. The list is what proxies were seen to add; the patterns are its kin.
func revealing(name string) bool {
	switch name {
	case "via", "forwarded", "x-forwarded", "max-forwards", "x-cache", "x-cache-lookup", "true-client-ip", "x-real-ip", "x-remote-ip",
		"x-remote-addr", "x-originating-ip", "x-host", "cf-connecting-ip", "x-cluster-client-ip", "wl-proxy-client-ip", "x-nokia-ipaddress":
		return true
	}
	for _, part := range []string{"proxy", "forwarded", "client-ip", "clientip", "real-ip", "bluecoat", "squid", "x-imforwards"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return strings.HasSuffix(name, "-via")
}

// mentions reports whether text holds an address that is wanted: alone, with a
// port, in brackets, in quotes, one of several. Addresses are parsed, so that
// 1.2.3.4 is not found in 11.2.3.45.
func mentions(text string, wanted func(netip.Addr) bool) bool {
	return inTokens(text, isAddrByte, wanted) || inTokens(text, isIPv4Byte, wanted)
}

// inTokens cuts text into the longest runs of bytes that part accepts and looks at those that are addresses.
func inTokens(text string, part func(byte) bool, wanted func(netip.Addr) bool) bool {
	for i := 0; i < len(text); {
		if !part(text[i]) {
			i++
			continue
		}
		begin := i
		for i < len(text) && part(text[i]) {
			i++
		}
		if a, ok := tokenAddr(text[begin:i]); ok && wanted(a) {
			return true
		}
	}
	return false
}

// maxToken is longer than any address with a port.
const maxToken = 64

// tokenAddr reads an address, with or without port and brackets. Colons and dots
// that belong to the text around it are taken off one side at a time, because
// an IPv6 address may begin or end with colons of its own.
func tokenAddr(s string) (netip.Addr, bool) {
	s = strings.TrimRight(s, ".")
	if len(s) > maxToken {
		return netip.Addr{}, false
	}
	for _, form := range []string{s, strings.Trim(s, "[]"), strings.TrimLeft(s, ":."), strings.TrimRight(s, ":")} {
		if a, err := netip.ParseAddr(form); err == nil {
			return a.Unmap(), true
		}
		if ap, err := netip.ParseAddrPort(form); err == nil {
			return ap.Addr().Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// isIPv4Byte accepts what an IPv4 address is made of.
func isIPv4Byte(c byte) bool { return c >= '0' && c <= '9' || c == '.' }

// isAddrByte accepts what any address with a port is made of. Letters a to f are
// also the ends of words, which is why IPv4 addresses are looked for apart.
func isAddrByte(c byte) bool {
	return isIPv4Byte(c) || c == ':' || c == '[' || c == ']' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
