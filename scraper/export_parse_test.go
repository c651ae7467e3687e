package scraper

import "io"

// What tests of the readers see of the insides.

// ProtocolNames prints a set of protocols: "http+socks5".
func ProtocolNames(p protoSet) string {
	out := ""
	for i, name := range []string{"http", "https", "socks4", "socks5"} {
		if p&(setHTTP<<i) != 0 {
			if out != "" {
				out += "+"
			}
			out += name
		}
	}
	return out
}

func Heading(s string) string      { return ProtocolNames(heading([]byte(s))) }
func ProtocolWord(s string) string { return ProtocolNames(protocolWord([]byte(s))) }
func ProtocolCell(s string) string { return ProtocolNames(protocolCell([]byte(s))) }
func MaskText(s string) string     { return maskText([]byte(s)) }
func DecodeHost(s string) string   { return string(decodeHost([]byte(s))) }
func StripTags(s string) string    { return string(stripTags([]byte(s))) }
func Sniff(s string) string        { return sniff([]byte(s)) }
func Unpack(s string) string       { out, _ := unpack(s); return out }

// KeyRole names the role of a key.
func KeyRole(s string) string {
	names := map[role]string{roleName: "name", roleHost: "host", roleAddr: "addr", roleIP: "ip", rolePort: "port", roleProto: "protocol", roleUser: "user", rolePass: "pass",
		roleWhole: "whole", roleHTTP: "http", roleHTTPS: "https", roleSOCKS4: "socks4", roleSOCKS5: "socks5", roleTLS: "tls", roleLink: "link", roleSkip: "skip"}
	return names[keyRole([]byte(s))]
}

// Parse4 reports whether all of s is an IPv4 address.
func Parse4(s string) bool {
	_, n := parse4([]byte(s))
	return n > 0 && n == len(s)
}

// WholePort reads all of s as a port; 0 when it is none.
func WholePort(s string) uint16 {
	p, ok := wholePort([]byte(s))
	if !ok {
		return 0
	}
	return p
}

// WholeHost says what all of s is as a host: "address", "name" or "".
func WholeHost(s string) string {
	switch h := wholeHost([]byte(s)); {
	case h.addr.IsValid():
		return "address"
	case h.valid():
		return "name"
	}
	return ""
}

// RunScript runs a script and returns what it writes, and whether all of that was understood.
func RunScript(s string) (string, bool) {
	js := jsScript{vars: map[string]jsValue{}}
	ok := js.run(s)
	return js.wrote.String(), ok
}

// Lines returns the pieces that the line reader cuts r into; those that continue a line begin with +.
func Lines(r io.Reader) (out []string, err error) {
	lr := newLineReader(r)
	for {
		line, cont, ok := lr.next()
		if !ok {
			return out, lr.failure()
		}
		if cont {
			out = append(out, "+"+string(line))
		} else {
			out = append(out, string(line))
		}
	}
}

// LineBuffer is the longest line that is not cut.
const LineBuffer = lineBuffer

// Fields splits a line of CSV.
func Fields(line string, delim byte) (out []string) {
	var t tableRow
	t.fields([]byte(line), delim)
	for i := range t.n {
		out = append(out, string(t.cells[i].text))
	}
	return out
}

// IDSet is the set of what was given.
type IDSet struct{ s idSet }

// Add reports whether id is new.
func (s *IDSet) Add(id uint64) bool { return s.s.add(id) }

// ParseTree makes the tree that selectors look at.
var ParseTree = parseTree
