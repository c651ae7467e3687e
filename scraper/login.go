package scraper

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Logins stand before and behind the address, in all the orders that sellers of
// proxies have thought of:
//
//	user:pass@1.2.3.4:80             as in URLs
//	socks5://user:pass@1.2.3.4:80    percent-encoding is undone in URLs only
//	1.2.3.4:80:user:pass             but 1.2.3.4:80:Country:City is a place
//	1.2.3.4:80@user:pass
//	1.2.3.4:80|user|pass             when neither can be anything else
//	user:pass:1.2.3.4:80
//	1.2.3.4:80:socks5:user:pass      the protocol before or behind it
//
// A name needs a password to be told from an e-mail address. What cannot be
// told apart is read as an entry without a login.

// tokenEnd returns the end of the run at i that may hold an address with
// credentials: no spaces, quotes, list separators or letters beyond ASCII.
func tokenEnd(b []byte, i int) int {
	for i < len(b) && inToken(b[i]) {
		i++
	}
	return i
}

// inToken reports whether c may be in such a run.
func inToken(c byte) bool {
	switch c {
	case '"', '\'', '`', '<', '>', '|', ',', ';':
		return false
	}
	return c > ' ' && c < 0x7f
}

// longestLogin is how long a token with a login, an address and a port may be.
// Looking for one in each word of a longer run would cost its square.
const longestLogin = 1024

// tokenEnd is tokenEnd of the line; a run that was seen already is not walked
// through again.
func (s *scan) tokenEnd(i int) int {
	if i < s.runFrom || i >= s.runEnd {
		s.runFrom, s.runEnd = i, tokenEnd(s.b, i)
	}
	return s.runEnd
}

// login reads user:pass@host:port and user:pass:host:port at start.
func (s *scan) login(start int) bool {
	// Everything up to a space or a separator is one token; brackets and dots
	// around it are not part of the password.
	end := s.tokenEnd(start)
	if end-start > longestLogin {
		return false
	}
	tok := bytes.TrimRight(s.b[start:end], "/.)]}")
	var en entry
	// user:pass@host:port. A name without a password before it is an e-mail
	// address; "://" is left to url.
	if at := bytes.LastIndexByte(tok, '@'); at > 0 {
		if !hostPort(tok[at+1:], &en) || bytes.Contains(tok, []byte("://")) || !cutLogin(dropLabel(tok[:at]), &en) && !en.host.addr.IsValid() {
			return false // of a name without a password: an e-mail address
		}
	} else if bytes.Count(tok, []byte(":")) != 3 || !loginFirst(tok, &en) {
		return false
	}
	// Names need a line of their own; see name.
	if !en.host.addr.IsValid() && !s.first {
		return false
	}
	s.found(en, end)
	return true
}

// dropLabel drops "proxy=" before a login.
func dropLabel(b []byte) []byte {
	if i := bytes.IndexByte(b, '='); i > 0 && isLabel(b[:i]) {
		return b[i+1:]
	}
	return b
}

// loginFirst reads user:pass:host:port.
func loginFirst(tok []byte, en *entry) bool {
	// The first two fields are the login: a password with a colon cannot be told.
	i := bytes.IndexByte(tok, ':')
	j := i + 1 + bytes.IndexByte(tok[i+1:], ':')
	if i == 0 || !hostPort(tok[j+1:], en) || !en.host.addr.IsValid() || protocolWord(tok[:i]) != 0 {
		return false
	}
	return cutLogin(tok[:j], en)
}

// cutLogin splits user:pass and reports whether there was a colon.
func cutLogin(b []byte, en *entry) bool {
	user, pass, ok := bytes.Cut(b, []byte(":"))
	en.user, en.pass = user, pass
	return ok
}

// hostPort reads host:port that is all of b.
func hostPort(b []byte, en *entry) bool {
	// The port must be the rest.
	h, n := parseHost(b)
	if n == 0 || n >= len(b) || b[n] != ':' {
		return false
	}
	port, ok := wholePort(b[n+1:])
	en.host, en.port = h, port
	return ok
}

// foundTail holds an entry and reads what follows its port directly: a slash,
// ":user:pass" or "@user:pass", or ":Country" and "@HTTP".
func (s *scan) foundTail(en entry, end int) {
	stop := max(s.tokenEnd(end), end)
	if end == stop {
		if barLogin(s.b[end:], &en) {
			end = len(s.b)
		}
		s.found(en, end)
		return
	}
	var used bool
	// Where the tail is a login it is used up; else the words in it are read like
	//  any others, because they may be protocols.
	switch rest := s.b[end+1 : stop]; {
	case s.b[end] == '/':
		used, stop = true, end+1
	case s.b[end] == '?': // a query, whatever is in it
		used = true
	case len(rest) > longestLogin:
	case s.b[end] == ':':
		used = tailLogin(rest, &en)
	case s.b[end] == '@':
		used = bytes.IndexByte(rest, ':') > 0 && bytes.IndexByte(rest, '#') < 0 && cutLogin(rest, &en)
	}
	if !used {
		stop = end + 1
	}
	s.found(en, min(stop, len(s.b)))
}

// barLogin reads "|user|pass" to the end of a line. Between bars there are mostly
// other things: places, protocols, grades, answers and quantities.
func barLogin(rest []byte, en *entry) bool {
	if len(rest) < len("|a|b") || rest[0] != '|' || bytes.Count(rest, []byte("|")) != 2 {
		return false
	}
	user, pass, _ := bytes.Cut(rest[1:], []byte("|"))
	for _, w := range [][]byte{user, pass} {
		if len(w) < 2 || tokenEnd(w, 0) != len(w) || isDigit(w[0]) && quantity(w) || isPlace(w) || isGrade(w) || isYes(w) || isNo(w) ||
			protocolWord(w) != 0 || otherProtocol(view(w)) || bytes.ContainsAny(w, ":/.()") {
			return false
		}
	}
	// "|us|unknown" and "|germany|berlin" are places in lower case.
	if countryOf(user) != 0 || countryOf(pass) != 0 || keyRole(user) != roleUser && !bytes.ContainsFunc(rest, isMarkOrDigit) {
		return false
	}
	en.user, en.pass = user, pass
	return true
}

// quantity reports whether a word is a number with a short unit.
func quantity(w []byte) bool {
	return len(bytes.TrimLeft(w, "0123456789")) <= 3
}

func isMarkOrDigit(r rune) bool {
	return r >= '0' && r <= '9' || r == '_' || r == '-' || r == '!' || r == '$' || r == '#'
}

// tailLogin reads the fields behind ip:port: user and pass, a protocol before
// or behind them, or a place, which is no login.
func tailLogin(rest []byte, en *entry) bool {
	parts := bytes.Split(rest, []byte(":"))
	if len(parts) > 3 {
		return false
	}
	// ip:port:socks5:user:pass and ip:port:user:pass:socks5
	if p := protocolWord(parts[0]); p != 0 {
		en.protos, parts = p, parts[1:]
	} else if p := protocolWord(parts[len(parts)-1]); p != 0 && len(parts) != 2 {
		en.protos, parts = p, parts[:len(parts)-1]
	}
	// ip:port:Country, ip:port:US:elite, ip:port:Germany:Berlin,
	// ip:port::United States
	if len(parts) != 2 || len(parts[0]) == 0 || isPlace(parts[0]) && (len(parts[0]) == 2 || len(parts[1]) == 0 || isPlace(parts[1])) {
		return en.protos != 0
	}
	// Two entries with only a colon between them.
	if _, n := parse4(parts[0]); n > 0 {
		return false
	}
	for _, p := range parts {
		if isGrade(p) || protocolWord(p) != 0 {
			return en.protos != 0
		}
	}
	en.user, en.pass = parts[0], parts[1]
	return true
}

// chainLogin reads the user and password that may end a line of the
// configuration of proxychains at i, and returns where they end.
func chainLogin(b []byte, i int, en *entry) int {
	f := bytes.Fields(b[i:])
	if len(f) != 2 || f[0][0] == '#' || f[1][0] == '#' {
		return i
	}
	en.user, en.pass = f[0], f[1]
	return len(b)
}

// isPlace reports whether a word looks like "US" or "Germany".
func isPlace(w []byte) bool {
	if len(w) < 2 || w[0] < 'A' || w[0] > 'Z' {
		return false
	}
	for _, c := range w[1:] {
		if !isLetter(c) || len(w) > 2 && c < 'a' {
			return false
		}
	}
	return len(w) > 2 || w[1] < 'a'
}

// isGrade knows the words for anonymity that fill fields of lists.
func isGrade(w []byte) bool {
	switch strings.ToLower(string(w[:min(len(w), 16)])) {
	case "elite", "anonymous", "transparent", "anon", "high", "hia", "noa", "anm":
		return true
	}
	return false
}

// url reads scheme://[user:pass@]host:port at start; the scheme ends at end.
// An address with a path is a page and no proxy.
func (s *scan) url(start, end int) {
	// The token ends at a space or separator; brackets around it do not belong to
	// it.
	scheme := s.b[start:end]
	from := end + len("://")
	stop := max(s.tokenEnd(from), from)
	protos := protocolWord(scheme)
	if protos == 0 {
		s.refuse(start, stop, schemeReason(scheme))
		s.i = nextScheme(s.b, stop) // what follows is its name
		return
	}
	auth := bytes.TrimRight(s.b[from:stop], ").}*")
	path := []byte(nil)
	if i := bytes.IndexAny(auth, "/?#\\"); i >= 0 {
		auth, path = auth[:i], auth[i:]
	}
	en := entry{protos: protos}
	// Links to pages look like HTTP proxies, but nothing else looks like a SOCKS
	// proxy.
	socks := protos&(setHTTP|setHTTPS) == 0
	switch {
	case s.comment || !authority(auth, &en):
		s.first, s.i, s.lead = false, stop, 0
		if !s.comment && looksLikeEntry(auth) {
			s.refuse(start, stop, "no address with a port from 1 to 65535")
		}
	// A fragment is a label that some lists put there.
	case !socks && len(path) > 0 && path[0] != '#' && path[0] != '\\' && string(path) != "/":
		s.refuse(start, stop, "the address of a page, not of a proxy")
	// Prose is full of links; a proxy that has a name stands alone.
	case !en.host.addr.IsValid() && !socks && !(s.first && s.ends(stop)):
		s.refuse(start, stop, "a link in other text, not a proxy")
	default:
		if len(path) > 0 && path[0] == '\\' {
			stop = from + len(auth)
		}
		s.found(en, stop)
	}
}

// nextScheme returns where the next word with "://" begins behind i, which a
// space or a separator must set apart; the end of the line when there is none.
func nextScheme(b []byte, i int) int {
	for {
		n := bytes.Index(b[i:], []byte("://"))
		if n < 0 {
			return len(b)
		}
		word := i + n
		for word > i && isNameByte(b[word-1]) {
			word--
		}
		if word > i && boundary(b[word-1]) && b[word-1] != '=' && b[word-1] != '&' {
			return word
		}
		i += n + len("://")
	}
}

func schemeReason(scheme []byte) string {
	if s := strings.ToLower(string(scheme)); otherProtocol(s) {
		return "protocol " + s + " is not spoken"
	}
	return "unknown protocol"
}

// looksLikeEntry says whether a refused authority is worth a word: an IPv4
// address of some kind, with a colon.
func looksLikeEntry(auth []byte) bool {
	return bytes.Count(auth, []byte(".")) >= 3 && bytes.IndexByte(auth, ':') > 0
}

// authority reads user:pass@host:port, and the forms host:port:user:pass and
// host:port@user:pass that sellers write behind a scheme.
func authority(auth []byte, en *entry) bool {
	// The last @ separates: passwords may hold one.
	if at := bytes.LastIndexByte(auth, '@'); at >= 0 {
		if rest, ok := urlHostPort(auth[at+1:], en); ok && len(rest) == 0 {
			cutLogin(auth[:at], en)
			unescapeLogin(en)
			return true
		}
	}
	rest, ok := urlHostPort(auth, en)
	switch {
	case !ok:
		return false
	case len(rest) == 0:
		return true
	case rest[0] == ':' && bytes.IndexByte(rest[1:], ':') > 0, rest[0] == '@' && bytes.IndexByte(rest, ':') > 0:
		return cutLogin(rest[1:], en)
	case rest[0] == ':':
		return true // a country
	}
	return false
}

// urlHostPort reads host:port at the start of b and returns what follows.
func urlHostPort(b []byte, en *entry) (rest []byte, ok bool) {
	h, n := parseURLHost(b)
	if n == 0 || n >= len(b) || b[n] != ':' {
		return nil, false
	}
	port, m := parsePort(b[n+1:])
	en.host, en.port = h, port
	return b[n+1+m:], m > 0
}

// parseURLHost is parseHost that also takes names of one label; the policy
// decides about them.
func parseURLHost(b []byte) (host, int) {
	if h, n := parseHost(b); n > 0 {
		return h, n
	}
	n := 0
	for n < len(b) && (isNameByte(b[n]) && b[n] != '.') {
		n++
	}
	if n == 0 || !isLetter(b[0]) || b[n-1] == '-' {
		return host{}, 0
	}
	return host{text: b[:n]}, n
}

// unescapeLogin undoes percent-encoding, and the base64 in which v2rayN writes
// the whole user part.
func unescapeLogin(en *entry) {
	// The scheme "socks" alone is that of v2rayN.
	if en.pass == nil && len(en.user) > 3 && en.protos == setSOCKS4|setSOCKS5 {
		if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(en.user), "=")); err == nil && bytes.IndexByte(b, ':') >= 0 && !bytes.ContainsFunc(b, isControl) && utf8.Valid(b) {
			cutLogin(b, en)
			return
		}
	}
	for _, p := range []*[]byte{&en.user, &en.pass} {
		if bytes.IndexByte(*p, '%') >= 0 {
			if v, err := url.PathUnescape(string(*p)); err == nil {
				*p = []byte(v)
			}
		}
	}
}

// name reads host:port where host is a name. Words with dots are everywhere,
// so a name must begin the line, be of a domain that exists, and be followed
// by nothing but fields.
func (s *scan) name(start, end int) bool {
	// The public suffix list knows which endings are domains, so that "list.txt:80"
	// is none.
	w := s.b[start:end]
	if !s.first || end+1 >= len(s.b) || s.b[end] != ':' || !validHostName(view(w)) || !managedName(string(w)) && !s.l.e.private {
		return false
	}
	port, n := parsePort(s.b[end+1:])
	stop := end + 1 + n
	if n == 0 || !s.closes(stop) || !s.ends(stop) {
		return false
	}
	s.foundTail(entry{host: host{text: w}, port: port}, stop)
	return true
}

// ends reports whether what stands at i is the end of the line or another
// field of it, and not more of a sentence.
func (s *scan) ends(i int) bool {
	j := skipSpace(s.b, i)
	if j == len(s.b) || strings.IndexByte(",;|#:/)\"'`\\", s.b[j]) >= 0 || j > i && s.b[i] == '\t' {
		return true
	}
	end := wordEnd(s.b, j)
	// "US", "elite" and a protocol are fields too.
	p, _ := s.protocol(j, end)
	return p != 0 || end == j+2 && isPlace(s.b[j:end]) || isGrade(s.b[j:end])
}
