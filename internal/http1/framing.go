package http1

import "strconv"

// Kind is how the end of a body is told.
type Kind uint8

// The kinds of framing (RFC 9112 section 6.3).
const (
	NoBody     Kind = iota
	Length          // Content-Length
	Chunked         // Transfer-Encoding: chunked
	UntilClose      // answers only: until the connection ends
)

// Framing is the kind and, for Length, the number of bytes.
type Framing struct {
	Kind   Kind
	Length int64
}

// BodyKind returns how the body of the request is framed, or an *Error when
// the head says two things or something unknown.
func (q *Request) BodyKind() (Framing, error) {
	f, err := framing(q.Minor, q.Header)
	if f.Kind == UntilClose {
		f.Kind = NoBody
	}
	return f, err
}

// BodyKind returns how the body of the answer to a request with this method is framed.
func (p *Response) BodyKind(method string) (Framing, error) {
	switch {
	case p.Status < 200, p.Status == 204, p.Status == 304, method == "HEAD":
		return Framing{}, nil
	case method == "CONNECT" && p.Status < 300:
		return Framing{}, nil
	}
	f, err := framing(p.Minor, p.Header)
	return f, asGateway(err)
}

// framing is UntilClose when the head says nothing. A repeated Content-Length
// is refused even when the values agree; so is any coding but chunked.
func framing(minor int, h Header) (Framing, error) {
	codings, lengths := h.Count("Transfer-Encoding"), h.Count("Content-Length")
	switch {
	case codings == 0 && lengths == 0:
		return Framing{Kind: UntilClose}, nil
	case codings > 0 && lengths > 0:
		return Framing{}, malformed("Content-Length together with Transfer-Encoding")
	case codings > 1 || lengths > 1:
		return Framing{}, malformed("the framing is given twice")
	case codings == 1 && (minor == 0 || !EqualFold(h.Get("Transfer-Encoding"), "chunked")):
		return Framing{}, malformed("a transfer coding other than chunked, or in HTTP/1.0")
	case codings == 1:
		return Framing{Kind: Chunked}, nil
	}
	n, ok := parseLength(h.Get("Content-Length"))
	if !ok {
		return Framing{}, malformed("a bad Content-Length")
	}
	return Framing{Length, n}, nil
}

// NormalLength writes a Content-Length as a plain number, and removes one that is
// none or is given twice: answers without a body may have any.
func (h *Header) NormalLength() {
	v := h.Get("Content-Length")
	switch n, ok := parseLength(v); {
	case !ok || h.Count("Content-Length") > 1:
		h.Del("Content-Length")
	case v[0] == '0' && len(v) > 1:
		h.Set("Content-Length", strconv.FormatInt(n, 10))
	}
}

// parseLength takes plain digits, at most 18 so that they fit.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
