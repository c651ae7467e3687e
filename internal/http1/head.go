package http1

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// readHead reads up to and with the empty line that ends a head, in one string
// that all parts point into. io.EOF: nothing came at all. In a strict head each
// line ends in CRLF, and one empty line before the first is skipped, as
// RFC 9112 section 2.2 asks for.
//
// first is asked about the first line as soon as it is clear that a part of the
// rest is yet to come: a peer that speaks something else may never send it.
func readHead(r *bufio.Reader, limit int, strict bool, first func(line string) error) (string, error) {
	var stack [1024]byte
	head := stack[:0]
	start, skipped, asked := 0, false, false // start: where the current line begins
	for {
		part, err := r.ReadSlice('\n')
		if len(head)+len(part) > limit {
			return "", &Error{tooLarge, "the head is too large"}
		}
		head = append(head, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return "", early(err, len(head))
		}
		line := head[start:]
		if strict && (len(line) < 2 || line[len(line)-2] != '\r') {
			return "", malformed("a line ends without CR")
		}
		switch {
		case string(line) != "\r\n" && string(line) != "\n":
			if !asked && r.Buffered() == 0 {
				asked = true
				line, _ := cutLine(string(head))
				if err := first(line); err != nil {
					return "", err
				}
			}
			start = len(head)
		case start > 0:
			return string(head), nil
		case skipped:
			return "", malformed("empty lines where a head should be")
		default:
			head, skipped = head[:0], true
		}
	}
}

// early says what an error of the connection means after n bytes of a head.
func early(err error, n int) error {
	if errors.Is(err, io.EOF) && n > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cutLine splits the first line off a head. A CR inside the line is left in
// and found by the checks of its parts.
func cutLine(head string) (line, rest string) {
	line, rest, _ = strings.Cut(head, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// parseFields reads the lines after the first one, up to the empty one, into
// the room of h.
func parseFields(h Header, rest string, strict bool) (Header, error) {
	h = h.empty()
	if n := strings.Count(rest, "\n") + 2; n > cap(h) { // with room for what a proxy adds
		h = make(Header, 0, n)
	}
	for {
		var line string
		line, rest = cutLine(rest)
		if line == "" {
			return h, nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if strict || len(h) == 0 || !validValue(line) {
				return nil, malformed("a folded header line")
			}
			h[len(h)-1].Value += " " + trimBlank(line)
			continue
		}
		f, err := parseField(line, strict)
		if err != nil {
			return nil, err
		}
		h = append(h, f)
	}
}

// parseField reads name and value. Only answers may have blanks before the colon,
// which RFC 9112 section 5.1 has a proxy remove.
func parseField(line string, strict bool) (Field, error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return Field{}, malformed("a header line without a colon")
	}
	if !strict {
		name = strings.TrimRight(name, " \t")
	}
	if !IsToken(name) {
		return Field{}, malformed("a bad header name")
	}
	value = trimBlank(value)
	if !validValue(value) {
		return Field{}, malformed("a control character in a header value")
	}
	return Field{name, value}, nil
}
