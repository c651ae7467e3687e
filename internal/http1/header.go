package http1

import "strings"

// Field is one header field as it was received, without the blanks around the value.
type Field struct{ Name, Value string }

// Header is the fields of a head in the order of their arrival. Names keep
// their spelling and are compared without regard to ASCII case.
type Header []Field

// Get returns the first value of name, "" when there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field of that name.
func (h Header) Has(name string) bool {
	for i := range h {
		if EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// Values returns all values of name in order.
func (h Header) Values(name string) []string {
	var out []string
	for i := range h {
		if EqualFold(h[i].Name, name) {
			out = append(out, h[i].Value)
		}
	}
	return out
}

// Count returns how many fields have that name.
func (h Header) Count(name string) int {
	n := 0
	for i := range h {
		if EqualFold(h[i].Name, name) {
			n++
		}
	}
	return n
}

// Add appends a field.
func (h *Header) Add(name, value string) { *h = append(*h, Field{name, value}) }

// Set replaces all fields of that name by one at the place of the first, or appends it.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if EqualFold((*h)[i].Name, name) {
			(*h)[i].Value = value
			rest := (*h)[i+1:]
			rest.Del(name)
			*h = (*h)[:i+1+len(rest)]
			return
		}
	}
	h.Add(name, value)
}

// Del removes all fields of these names.
func (h *Header) Del(names ...string) {
	h.DelFunc(func(name string) bool {
		for _, n := range names {
			if EqualFold(n, name) {
				return true
			}
		}
		return false
	})
}

// DelFunc removes the fields whose name drop says yes to, in place.
func (h *Header) DelFunc(drop func(name string) bool) {
	kept := (*h)[:0]
	for _, f := range *h {
		if !drop(f.Name) {
			kept = append(kept, f)
		}
	}
	clear((*h)[len(kept):])
	*h = kept
}

// Clone returns a copy that can be changed without touching h.
func (h Header) Clone() Header { return append(make(Header, 0, len(h)+4), h...) }

// Tokens calls yield with each member of the comma-separated lists in the
// fields of that name (RFC 9110 section 5.6.1), empty ones left out.
func (h Header) Tokens(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range h {
			if !EqualFold(h[i].Name, name) {
				continue
			}
			for member := range strings.SplitSeq(h[i].Value, ",") {
				if member = trimBlank(member); member != "" && !yield(member) {
					return
				}
			}
		}
	}
}

// HasToken reports whether the lists in the fields of that name hold token.
func (h Header) HasToken(name, token string) bool {
	for t := range h.Tokens(name) {
		if EqualFold(t, token) {
			return true
		}
	}
	return false
}

// maxRoom is how many fields a header that is used again has room for.
const maxRoom = 32

// empty is an empty header in the room of h, unless that is large.
func (h Header) empty() Header {
	if cap(h) > maxRoom {
		return nil
	}
	clear(h[:cap(h)])
	return h[:0]
}

// appendTo appends the fields and the empty line.
func (h Header) appendTo(b []byte) []byte {
	for _, f := range h {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// EqualFold compares without regard to ASCII case. Unlike strings.EqualFold it
// does not take the Kelvin sign for a k, nor the long s for an s.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// lower returns an ASCII letter in lower case and anything else as it is.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// trimBlank removes optional white space (RFC 9110 section 5.6.3), which is only blanks and tabs.
func trimBlank(s string) string { return strings.Trim(s, " \t") }

// isToken holds the characters of a token (RFC 9110 section 5.6.2).
var isToken = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// IsToken reports whether s is a token: a method or the name of a field.
func IsToken(s string) bool {
	for i := range len(s) {
		if !isToken[s[i]] {
			return false
		}
	}
	return s != ""
}

// validValue allows what RFC 9110 section 5.5 does: visible characters, blanks
// and bytes above ASCII. Control characters could end a line further on.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
