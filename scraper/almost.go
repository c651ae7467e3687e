package scraper

import (
	"bytes"

	"golang.org/x/net/idna"
)

// almost says why a line of which nothing was taken or refused is no entry,
// when it is written like one: one word with a port, or an address alone. Names
// beyond ASCII are read here too, because other lines have no use for them.
func (l *liner) almost(line []byte) {
	const longest = 253 + len(":65535")
	w := trimMarks(line)
	if len(w) < len("a.b:1") || len(w) > longest || bytes.ContainsAny(w, " \t@=,;|<>\"") || bytes.Contains(w, []byte("//")) {
		return
	}
	if why := almostReason(w); why != "" {
		l.e.reject(w, why)
	}
}

// almostReason is "" for what is not written like an entry.
func almostReason(w []byte) string {
	if h := wholeHost(w); h.addr.IsValid() {
		return "no port with the address"
	}
	if wideDigits(w) {
		return "digits or marks of another alphabet"
	}
	i := bytes.LastIndexByte(w, ':')
	if i <= 0 {
		return ""
	}
	name := w[:i]
	if _, ok := wholePort(w[i+1:]); !ok || bytes.IndexByte(name, ':') >= 0 {
		return ""
	}
	switch {
	case name[0] == '[':
		return "no IPv6 address between the brackets"
	case wordEnd(name, 0) != len(name), isDigit(name[0]) && bytes.IndexByte(name, '.') < 0: // a time
		return ""
	case bytes.IndexByte(name, '.') < 0:
		return "a name of one label is of a private network"
	case !validHostName(view(name)):
		return "neither an address nor a name"
	}
	return "a name that ends in no domain of the internet"
}

// wideDigits reports whether w begins with a digit as wide as a letter of
// Chinese: U+FF10 to U+FF19.
func wideDigits(w []byte) bool {
	return len(w) > 3 && w[0] == 0xef && w[1] == 0xbc && w[2] >= 0x90 && w[2] <= 0x99
}

// international reads name:port where the name has letters beyond ASCII, which
// must be all of the line, and reports whether it was one.
func (l *liner) international(line []byte) bool {
	const longest = 120
	i := bytes.LastIndexByte(line, ':')
	if i <= 0 || i > longest || bytes.IndexByte(line[:i], '.') < 0 || !bytes.ContainsFunc(line[:i], beyondASCII) || bytes.ContainsAny(line[:i], " :/@") {
		return false
	}
	port, ok := wholePort(line[i+1:])
	if !ok {
		return false
	}
	name, err := idna.Lookup.ToASCII(string(line[:i]))
	if err != nil || !validHostName(name) || !managedName(name) {
		return false
	}
	l.put(&entry{host: host{text: []byte(name)}, port: port, protos: l.section})
	return true
}

func beyondASCII(r rune) bool { return r >= 0x80 }
