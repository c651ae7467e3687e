package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Protocol is how one talks to a proxy. The zero value is not a protocol.
type Protocol uint8

// The protocols that Freeway speaks to upstream proxies.
const (
	HTTP   Protocol = 1 + iota // plain TCP to the proxy, HTTP proxying (absolute form and CONNECT, RFC 9110)
	HTTPS                      // the same inside TLS to the proxy itself
	SOCKS4                     // SOCKS4 and 4a
	SOCKS5                     // RFC 1928, user and password by RFC 1929
)

var protocolNames = [...]string{"", "http", "https", "socks4", "socks5"}

// Protocols returns all protocols, in the order in which unknown entries are tried.
func Protocols() []Protocol { return []Protocol{HTTP, SOCKS5, SOCKS4, HTTPS} }

// String returns the scheme, for example "socks5"; the zero value gives "".
func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return "protocol(" + strconv.Itoa(int(p)) + ")"
}

// IsSOCKS reports whether p is one of the SOCKS protocols.
func (p Protocol) IsSOCKS() bool { return p == SOCKS4 || p == SOCKS5 }

// MarshalText prints the scheme.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts what ParseProtocol accepts, and the empty string.
func (p *Protocol) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*p = 0
		return nil
	}
	v, err := ParseProtocol(string(b))
	if err == nil {
		*p = v
	}
	return err
}

// ParseProtocol reads a scheme in any case. It also knows the spellings of
// curl that say who resolves names: socks4a is socks4, socks5h is socks5.
func ParseProtocol(s string) (Protocol, error) {
	switch strings.ToLower(s) {
	case "http":
		return HTTP, nil
	case "https":
		return HTTPS, nil
	case "socks4", "socks4a":
		return SOCKS4, nil
	case "socks5", "socks5h":
		return SOCKS5, nil
	}
	return 0, fmt.Errorf("unknown protocol %q; use http, https, socks4 or socks5", s)
}

// Endpoint is where a proxy listens and how to talk to it. It is comparable,
// holds no secret and is the key of everything. Only values made by Parse,
// ParseURL or NewEndpoint are canonical.
type Endpoint struct {
	Protocol Protocol
	Host     string // an IP address as netip prints it, IPv6 without brackets; or a host name in lower case
	Port     uint16 // 1 to 65535
	User     string // for private upstreams; any bytes
}

// NewEndpoint makes a canonical endpoint or says what is wrong with its parts.
// IPv4-mapped IPv6 addresses become the IPv4 address inside; zones are refused.
func NewEndpoint(p Protocol, host string, port uint16, user string) (Endpoint, error) {
	if p < HTTP || p > SOCKS5 {
		return Endpoint{}, errors.New("no protocol")
	}
	if port == 0 {
		return Endpoint{}, errors.New("port 0 is not a port")
	}
	h, err := canonicalHost(host)
	if err != nil {
		return Endpoint{}, err
	}
	return Endpoint{Protocol: p, Host: h, Port: port, User: user}, nil
}

// Parse reads an endpoint in curl's form, scheme://user@host:port. Without a
// scheme it is http. It checks syntax only: AddrPolicy says what may be dialled.
// A password is an error here, because an Endpoint cannot keep it; see ParseURL.
// For every e that Parse returns, Parse(e.String()) == e.
func Parse(s string) (Endpoint, error) {
	e, secret, err := ParseURL(s)
	if err == nil && !secret.IsZero() {
		return Endpoint{}, errors.New("an endpoint holds no password")
	}
	return e, err
}

// ParseURL is Parse for text that may carry a password, which it returns apart.
// User and password are percent-decoded. Its errors never contain s.
func ParseURL(s string) (Endpoint, Secret, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "http", s
	}
	p, err := ParseProtocol(scheme)
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	rest = strings.TrimSuffix(rest, "/")
	var user, pass string
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		u, w, _ := strings.Cut(rest[:i], ":")
		rest = rest[i+1:]
		user, err = url.PathUnescape(u)
		if err == nil {
			pass, err = url.PathUnescape(w)
		}
		if err != nil {
			return Endpoint{}, Secret{}, errors.New("bad percent-encoding in user or password")
		}
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	e, err := NewEndpoint(p, host, port, user)
	return e, NewSecret(pass), err
}

// String prints the canonical form; Parse reads it back.
func (e Endpoint) String() string {
	if e.User == "" {
		return e.Protocol.String() + "://" + e.Address()
	}
	return e.Protocol.String() + "://" + userEscaper.Replace(url.PathEscape(e.User)) + "@" + e.Address()
}

// Append appends what String returns, without an allocation for endpoints
// that have no user.
func (e Endpoint) Append(b []byte) []byte {
	if e.User != "" {
		return append(b, e.String()...)
	}
	b = append(append(b, e.Protocol.String()...), "://"...)
	if strings.IndexByte(e.Host, ':') >= 0 {
		b = append(append(append(b, '['), e.Host...), ']')
	} else {
		b = append(b, e.Host...)
	}
	return strconv.AppendUint(append(b, ':'), uint64(e.Port), 10)
}

// userEscaper adds what PathEscape leaves and an authority reads as separators.
var userEscaper = strings.NewReplacer(":", "%3A", "@", "%40")

// Address returns host:port, IPv6 in brackets: the form that net.Dial takes.
func (e Endpoint) Address() string {
	return joinHostPort(e.Host, e.Port)
}

// Addr returns the IP address, or the zero Addr when Host is a name.
func (e Endpoint) Addr() netip.Addr {
	a, _ := literal(e.Host)
	return a
}

// MarshalText prints the canonical form.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText is Parse.
func (e *Endpoint) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err == nil {
		*e = v
	}
	return err
}

func joinHostPort(host string, port uint16) string {
	if strings.IndexByte(host, ':') >= 0 {
		return "[" + host + "]:" + strconv.Itoa(int(port))
	}
	return host + ":" + strconv.Itoa(int(port))
}

// splitHostPort demands a port in plain decimal without sign or leading zero.
func splitHostPort(s string) (string, uint16, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, errors.New("no port; write host:port")
	}
	host, digits := s[:i], s[i+1:]
	port, err := parsePort(digits)
	if err != nil {
		return "", 0, err
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
		if strings.IndexByte(host, ':') < 0 {
			return "", 0, errors.New("brackets are for IPv6 addresses")
		}
		return host, port, nil
	}
	if strings.IndexByte(host, ':') >= 0 {
		return "", 0, errors.New("an IPv6 address needs brackets before its port")
	}
	return host, port, nil
}

func parsePort(s string) (uint16, error) {
	if s == "" || len(s) > 5 || s[0] == '0' {
		return 0, fmt.Errorf("bad port %q; use 1 to 65535", clip(s))
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("bad port %q; use 1 to 65535", clip(s))
		}
		n = n*10 + int(s[i]-'0')
	}
	if n > 65535 {
		return 0, fmt.Errorf("bad port %q; use 1 to 65535", clip(s))
	}
	return uint16(n), nil
}

// literal reads an IP address. What cannot be one is told from its looks, because
// the error of netip.ParseAddr costs more than a whole parse: an IPv4 address
// ends in a digit, and an IPv6 address has a colon.
func literal(s string) (netip.Addr, bool) {
	if s == "" || strings.IndexByte(s, ':') < 0 && (s[len(s)-1] < '0' || s[len(s)-1] > '9') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil
}

func canonicalHost(h string) (string, error) {
	if a, ok := literal(h); ok {
		if a.Zone() != "" {
			return "", errors.New("an address with a zone is local to one machine")
		}
		return a.Unmap().String(), nil
	}
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if h == "" || len(h) > 253 {
		return "", errors.New("no host, or a host name over 253 bytes")
	}
	last := h
	for label := range strings.SplitSeq(h, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("bad host %q", clip(h))
		}
		last = label
	}
	// RFC 3696 section 2: a top-level name is never all digits, so this is a broken IPv4 address.
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return "", fmt.Errorf("bad IP address %q", clip(h))
	}
	return h, nil
}

// validLabel accepts the letters, digits and hyphens of RFC 1123 and the
// underscore, which occurs in practice.
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// clip keeps foreign text in messages short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
