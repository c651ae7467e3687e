package http1

import (
	"bufio"
	"net/netip"
	"strings"
)

// Request is the head of a request.
type Request struct {
	Method string
	Target string // exactly as received: visible ASCII, no fragment, no backslash
	Minor  int    // 0 or 1, of HTTP/1
	Header Header
}

// ReadRequest reads one head of at most limit bytes. Errors are *Error for a
// head that breaks the rules, io.EOF only when nothing at all came, and those
// of r. After an error nothing more can be read.
func ReadRequest(r *bufio.Reader, limit int) (*Request, error) {
	q := &Request{}
	if err := q.Read(r, limit); err != nil {
		return nil, err
	}
	return q, nil
}

// Read is ReadRequest into q, whose room for fields is used again.
func (q *Request) Read(r *bufio.Reader, limit int) error {
	head, err := readHead(r, limit, true, q.parseLine)
	if err != nil {
		return err
	}
	line, rest := cutLine(head)
	if err := q.parseLine(line); err != nil {
		return err
	}
	if q.Header, err = parseFields(q.Header, rest, true); err != nil {
		return err
	}
	return q.checkNames()
}

// Clear forgets what was read and keeps the room for fields.
func (q *Request) Clear() { *q = Request{Header: q.Header.empty()} }

// parseLine reads a request line with exactly one space between its parts.
func (q *Request) parseLine(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || !IsToken(method) {
		return malformed("a bad request line")
	}
	if !validTarget(target) {
		return malformed("a bad request target")
	}
	digits, ok := strings.CutPrefix(version, "HTTP/")
	if !ok || len(digits) != 3 || digits[1] != '.' || !digit(digits[0]) || !digit(digits[2]) {
		return malformed("a bad HTTP version")
	}
	if method == "PRI" {
		return malformed("HTTP/2 is not spoken here")
	}
	q.Method, q.Target, q.Minor = method, target, int(digits[2]-'0')
	if digits[0] != '1' || q.Minor > lastVersion {
		return &Error{badVersion, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	}
	return nil
}

// digit reports whether c is a decimal digit.
func digit(c byte) bool { return '0' <= c && c <= '9' }

// validTarget allows visible ASCII. A fragment never travels (RFC 9110 section
// 4.2.1), and readers disagree on what a backslash means.
func validTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// ValidHost reports whether s is a host with or without a port, as in the field Host
// (RFC 3986 section 3.2.2; RFC 9110 section 7.2). It may be empty. A comma would be two hosts.
func ValidHost(s string) bool {
	host, port, _ := strings.Cut(s, ":")
	if strings.HasPrefix(s, "[") {
		address, rest, closed := strings.Cut(s[1:], "]")
		a, err := netip.ParseAddr(address)
		if !closed || err != nil || !a.Is6() || a.Zone() != "" || rest != "" && rest[0] != ':' {
			return false
		}
		host, port = "", strings.TrimPrefix(rest, ":")
	}
	for i := range len(port) {
		if !digit(port[i]) {
			return false
		}
	}
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case digit(c), 'a' <= lower(c) && lower(c) <= 'z', strings.IndexByte("-._~!$&'()*+;=", c) >= 0:
		case c == '%' && i+2 < len(host) && isHex(host[i+1]) && isHex(host[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

// lookalikes are the names that must not come with _ in place of -: what
// stands behind a CGI-like interface would take one for the other.
var lookalikes = []string{"transfer-encoding", "content-length", "host", "connection", "keep-alive", "upgrade", "expect", "te",
	"trailer", "authorization", "proxy-authorization", "proxy-connection", "freeway-options"}

// checkNames refuses lookalikes of the names that decide framing, routing or access.
func (q *Request) checkNames() error {
	for _, f := range q.Header {
		if strings.IndexByte(f.Name, '_') < 0 {
			continue
		}
		dashed := strings.ReplaceAll(f.Name, "_", "-")
		for _, name := range lookalikes {
			if EqualFold(dashed, name) {
				return malformed("a header name with _ that is one with -")
			}
		}
	}
	return nil
}

// AppendTo appends the head in normal form, with the empty line.
func (q *Request) AppendTo(b []byte) []byte {
	b = append(b, q.Method...)
	b = append(b, ' ')
	b = append(b, q.Target...)
	b = append(b, " HTTP/1."...)
	b = append(b, '0'+byte(q.Minor), '\r', '\n')
	return q.Header.appendTo(b)
}

// KeepAlive reports whether the client wants the connection kept (RFC 9112 section 9.3).
func (q *Request) KeepAlive() bool { return keepAlive(q.Minor, q.Header) }

// keepAlive is the rule for both directions (RFC 9112 section 9.3).
func keepAlive(minor int, h Header) bool {
	if h.HasToken("Connection", "close") {
		return false
	}
	return minor >= 1 || h.HasToken("Connection", "keep-alive")
}
