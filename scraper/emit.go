package scraper

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"

	"freeway/proxy"
)

// protoSet is a set of protocols; 0 means that none was named.
type protoSet uint8

func setOf(p proxy.Protocol) protoSet { return 1 << p }

// protocolWord reads what lists write for a protocol, alone or combined:
// "SOCKS5", "http/https", "socks4/5". 0 when it is something else.
func protocolWord(b []byte) protoSet {
	if len(b) < 4 || len(b) > 40 || b[0]|0x20 != 'h' && b[0]|0x20 != 's' {
		return 0
	}
	if p, err := proxy.ParseProtocol(view(b)); err == nil {
		return setOf(p)
	}
	s := strings.ToLower(string(b))
	switch s {
	case "socks4/5", "socks4+5", "socks4&5":
		return setOf(proxy.SOCKS4) | setOf(proxy.SOCKS5)
	case "http(s)", "https?":
		return setOf(proxy.HTTP) | setOf(proxy.HTTPS)
	}
	var all protoSet
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune("/+&,| ", r) }) {
		p, err := proxy.ParseProtocol(part)
		if err != nil {
			return 0
		}
		all |= setOf(p)
	}
	return all
}

// otherScheme reports whether s names a protocol that Freeway does not speak
// but lists of proxies hold.
func otherScheme(s string) bool {
	switch strings.ToLower(s) {
	case "ss", "ssr", "shadowsocks", "shadowsocksr", "vmess", "vless", "trojan", "trojan-go", "hysteria", "hysteria2", "hy2", "tuic",
		"wireguard", "wg", "warp", "snell", "mtproto", "tg", "anytls", "juicity", "naive", "naive+https", "ssh", "mieru", "brook", "ftp", "relay",
		"direct", "reject", "selector", "select", "url-test", "urltest", "fallback", "load-balance", "dns", "file", "inline":
		return true
	}
	return false
}

// entry is one thing that a list names, before the rules about protocols.
type entry struct {
	host       host
	port       uint16
	protos     protoSet
	user, pass []byte
	claims     proxy.Traits
}

// emitter turns entries into candidates: it asks the policy, fills in the
// protocols, drops what it has given before and counts what is refused.
type emitter struct {
	o      ParseOptions
	yield  func(proxy.Candidate, error) bool
	done   bool // the consumer wants no more
	line   int  // of the input, for rejections
	given  int  // entries given or seen before
	seen   idSet
	seed   maphash.Seed
	format string
	depth  int // readers within readers
}

func newEmitter(o ParseOptions, yield func(proxy.Candidate, error) bool) *emitter {
	return &emitter{o: o, yield: yield, seed: maphash.MakeSeed()}
}

// emit gives the candidates of one entry and reports whether it was taken.
func (e *emitter) emit(en *entry) bool {
	if e.done {
		return false
	}
	var ep proxy.Endpoint
	var id uint64
	if en.host.addr.Is4() {
		a := en.host.addr.As4()
		if !public4(a) && !e.allowed(en) {
			return false
		}
		ep.Host = string(en.host.text)
		id = uint64(a[0])<<56 | uint64(a[1])<<48 | uint64(a[2])<<40 | uint64(a[3])<<32 | uint64(en.port)<<16
	} else if !e.slowHost(en, &ep, &id) {
		return false
	}
	ep.Port = en.port
	if len(en.user) > 0 || len(en.pass) > 0 {
		if !e.login(en) {
			return false
		}
		ep.User = string(en.user)
		id ^= maphash.String(e.seed, ep.User) &^ 0xff
	}
	e.given++
	e.each(en, ep, id)
	return true
}

// each yields the entry once for every protocol it may have.
func (e *emitter) each(en *entry, ep proxy.Endpoint, id uint64) {
	c := proxy.Candidate{Endpoint: ep, Password: proxy.NewSecret(string(en.pass)), Pool: e.o.Pool, Claims: en.claims}
	switch {
	case en.protos != 0:
		for p := proxy.HTTP; p <= proxy.SOCKS5; p++ {
			if en.protos&setOf(p) != 0 {
				e.one(&c, p, id|uint64(p))
			}
		}
	case len(e.o.Protocols) > 0:
		for _, p := range e.o.Protocols {
			e.one(&c, p, id|uint64(p))
		}
	default:
		c.Guess = true
		e.one(&c, proxy.HTTP, id)
	}
}

func (e *emitter) one(c *proxy.Candidate, p proxy.Protocol, id uint64) {
	if e.done || !e.seen.add(id) {
		return
	}
	c.Endpoint.Protocol = p
	e.done = !e.yield(*c, nil)
}

// slowHost is for names and IPv6 addresses; IPv4-mapped ones become IPv4.
func (e *emitter) slowHost(en *entry, ep *proxy.Endpoint, id *uint64) bool {
	if en.host.addr.IsValid() {
		if !e.allowed(en) {
			return false
		}
		en.host.addr = en.host.addr.Unmap()
		ep.Host = en.host.addr.String()
	} else {
		full, err := proxy.NewEndpoint(proxy.HTTP, string(en.host.text), en.port, "")
		if err != nil || !e.allowedName(en, full.Host) {
			e.reject(en.host.text, "not a host name that can be used")
			return false
		}
		ep.Host = full.Host
	}
	*id = maphash.String(e.seed, ep.Host)&^0xffffff | uint64(en.port)<<8
	return true
}

// allowed asks the policy about an address.
func (e *emitter) allowed(en *entry) bool {
	err := e.o.Policy.Check(en.host.addr)
	if err != nil && e.o.Rejected != nil {
		e.reject(fmt.Appendf(nil, "%s", netip.AddrPortFrom(en.host.addr, en.port)), err.Error())
	}
	return err == nil
}

// allowedName asks the policy about a name. A name of one label means a
// machine of this network, so it needs a policy that allows one.
func (e *emitter) allowedName(_ *entry, name string) bool {
	if strings.IndexByte(name, '.') < 0 && name != "localhost" {
		return privateAllowed(e.o.Policy)
	}
	return e.o.Policy.CheckHost(name) == nil
}

// privateAllowed reports whether the operator lets addresses of a private
// network be used at all.
func privateAllowed(p proxy.AddrPolicy) bool {
	for _, a := range [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 1}, {172, 17, 0, 1}, {192, 168, 0, 1}} {
		if p.Check(netip.AddrFrom4(a)) == nil {
			return true
		}
	}
	return false
}

// login refuses user names and passwords that no proxy could be sent.
func (e *emitter) login(en *entry) bool {
	const longest = 255 // RFC 1929
	ok := len(en.user) <= longest && len(en.pass) <= longest
	for _, part := range [][]byte{en.user, en.pass} {
		for _, c := range part {
			ok = ok && c >= ' ' && c != 0x7f
		}
	}
	if !ok {
		e.reject(nil, "user name or password with control characters or over 255 bytes")
	}
	return ok
}

// reject tells Rejected. text may hold a password; what stands before an @ and
// behind host:port is masked.
func (e *emitter) reject(text []byte, reason string) {
	if e.o.Rejected != nil {
		e.o.Rejected(Rejection{Line: e.line, Text: maskText(text), Reason: reason})
	}
}

func maskText(text []byte) string {
	const longest = 200
	s := strings.ToValidUTF8(string(text[:min(len(text), longest)]), "?")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = "***" + s[i:]
	}
	if parts := strings.SplitN(s, ":", 3); len(parts) == 3 && !strings.Contains(s, "://") && !strings.Contains(s, "[") {
		if _, ok := wholePort([]byte(parts[1])); ok {
			s = parts[0] + ":" + parts[1] + ":***"
		}
	}
	return s
}

// maxSeen bounds the memory that remembers what was given: 16 MiB. Beyond it
// entries may repeat.
const maxSeen = 1 << 20

// idSet is a set of 64-bit identities with open addressing. The zero value is
// empty and usable.
type idSet struct {
	slots []uint64
	n     int
	zero  bool
}

// add reports whether id is new.
func (s *idSet) add(id uint64) bool {
	if id == 0 {
		fresh := !s.zero
		s.zero = true
		return fresh
	}
	if 2*s.n >= len(s.slots) {
		if s.n >= maxSeen {
			return !s.has(id)
		}
		s.grow()
	}
	i := s.find(id)
	if s.slots[i] == id {
		return false
	}
	s.slots[i] = id
	s.n++
	return true
}

func (s *idSet) has(id uint64) bool { return s.slots[s.find(id)] == id }

// find returns the slot that holds id or is free for it.
func (s *idSet) find(id uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := (id * 0x9E3779B97F4A7C15) >> 20 & mask // Fibonacci hashing, Knuth 6.4
	for s.slots[i] != 0 && s.slots[i] != id {
		i = (i + 1) & mask
	}
	return i
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(256, 2*len(old)))
	for _, id := range old {
		if id != 0 {
			s.slots[s.find(id)] = id
		}
	}
}
