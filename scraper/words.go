package scraper

import (
	"bytes"
	"strings"

	"freeway/proxy"
)

// protoSet is a set of protocols; 0 means that none was named.
type protoSet uint8

func setOf(p proxy.Protocol) protoSet { return 1 << p }

const (
	setHTTP   protoSet = 1 << proxy.HTTP
	setHTTPS  protoSet = 1 << proxy.HTTPS
	setSOCKS4 protoSet = 1 << proxy.SOCKS4
	setSOCKS5 protoSet = 1 << proxy.SOCKS5
)

// protocolAt reads the protocol that begins at i, with what lists hang on to it,
// and returns where it ends: "HTTP(S)", "SOCKS4/5", "SOCKS 5". 0 and the end of
// the word when it is something else.
func protocolAt(b []byte, i int) (protoSet, int) {
	end := wordEnd(b, i)
	return protocolTail(b, protocolWord(b[i:end]), end)
}

// protocolTail reads what may follow a protocol p that ends at end.
func protocolTail(b []byte, p protoSet, end int) (protoSet, int) {
	rest := b[end:]
	switch {
	case p == setHTTP && len(rest) >= 3 && strings.EqualFold(view(rest[:3]), "(s)"):
		return setHTTP | setHTTPS, end + 3
	case p == setSOCKS4|setSOCKS5 && len(rest) >= 2 && rest[0] == ' ' && numberEnds(rest[1:]):
		if rest[1] == '4' {
			return setSOCKS4, end + 2
		}
		return setSOCKS5, end + 2
	case p == setSOCKS4 && len(rest) >= 2 && strings.IndexByte("/+&", rest[0]) >= 0 && rest[1] == '5' && numberEnds(rest[1:]):
		return setSOCKS4 | setSOCKS5, end + 2
	}
	return p, end
}

// numberEnds reports whether b begins with a 4 or a 5 that is no part of a
// longer word, an address or a time.
func numberEnds(b []byte) bool {
	return (b[0] == '4' || b[0] == '5') && (len(b) == 1 || !isNameByte(b[1]) && b[1] != ':')
}

// longestProtocol is more than any protocolWord has.
const longestProtocol = 40

// protocolWord reads what lists write for a protocol, alone or combined:
// "SOCKS5", "http/https", "socks4/5". 0 when it is something else.
func protocolWord(b []byte) protoSet {
	if len(b) < 4 || len(b) > longestProtocol || b[0]|0x20 != 'h' && b[0]|0x20 != 's' {
		return 0
	}
	// In lower case, without memory.
	var low [longestProtocol]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		low[i] = c
	}
	s := low[:len(b)]
	if p := oneProtocol(s); p != 0 {
		return p
	}
	var all protoSet
	start := 0
	// A combination: every part must be a protocol.
	for i := 0; i <= len(s); i++ {
		if i < len(s) && strings.IndexByte("/+&,| ", s[i]) < 0 {
			continue
		}
		if i > start {
			p := oneProtocol(s[start:i])
			if p == 0 {
				return 0
			}
			all |= p
		}
		start = i + 1
	}
	return all
}

// "https" in a list is the list's word: mostly it means an HTTP proxy that can
// CONNECT. It is passed on as it is; the checker settles it. "socks" without a
// number may be either.

// oneProtocol reads a word in lower case.
func oneProtocol(s []byte) protoSet {
	switch string(s) {
	case "http", "httpproxy":
		return setHTTP
	case "https", "http(s)?":
		return setHTTPS
	case "socks4", "socks4a", "socks-4", "socksv4", "socks_4":
		return setSOCKS4
	case "socks5", "socks5h", "socks-5", "socksv5", "socks_5":
		return setSOCKS5
	case "socks", "socks4/5", "socks4+5", "socks4&5", "socks4,5", "socks45":
		return setSOCKS4 | setSOCKS5
	// both, in the notation of patterns
	case "http(s)", "https?":
		return setHTTP | setHTTPS
	}
	return 0
}

// otherProtocol reports whether s names a protocol that Freeway does not speak
// but that lists of proxies hold.
func otherProtocol(s string) bool {
	switch strings.ToLower(s) {
	// tunnels, and the kinds of groups and rules that configurations of Clash and
	// sing-box call types as well
	case "ss", "ssr", "shadowsocks", "shadowsocksr", "shadowtls", "vmess", "vless", "trojan", "trojan-go", "hysteria", "hysteria2", "hy2", "tuic",
		"wireguard", "wg", "warp", "snell", "mtproto", "tg", "anytls", "juicity", "naive", "naive+https", "ssh", "mieru", "brook", "ftp", "relay",
		"direct", "reject", "selector", "select", "url-test", "urltest", "fallback", "load-balance", "dns", "file", "inline", "freedom", "blackhole":
		return true
	}
	return false
}

// foreign knows the names of protocols that mean nothing else.
func foreign(w []byte) bool {
	if len(w) < 4 {
		return false
	}
	switch strings.ToLower(string(w[:min(len(w), 16)])) {
	case "shadowsocks", "shadowsocksr", "vmess", "vless", "trojan", "trojan-go", "hysteria", "hysteria2", "tuic", "wireguard", "snell", "mtproto", "anytls", "juicity":
		return true
	}
	return false
}

// headingWord reports whether s is a word that the heading of a section of a
// list may hold besides protocols and numbers. With any other it is no heading.
func headingWord(s string) bool {
	switch s {
	case "free", "proxy", "proxies", "list", "lists", "server", "servers", "protocol", "type", "working", "checked", "live", "alive",
		"elite", "anonymous", "public", "fresh", "new", "online", "good", "all", "the", "our", "of", "and", "only", "results", "total",
		"count", "premium", "valid", "tested", "version":
		return true
	}
	return false
}

// heading reads a line that says which protocol the lines below it have, such
// as "Free Socks4 Proxy List:" or "### HTTP/HTTPS ###". "HTTP/HTTPS" over a
// list means HTTP proxies that can CONNECT, so it is HTTP. 0: no heading.
func heading(line []byte) protoSet {
	const longest = 80
	if len(line) > longest || !mentionsProtocol(line) {
		return 0
	}
	// Every word must be a protocol, a number or one that headings consist of.
	var all protoSet
	for i := 0; i < len(line); {
		// Other alphabets and addresses of people are not part of headings.
		if !isNameByte(line[i]) {
			if line[i] >= 0x80 || line[i] == '@' {
				return 0
			}
			i++
			continue
		}
		j := wordEnd(line, i)
		w := strings.ToLower(strings.Trim(string(line[i:j]), ".-_"))
		p := protocolWord([]byte(w))
		if p == 0 && w != "" && !headingWord(w) && strings.Trim(w, "0123456789") != "" {
			return 0
		}
		// "SOCKS 5"
		if (w == "4" || w == "5") && all == setSOCKS4|setSOCKS5 && i > 5 && strings.EqualFold(view(line[i-6:i-1]), "socks") {
			all = setSOCKS4
			if w == "5" {
				all = setSOCKS5
			}
		}
		all |= p
		i = j
	}
	// "HTTP/HTTPS" names one kind of proxies by what it can do.
	if all&(setHTTP|setHTTPS) == setHTTP|setHTTPS {
		all &^= setHTTPS
	}
	return all
}

// mentionsProtocol is a quick test that most lines without an entry fail.
func mentionsProtocol(line []byte) bool {
	for _, part := range []string{"ttp", "TTP", "ocks", "OCKS"} {
		if bytes.Contains(line, []byte(part)) {
			return true
		}
	}
	return false
}

// wordEnd returns the end of the run of name bytes that begins at i.
func wordEnd(b []byte, i int) int {
	for i < len(b) && isNameByte(b[i]) {
		i++
	}
	return i
}

// isYes and isNo read the answers that columns such as "Https" hold.
func isYes(w []byte) bool {
	switch strings.ToLower(string(w[:min(len(w), 8)])) {
	// also in the languages of sites, and as marks
	case "yes", "true", "1", "y", "on", "+", "是", "да", "✓", "✔":
		return true
	}
	return false
}

// isNo is the opposite of isYes, not its absence.
func isNo(w []byte) bool {
	switch strings.ToLower(string(w[:min(len(w), 8)])) {
	case "no", "false", "0", "n", "off", "-", "否", "нет", "x", "✗", "none", "null":
		return true
	}
	return false
}
