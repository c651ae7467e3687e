package scraper

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"freeway/proxy"
)

// entry is one thing that a list names, before the rules about protocols.
type entry struct {
	host       host
	port       uint16
	protos     protoSet // 0: the list does not say
	user, pass []byte
	claims     claims
}

// emitter turns entries into candidates: it asks the policy, fills in the
// protocols, drops what it has given before and counts what is refused. All
// readers of one list share one.
//
// The protocol of a candidate is, in this order: the scheme that stands before
// it, what a column, key or word beside it says, what a heading or a key above
// says, what the source says of all its entries. Readers do the first three;
// the last is done here. Without any it is a guess of HTTP.
type emitter struct {
	o       ParseOptions
	yield   func(proxy.Candidate, error) bool
	done    bool  // the consumer wants no more
	line    int   // of the input, for rejections; 0 when the format has no lines
	depth   int   // readers within readers
	packs   int   // archives within archives
	left    int64 // bytes that unpacking may still give
	named   bool  // an entry with a protocol was given
	deep    bool  // tooDeep has told
	private bool  // the policy allows more than public addresses
	seen4   idSet
	texts   []byte                      // memory of the hosts that were given last; only ever appended to
	row     tableRow                    // the memory of the row that is being read
	spare   []*records                  // for documents inside of documents; see nestedRecords
	nests   int                         // documents inside of documents so far
	seen    map[proxy.Endpoint]struct{} // what does not fit seen4
	stats   ParseStats
}

// newEmitter prepares for one list.
func newEmitter(o ParseOptions, yield func(proxy.Candidate, error) bool) *emitter {
	e := &emitter{o: o, yield: yield, seen: map[proxy.Endpoint]struct{}{}, private: privateAllowed(o.Policy)}
	if e.o.Pool == "" {
		e.o.Pool = proxy.PublicPool
	}
	return e
}

// fail ends the sequence with an error.
func (e *emitter) fail(err error) {
	if !e.done {
		e.done = true
		e.yield(proxy.Candidate{}, err)
	}
}

// stopEvery is how many rows are read before Stop is asked again.
const stopEvery = 1024

// countRow counts a row, and ends the reading when nobody waits for it any more.
func (e *emitter) countRow() {
	if e.stats.Rows++; e.stats.Rows%stopEvery == 0 && e.o.Stop != nil && !e.done {
		if err := e.o.Stop(); err != nil {
			e.fail(err)
		}
	}
}

// emit gives the candidates of one entry and reports whether it was taken.
func (e *emitter) emit(en *entry) bool {
	if e.done {
		return false
	}
	// Nearly all entries are IPv4 outside of every special range.
	ep := proxy.Endpoint{Port: en.port}
	if en.host.addr.Is4() {
		if !public4(en.host.addr.As4()) && !e.allowed(en) {
			return false
		}
		ep.Host = e.keep(en.host.text)
	} else if !e.slowHost(en, &ep) {
		return false
	}
	if len(en.user)+len(en.pass) > 0 {
		if !e.login(en) {
			return false
		}
		ep.User = string(en.user)
	}
	e.stats.Taken++
	e.each(en, ep)
	return true
}

// keep copies a short text. Several share one piece of memory, which is small,
// so that one that is kept does not hold much that is not.
func (e *emitter) keep(b []byte) string {
	const piece = 128
	if len(b) > piece/4 {
		return string(b)
	}
	from := len(e.texts)
	if from+len(b) > cap(e.texts) {
		e.texts, from = make([]byte, 0, piece), 0
	}
	e.texts = append(e.texts, b...)
	return view(e.texts[from:])
}

// each yields the entry once for every protocol it may have.
func (e *emitter) each(en *entry, ep proxy.Endpoint) {
	c := proxy.Candidate{Endpoint: ep, Password: proxy.NewSecret(string(en.pass)), Pool: e.o.Pool}
	if en.claims != (claims{}) {
		c.Claims = en.claims.traits()
	}
	switch {
	case en.protos == 0 && e.named && (len(e.o.Protocols) == 0 || e.stats.Format == "html") && e.known(c, en.host.addr):
	case en.protos != 0:
		e.named = true
		for p := proxy.HTTP; p <= proxy.SOCKS5; p++ {
			if en.protos&setOf(p) != 0 {
				e.one(&c, p, en)
			}
		}
	case len(e.o.Protocols) > 0:
		for _, p := range e.o.Protocols {
			e.one(&c, p, en)
		}
	default:
		c.Guess = true
		e.one(&c, proxy.HTTP, en)
	}
}

// known reports whether the list has named the entry with a protocol before:
// pages repeat their tables as plain lines to copy, which say nothing new.
func (e *emitter) known(c proxy.Candidate, a netip.Addr) bool {
	for p := proxy.HTTP; p <= proxy.SOCKS5; p++ {
		c.Endpoint.Protocol = p
		if a.Is4() && c.Endpoint.User == "" {
			if e.seen4.has(id4(a.As4(), &c)) {
				return true
			}
		} else if _, ok := e.seen[c.Endpoint]; ok {
			return true
		}
	}
	return false
}

// one yields the candidate with one protocol, unless it was given before.
func (e *emitter) one(c *proxy.Candidate, p proxy.Protocol, en *entry) {
	c.Endpoint.Protocol = p
	if e.done || !e.fresh(c, en.host.addr) {
		return
	}
	e.done = !e.yield(*c, nil)
}

// fresh reports whether the candidate was not given before. The identity is
// exact; when the memory for it is full, entries may be given again.
func (e *emitter) fresh(c *proxy.Candidate, a netip.Addr) bool {
	if a.Is4() && c.Endpoint.User == "" {
		return e.seen4.add(id4(a.As4(), c))
	}
	if _, known := e.seen[c.Endpoint]; known {
		return false
	}
	// Beyond the bound an entry is given again rather than lost.
	if len(e.seen) < maxSeenLong {
		e.seen[c.Endpoint] = struct{}{}
	}
	return true
}

// id4 packs what tells an IPv4 candidate without a user apart. It is never 0,
// because the protocol is not.
func id4(a [4]byte, c *proxy.Candidate) uint64 {
	return uint64(a[0])<<56 | uint64(a[1])<<48 | uint64(a[2])<<40 | uint64(a[3])<<32 | uint64(c.Endpoint.Port)<<16 | uint64(c.Endpoint.Protocol)
}

// slowHost is for names and IPv6 addresses; IPv4-mapped ones become IPv4.
func (e *emitter) slowHost(en *entry, ep *proxy.Endpoint) bool {
	if en.host.addr.IsValid() {
		if !e.allowed(en) {
			return false
		}
		en.host.addr = en.host.addr.Unmap()
		ep.Host = en.host.addr.String()
		return true
	}
	full, err := proxy.NewEndpoint(proxy.HTTP, string(en.host.text), en.port, "")
	if err == nil {
		err = e.allowedName(full.Host)
	}
	if err != nil {
		e.refuse(en, err.Error())
		return false
	}
	ep.Host = full.Host
	return true
}

// allowed asks the policy about an address.
func (e *emitter) allowed(en *entry) bool {
	err := e.o.Policy.Check(en.host.addr)
	if err != nil {
		e.refuse(en, "not a public address")
	}
	return err == nil
}

// allowedName asks the policy about a name. A name of one label means a
// machine of this network, so it needs a policy that allows one.
func (e *emitter) allowedName(name string) error {
	if strings.IndexByte(name, '.') < 0 && !e.private {
		return fmt.Errorf("a name of one label is of a private network")
	}
	if e.o.Policy.CheckHost(name) != nil {
		return fmt.Errorf("a name of a private network")
	}
	return nil
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

// notHTTPS is the protocol of an entry of which a list says only that it is not
// https: http, unless the list is of something else altogether.
func (e *emitter) notHTTPS() protoSet {
	for _, p := range e.o.Protocols {
		if p == proxy.HTTP {
			return setHTTP
		}
	}
	if len(e.o.Protocols) == 0 {
		return setHTTP
	}
	return 0
}

// login refuses user names and passwords that no proxy could be sent.
func (e *emitter) login(en *entry) bool {
	const longest = 255 // RFC 1929
	ok := len(en.user) > 0 && len(en.user) <= longest && len(en.pass) <= longest
	for _, part := range [][]byte{en.user, en.pass} {
		for _, c := range part {
			ok = ok && c >= ' ' && c != 0x7f
		}
	}
	if !ok {
		e.refuse(en, "user name or password empty, with control characters or over 255 bytes")
	}
	return ok
}

// refuse rejects an entry whose parts are known.
func (e *emitter) refuse(en *entry, reason string) {
	e.stats.Refused++
	if e.o.Rejected == nil {
		return
	}
	// Made of the parts, so no password can be in it.
	text := string(en.host.text)
	if en.host.addr.IsValid() {
		text = netip.AddrPortFrom(en.host.addr, en.port).String()
	} else {
		text = fmt.Sprintf("%s:%d", clip(text, maxRejected-8), en.port)
	}
	e.o.Rejected(Rejection{Line: e.line, Text: text, Reason: reason})
}

// reject tells Rejected about a piece of foreign text.
func (e *emitter) reject(text []byte, reason string) {
	e.stats.Refused++
	if e.o.Rejected != nil {
		e.o.Rejected(Rejection{Line: e.line, Text: maskText(text), Reason: reason})
	}
}

// maxRejected is the longest Rejection.Text in bytes.
const maxRejected = 200

// maskText shortens foreign text and hides what may be a password in it:
// everything before the last @ but the scheme, and every part between colons
// that is neither a scheme, an address nor a number.
func maskText(text []byte) string {
	s := strings.ToValidUTF8(string(text[:min(len(text), maxRejected/2)]), "?")
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
		if i := strings.IndexByte(rest, '?'); i >= 0 {
			rest = rest[:i] + "?***"
		}
	}
	// Everything before the last @ is or may be a login.
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		return scheme + "***" + rest[i:]
	}
	// "vmess://" and a heap of base64.
	if ok && strings.IndexByte(rest, '.') < 0 {
		return scheme + "***"
	}
	if strings.Count(rest, ":") < 2 || strings.ContainsAny(rest, "[ ") || strings.Contains(rest, "::") {
		return scheme + rest
	}
	parts := strings.Split(rest, ":")
	for i, p := range parts {
		if strings.Trim(p, "0123456789.") != "" {
			parts[i] = "***"
		}
	}
	return scheme + strings.Join(parts, ":")
}

// Bounds of the memory that remembers what was given: 16 MiB for IPv4, and
// about as much for everything else. Beyond them entries may repeat.
const (
	maxSeen     = 1 << 20
	maxSeenLong = 1 << 17
)

// Remembered is how many candidates Parse gives at least before it may give one
// again. Whoever needs each once beyond that remembers those that come later.
const Remembered = maxSeenLong

// idSet is a set of identities other than 0, with open addressing. The zero
// value is empty and usable. The place of an identity is in the upper bits of
// its hash, so that growing reads and writes the memory in order.
type idSet struct {
	slots []uint64
	n     int
	shift uint   // 64 less the bits of an index
	seed  uint64 // so that no list can be made whose entries collide
}

// add reports whether id is new.
func (s *idSet) add(id uint64) bool {
	if 2*s.n >= len(s.slots) {
		if s.n >= maxSeen {
			return s.slots[s.find(id)] != id
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

// has reports whether id is in the set.
func (s *idSet) has(id uint64) bool { return s.n > 0 && s.slots[s.find(id)] == id }

// find returns the slot that holds id or is free for it.
func (s *idSet) find(id uint64) uint64 {
	mask := uint64(len(s.slots) - 1)
	i := mix(id^s.seed) >> s.shift
	for s.slots[i] != 0 && s.slots[i] != id {
		i = (i + 1) & mask
	}
	return i
}

// mix spreads every bit over all: the finalizer of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// grow doubles the slots.
func (s *idSet) grow() {
	old := s.slots
	if old == nil {
		const first = 8 // bits
		s.shift, s.seed = 64-first, rand.Uint64()
		s.slots = make([]uint64, 1<<first)
		return
	}
	s.shift--
	s.slots = make([]uint64, 2*len(old))
	for _, id := range old {
		if id != 0 {
			s.slots[s.find(id)] = id
		}
	}
}
