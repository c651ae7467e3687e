package scraper

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// How pages hide addresses in attributes and in arguments of functions. What a
// disguise gives is taken only if it is an address, or a port where a port must
// be; anything else is left alone, so trying them all invents nothing.

// maxCoded is the longest text that is tried as an encoded host.
const maxCoded = 400

// An undo takes back one way in which pages hide their entries; nil when b is
// not written that way.
type undo func(b []byte) []byte

// undoNamed knows the names that selectors use.
func undoNamed(name string) undo {
	switch name {
	case "base64":
		return fromBase64
	case "reverse":
		return reversed
	case "percent":
		return fromPercent
	case "rot13":
		return rot13
	case "hex":
		return fromHex
	}
	return nil
}

// fromBase64 reads either alphabet, padded or not.
func fromBase64(b []byte) []byte {
	// Padding is often lost on the way into a page.
	s := strings.TrimRight(string(b), "=")
	if len(s) < 2 || len(s)%4 == 1 {
		return nil
	}
	// The alphabets differ in two letters.
	enc := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		enc = base64.RawURLEncoding
	}
	out, err := enc.DecodeString(s)
	if err != nil {
		return nil
	}
	return out
}

func reversed(b []byte) []byte {
	out := slices.Clone(b)
	slices.Reverse(out)
	return out
}

// fromPercent is nil when nothing is encoded.
func fromPercent(b []byte) []byte {
	s, err := url.PathUnescape(string(b))
	if err != nil || len(s) == len(b) {
		return nil
	}
	return []byte(s)
}

// rot13 turns letters by half the alphabet.
func rot13(b []byte) []byte {
	out := slices.Clone(b)
	for i, c := range out {
		if isLetter(c) {
			base := c&0x20 | 'A'
			out[i] = base + (c-base+13)%26
		}
	}
	return out
}

// fromHex reads hexadecimal digits, "0x" before them or not.
func fromHex(b []byte) []byte {
	out, err := hex.DecodeString(strings.TrimPrefix(string(b), "0x"))
	if err != nil {
		return nil
	}
	return out
}

// disguises returns the ways, alone and one after the other, that pages were
// seen to hide entries in. Reversing alone is not among them: it turns typing
// errors into addresses.
func disguises() [][]undo {
	return [][]undo{
		{fromBase64}, {fromBase64, reversed}, {reversed, fromBase64}, {rot13, fromBase64}, {fromPercent}, {fromHex}, {fromBase64, fromBase64},
	}
}

// decodeWith tries the disguises until one gives what accept takes.
func decodeWith(b []byte, accept func([]byte) bool) []byte {
	// Nothing that short or long hides an entry.
	if len(b) < 3 || len(b) > maxCoded {
		return nil
	}
	// The first that gives something acceptable wins; they hardly ever overlap.
	for _, steps := range disguises() {
		out := b
		for _, step := range steps {
			if out = step(out); out == nil {
				break
			}
		}
		if out == nil {
			continue
		}
		// A link around the address.
		if bytes.IndexByte(out, '<') >= 0 {
			out = stripTags(out)
		}
		if out = trimSpace(out); accept(out) {
			return out
		}
	}
	return nil
}

// decodeHost finds the address, with a port or without, that b hides; nil for none.
func decodeHost(b []byte) []byte { return decodeWith(b, isAddress) }

// decodePort finds the port that b hides; nil for none.
func decodePort(b []byte) []byte {
	return decodeWith(b, func(b []byte) bool { _, ok := wholePort(b); return ok })
}

// isAddress reports whether b is an IP address, or one with a port, and a
// scheme before it or not. Names are too easy to come upon by chance.
func isAddress(b []byte) bool {
	if i := bytes.Index(b, []byte("://")); i > 0 {
		if protocolWord(b[:i]) == 0 {
			return false
		}
		b = b[i+3:]
	}
	// an address alone
	if wholeHost(b).addr.IsValid() {
		return true
	}
	var en entry
	return hostPort(b, &en) && en.host.addr.IsValid()
}

// codedJSON undoes the base64 of a document of JSON; nil for anything else.
func codedJSON(b []byte) []byte {
	if len(b) < 20 {
		return nil
	}
	switch string(b[:3]) {
	// {" [{ [" [[
	case "eyJ", "W3s", "WyJ", "W1s":
		return fromBase64(b)
	}
	return nil
}

// stripTags gives the text of a short piece of HTML.
func stripTags(b []byte) []byte {
	// What is between < and > goes, also when it is not closed.
	var out []byte
	for len(b) > 0 {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		j := bytes.IndexByte(b[i:], '>')
		if j < 0 {
			return out
		}
		b = b[i+j+1:]
	}
	return out
}
