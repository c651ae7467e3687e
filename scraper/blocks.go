package scraper

import "bytes"

// blocks reads entries of text whose parts stand in lines of their own, each
// behind a label:
//
//	IP Address: 1.2.3.4
//	Port: 8080
//	Country: US
//	Type: HTTP
//
// The rules are those of flow, which reads the like in pages.
type blocks struct {
	flow *flow // nil: no such line has come yet
}

// label takes a line that is a label and its value, and reports whether it was
// one. Only an address begins a block.
func (l *liner) label(line []byte) bool {
	r, val, ok := cutLabel(line)
	if !ok || len(val) == 0 || r == roleSkip {
		return l.besides(line)
	}
	f := l.blocks.flow
	if f == nil || !f.have && !r.isHost() {
		if !r.isHost() {
			return false
		}
		l.blocks.flow = newFlow(l.e)
		f = l.blocks.flow
	}
	f.lines.section = l.section
	f.line(line, roleNone)
	return true
}

// besides takes a line that is no label of a block: a short one with a colon
// may stand within, anything else ends the block.
func (l *liner) besides(line []byte) bool {
	f := l.blocks.flow
	if f == nil || !f.have {
		return false
	}
	const longest = 80
	i := bytes.IndexByte(line, ':')
	if i <= 0 || len(line) > longest || isDigit(line[0]) || bytes.Contains(line, []byte("://")) || bytes.Count(line, []byte(".")) > 2 {
		l.endBlock()
		return false
	}
	f.age++
	return true
}

// endBlock gives the entry of the block.
func (l *liner) endBlock() {
	f := l.blocks.flow
	if f == nil {
		return
	}
	if f.have && f.bare {
		l.e.reject([]byte(f.held.host.addr.String()), "no port with the address")
	}
	f.flush()
}
