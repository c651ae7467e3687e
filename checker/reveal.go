package checker

import (
	"bytes"

	"freeway/proxy"
)

// reveal is what the bytes of a peer tell of the protocol that it speaks.
type reveal uint8

const (
	revealNothing reveal = iota // nothing was heard of it yet
	revealClosed                // it hung up without a word, as SOCKS servers do
	revealSilent                // it took the connection and said nothing
	revealHTTP
	revealTLS
	revealSOCKS4
	revealSOCKS5
	revealForeign // bytes of none of these: another service, or noise
)

// protocol returns what to speak to such a peer, 0 for nothing in particular.
func (r reveal) protocol() proxy.Protocol {
	switch r {
	case revealHTTP:
		return proxy.HTTP
	case revealTLS:
		return proxy.HTTPS
	case revealSOCKS4:
		return proxy.SOCKS4
	case revealSOCKS5:
		return proxy.SOCKS5
	}
	return 0
}

// revealed looks at the first bytes of a peer and how the conversation ended.
func revealed(first []byte, class proxy.Class) reveal {
	switch {
	case len(first) == 0 && (class == proxy.EOF || class == proxy.Reset):
		return revealClosed
	case len(first) == 0:
		return revealSilent
	case bytes.HasPrefix([]byte("HTTP/"), first[:min(len(first), 5)]): // SOCKS5 reads only two bytes
		if bytes.HasPrefix(first, []byte("HTTP/1.1 400")) && wantsTLS(first) {
			return revealTLS
		}
		return revealHTTP
	case first[0] == 0x15 && (len(first) < 2 || first[1] == 3): // a TLS alert, RFC 8446 section 6
		return revealTLS
	case first[0] == 5 && (len(first) == 1 || first[1] <= 2 || first[1] == 0xFF): // a choice of method, RFC 1928 section 3
		return revealSOCKS5
	case first[0] == 0 && (len(first) == 1 || first[1] >= 0x5A && first[1] <= 0x5D): // a reply of SOCKS4
		return revealSOCKS4
	}
	return revealForeign
}

// wantsTLS recognises the complaint of web servers about plain HTTP at a TLS port.
func wantsTLS(first []byte) bool {
	return bytes.Contains(first, []byte("HTTPS port")) || bytes.Contains(first, []byte("HTTPS server")) ||
		bytes.Contains(first, []byte("SSL-enabled server port"))
}
