package scraper

import (
	"net/netip"
	"strings"
	"unsafe"

	"golang.org/x/net/publicsuffix"
)

// The parsers of this file read at the start of a text and say how long what
// they read is. They accept nothing that netip would not, and leave the rest to
// AddrPolicy and proxy.NewEndpoint; they exist because they run on every word of
// every list and netip.ParseAddr needs to know where the address ends.

// host is the host part of an entry: an address, or a name when addr is zero.
// text is a piece of the reader's buffer and valid only until the next line.
type host struct {
	addr netip.Addr
	text []byte
}

// parse4 reads an IPv4 address at the start of b, strictly: four octets
// without leading zeros, and no fifth. n is 0 when there is none.
func parse4(b []byte) (a [4]byte, n int) {
	for i := range 4 {
		if i > 0 {
			if n >= len(b) || b[n] != '.' {
				return a, 0
			}
			n++
		}
		// At most three digits; a fourth makes the value or the length wrong.
		v, start := 0, n
		for n < len(b) && n-start < 4 && isDigit(b[n]) {
			v = v*10 + int(b[n]-'0')
			n++
		}
		if n == start || v > 255 || n-start > 3 || n-start > 1 && b[start] == '0' {
			return a, 0
		}
		a[i] = byte(v)
	}
	// "1.2.3.4.5" is a version or worse.
	if n+1 < len(b) && b[n] == '.' && isDigit(b[n+1]) {
		return a, 0
	}
	return a, n
}

// parsePort reads a port in plain decimal at the start of b: 1 to 65535, no
// leading zero, not a part of a longer number. n is 0 when there is none.
func parsePort(b []byte) (port uint16, n int) {
	v := 0
	for n < len(b) && isDigit(b[n]) {
		if n == 5 {
			return 0, 0
		}
		v = v*10 + int(b[n]-'0')
		n++
	}
	if n == 0 || b[0] == '0' || v > 65535 {
		return 0, 0
	}
	return uint16(v), n
}

// wholePort is parsePort for a text that holds nothing else.
func wholePort(b []byte) (uint16, bool) {
	p, n := parsePort(b)
	return p, n != 0 && n == len(b)
}

// fieldPort is wholePort for fields of tables and objects, where programs that
// take every number for a float write 8080.0.
func fieldPort(b []byte) (uint16, bool) {
	p, n := parsePort(b)
	return p, n != 0 && (n == len(b) || string(b[n:]) == ".0")
}

// parseHost reads an IPv4 address, an IPv6 address in brackets or a host name
// at the start of b and returns how many bytes it takes; 0 when there is none.
func parseHost(b []byte) (host, int) {
	if len(b) == 0 {
		return host{}, 0
	}
	if b[0] == '[' {
		return parse6(b)
	}
	// An address first: every address is made of the letters of names.
	if isDigit(b[0]) {
		if a, n := parse4(b); n != 0 {
			return host{netip.AddrFrom4(a), b[:n]}, n
		}
	}
	n := 0
	for n < len(b) && isNameByte(b[n]) {
		n++
	}
	if !validHostName(view(b[:n])) {
		return host{}, 0
	}
	return host{text: b[:n]}, n
}

func (h host) valid() bool { return h.addr.IsValid() || len(h.text) > 0 }

// same reports whether two hosts are written alike.
func (h host) same(o host) bool {
	return h.addr == o.addr && (h.addr.IsValid() || strings.EqualFold(view(h.text), view(o.text)))
}

// wholeHost reads an address, with or without brackets, or a name that is all
// of b.
func wholeHost(b []byte) host {
	if h, n := parseHost(b); n == len(b) && n > 0 {
		return h
	}
	if a, ok := bare6(b); ok {
		return host{addr: a}
	}
	return host{}
}

// looksLikeHost is a quick test for keys: an address or a name, with a port or
// without.
func looksLikeHost(b []byte) bool {
	const shortest = 4
	if len(b) < shortest || strings.IndexByte(view(b), '.') < 0 && b[0] != '[' {
		return false
	}
	if i := strings.Index(view(b), "://"); i > 0 {
		return protocolWord(b[:i]) != 0
	}
	_, n := parseHost(b)
	return n > 0 && (n == len(b) || b[n] == ':')
}

// isIPv6Start tells "[2001:..." from the beginning of a JSON array.
func isIPv6Start(b []byte) bool {
	for i := 1; i < len(b) && i < 6; i++ {
		if b[i] == ':' {
			return true
		}
		if !isHex(b[i]) {
			return false
		}
	}
	return false
}

// parse6 reads "[address]" at the start of b.
func parse6(b []byte) (host, int) {
	// The longest address is 45 bytes, a zone comes on top.
	const longest = 64 // an address and a zone
	for i := 1; i < len(b) && i < longest; i++ {
		if b[i] == ']' {
			if a, ok := bare6(b[1:i]); ok {
				return host{a, nil}, i + 1
			}
			break
		}
	}
	return host{}, 0
}

// bare6 reads an IPv6 address without brackets that is all of b. A zone is
// part of the address, for the policy to refuse.
func bare6(b []byte) (netip.Addr, bool) {
	if len(b) < 2 || len(b) > 63 {
		return netip.Addr{}, false
	}
	colons := 0
	for _, c := range b {
		if c == ':' {
			colons++
		} else if c == '%' {
			break
		} else if !isHex(c) && c != '.' {
			return netip.Addr{}, false
		}
	}
	if colons < 2 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(view(b))
	return a, err == nil && a.Is6()
}

// validHostName reports whether s is a host name that an entry may have: at
// least two labels, the last of letters. It must not look like an address.
func validHostName(s string) bool {
	if len(s) < 4 || len(s) > 253 || strings.IndexByte(s, '.') <= 0 {
		return false
	}
	last := s
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		last = label
	}
	if len(last) < 2 || strings.HasPrefix(last, "xn--") {
		return len(last) > 4
	}
	for i := range len(last) {
		if !isLetter(last[i]) {
			return false
		}
	}
	return true
}

// managedName reports whether the name ends in a domain of the public suffix
// list, which file names ("list.txt:80") do not.
func managedName(s string) bool {
	suffix, icann := publicsuffix.PublicSuffix(strings.ToLower(s))
	return icann || strings.IndexByte(suffix, '.') >= 0
}

// public4 reports whether an IPv4 address is outside every /8 that holds a
// special range, so that AddrPolicy, which can only widen, allows it for sure.
func public4(a [4]byte) bool {
	switch a[0] {
	case 0, 10, 100, 127, 168, 169, 172, 192, 198, 203:
		return false
	}
	return a[0] < 224
}

func isDigit(c byte) bool    { return c-'0' <= 9 }
func isLetter(c byte) bool   { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isHex(c byte) bool      { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
func isNameByte(c byte) bool { return isDigit(c) || isLetter(c) || c == '-' || c == '.' || c == '_' }

// view reads b as a string without copying; b must not change while it is used.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
