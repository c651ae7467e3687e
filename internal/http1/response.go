package http1

import (
	"bufio"
	"errors"
	"strconv"
	"strings"
)

// Response is the head of an answer.
type Response struct {
	Minor  int    // 0 or 1, of HTTP/1
	Status int    // 100 to 999
	Reason string // may be empty
	Header Header
}

// ReadResponse reads one head of at most limit bytes. Errors are as those of
// ReadRequest; a server that gets an *Error from here answers 502.
func ReadResponse(r *bufio.Reader, limit int) (*Response, error) {
	p := &Response{}
	if err := p.Read(r, limit); err != nil {
		return nil, err
	}
	return p, nil
}

// Read is ReadResponse into p, whose room for fields is used again.
func (p *Response) Read(r *bufio.Reader, limit int) error {
	if err := expectHTTP(r); err != nil {
		return err
	}
	head, err := readHead(r, limit, false, p.parseLine)
	if err != nil {
		return asGateway(err)
	}
	line, rest := cutLine(head)
	if err := p.parseLine(line); err != nil {
		return asGateway(err)
	}
	if p.Header, err = parseFields(p.Header, rest, false); err != nil {
		return asGateway(err)
	}
	return nil
}

// Clear forgets what was read and keeps the room for fields.
func (p *Response) Clear() { *p = Response{Header: p.Header.empty()} }

// expectHTTP looks at the first bytes one by one, so that a banner of another
// protocol is known at once and not when a deadline is over.
func expectHTTP(r *bufio.Reader) error {
	const prefix = "HTTP/1."
	for i := range len(prefix) {
		b, err := r.Peek(i + 1)
		switch {
		case err != nil:
			return early(err, i)
		case i == 0 && (b[0] == '\r' || b[0] == '\n'): // an empty line in front is let pass
			return nil
		case b[i] != prefix[i]:
			return asGateway(malformed("an answer that is not HTTP/1"))
		}
	}
	return nil
}

// asGateway gives rule breaches the status of a server that met them upstream.
func asGateway(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{badGateway, e.Msg}
	}
	return err
}

// parseLine reads a status line; the reason, and the space before it, may be missing.
func (p *Response) parseLine(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	if len(version) != 8 || version[:7] != "HTTP/1." || !digit(version[7]) {
		return malformed("an answer that is not HTTP/1")
	}
	code, reason, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 {
		return malformed("a bad status line")
	}
	if !validValue(reason) {
		return malformed("a control character in the reason phrase")
	}
	p.Minor, p.Status, p.Reason = min(int(version[7]-'0'), lastVersion), status, reason
	return nil
}

// AppendTo appends the head in normal form, with the empty line.
func (p *Response) AppendTo(b []byte) []byte {
	b = append(b, "HTTP/1."...)
	b = append(b, '0'+byte(p.Minor), ' ')
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, ' ')
	b = append(b, p.Reason...)
	b = append(b, '\r', '\n')
	return p.Header.appendTo(b)
}

// KeepAlive reports whether the server keeps the connection.
func (p *Response) KeepAlive() bool { return keepAlive(p.Minor, p.Header) }
