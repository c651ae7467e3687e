package scraper

import (
	"bytes"
)

// pair is a key and a scalar of a mapping.
type pair struct {
	key, val []byte
	quoted   bool
}

// The two ways in which an item is written:
//
//	- {name: a, type: http, server: 1.2.3.4, port: 80}
//	- name: a
//	  type: http
//	  server: 1.2.3.4
//	  port: 80

// flat reads an item that is one mapping of scalars with a host and a port, in
// block or flow style, which nearly all items are, many times faster than a
// YAML parser does. It reports false, and has done nothing, for anything else.
func (y *yamlReader) flat(item []byte) bool {
	body := trimSpace(item)
	if len(body) < 2 || body[0] != '-' || body[1] != ' ' {
		return false
	}
	y.pairs = y.pairs[:0]
	ok := false
	// The dash is there, so there is something behind it.
	if rest := trimSpace(body[1:]); rest[0] == '{' {
		ok = y.flowPairs(rest)
	} else {
		ok = y.blockPairs(item)
	}
	if !ok || !y.splitsEntry() {
		return false
	}
	y.rec.enter(false)
	for _, p := range y.pairs {
		y.rec.key(p.key)
		y.rec.value(p.val, p.quoted)
	}
	y.rec.leave()
	return true
}

// splitsEntry reports whether there is a host and a port among the pairs.
func (y *yamlReader) splitsEntry() bool {
	host, port := false, false
	for _, p := range y.pairs {
		r := y.rec.keyRole(p.key)
		host = host || r.isHost()
		port = port || r == rolePort
	}
	return host && port
}

// blockPairs reads "key: value" lines of the same indentation. What is deeper
// belongs to a key that holds more than a scalar and is left out.
func (y *yamlReader) blockPairs(item []byte) bool {
	// The first line has the dash before its key; the others are indented like that
	// key.
	dash := bytes.IndexByte(item, '-')
	margin := dash + 1
	for margin < len(item) && item[margin] == ' ' {
		margin++
	}
	first := true
	for line := range bytes.Lines(item) {
		line = bytes.TrimRight(line, " \r\n")
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		if first {
			line, indent, first = line[margin:], margin, false
		} else if len(line) > 0 {
			line = line[indent:]
		}
		switch {
		// remarks, and what belongs to a key above
		case len(line) == 0 || line[0] == '#' || indent > margin:
		case indent < margin || line[0] == '\t' || !y.blockPair(line):
			return false
		}
	}
	return true
}

// blockPair reads one "key: value" line.
func (y *yamlReader) blockPair(line []byte) bool {
	key, rest, ok := plainKey(line)
	if !ok {
		return false
	}
	p := pair{key: key}
	if rest = trimSpace(rest); len(rest) == 0 || rest[0] == '{' || rest[0] == '[' {
		// holds more than a scalar: of no matter unless it is one of these
		r := y.rec.keyRole(key)
		return !r.isHost() && r != rolePort && r != roleProto && !r.isFlag()
	}
	if p.val, rest, ok = scalarOf(rest, "", &p.quoted); !ok || len(rest) > 0 {
		return false
	}
	y.pairs = append(y.pairs, p)
	return true
}

// flowPairs reads "{key: value, key: value}".
func (y *yamlReader) flowPairs(b []byte) bool {
	for b = trimSpace(b[1:]); len(b) > 0 && b[0] != '}'; {
		key, rest, ok := plainKey(b)
		if !ok {
			return false
		}
		p := pair{key: key}
		if p.val, rest, ok = scalarOf(trimSpace(rest), ",}", &p.quoted); !ok || len(rest) == 0 {
			return false
		}
		y.pairs = append(y.pairs, p)
		if b = rest; b[0] == ',' {
			b = trimSpace(b[1:])
		}
	}
	return len(b) == 1
}

// plainKey reads a key and its colon.
func plainKey(b []byte) (key, rest []byte, ok bool) {
	// A colon belongs to the key only before a space or the end of the line.
	n := wordEnd(b, 0)
	if n > 0 && n+1 < len(b) && b[n] == ':' && b[n+1] == ' ' || n > 0 && n+1 == len(b) && b[n] == ':' {
		return b[:n], b[n+1:], true
	}
	if n == 0 && len(b) > 2 && (b[0] == '"' || b[0] == '\'') {
		if i := bytes.IndexByte(b[1:], b[0]); i > 0 && i+2 < len(b) && b[i+2] == ':' {
			return b[1 : 1+i], b[i+3:], true
		}
	}
	return nil, nil, false
}

// scalarOf reads a scalar that ends at one of the bytes in ends, or with b. ok
// is false for what needs a YAML parser: escapes, anchors, several lines.
func scalarOf(b []byte, ends string, quoted *bool) (val, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, b, true
	}
	switch c := b[0]; c {
	case '"', '\'':
		i := bytes.IndexByte(b[1:], c)
		if i < 0 || bytes.IndexByte(b[1:1+i], '\\') >= 0 && c == '"' {
			return nil, nil, false
		}
		*quoted = true
		val, rest = b[1:1+i], trimSpace(b[i+2:])
		if len(rest) > 0 && rest[0] == '#' && ends == "" {
			rest = nil
		}
		return val, rest, len(rest) == 0 || bytes.IndexByte([]byte(ends), rest[0]) >= 0
	// what begins with these is no plain scalar
	case '&', '*', '!', '|', '>', '%', '@', '`', '{', '[':
		return nil, nil, false
	}
	n := len(b)
	if ends != "" {
		if n = bytes.IndexAny(b, ends); n < 0 {
			return nil, nil, false
		}
	}
	val, rest = b[:n], b[n:]
	if i := bytes.Index(val, []byte(" #")); i >= 0 {
		if val = val[:i]; ends != "" {
			return nil, nil, false
		}
	}
	val = trimSpace(val)
	return val, rest, bytes.IndexByte(val, '\n') < 0
}
