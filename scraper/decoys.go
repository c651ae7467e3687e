package scraper

import (
	"bytes"
	"strings"
)

// What looks like an entry of a line and is none: addresses that are struck out
// or behind a link, those of clients, and the targets of requests in logs.

// struckOut refuses "~~1.2.3.4:80~~" and reports whether there was one.
func (s *scan) struckOut() bool {
	mark := []byte("~~")
	if !bytes.HasPrefix(s.b[s.i:], mark) {
		return false
	}
	from := s.i + len(mark)
	n := bytes.Index(s.b[from:], mark)
	if n <= 0 {
		return false
	}
	if bytes.ContainsAny(s.b[from:from+n], ".[") {
		s.refuse(from, from+n, "struck out")
	}
	s.i = from + n + len(mark)
	return true
}

// linkEnds skips where a link of Markdown leads when its text was an entry, and
// reports whether it did.
func (s *scan) linkEnds() bool {
	if s.count == s.link || s.i == 0 || s.b[s.i-1] != ']' {
		return false
	}
	n := bytes.IndexByte(s.b[s.i:], ')')
	if n < 0 {
		return false
	}
	s.i += n + 1
	return true
}

// ofOthers reports whether a word such as "client=" stands directly before
// start: the address is not that of a proxy.
func (s *scan) ofOthers(start int) bool {
	if start < 2 || s.b[start-1] != '=' && s.b[start-1] != ':' {
		return false
	}
	end := start - 1
	from := end
	for from > 0 && isNameByte(s.b[from-1]) {
		from--
	}
	return end > from && keyRole(s.b[from:end]) == roleSkip
}

// request skips the target of a request as logs write it, "CONNECT 1.2.3.4:443
// HTTP/1.1", and reports whether the word at start is the method of one.
func (s *scan) request(start, end int) bool {
	switch string(s.b[start:min(end, start+8)]) {
	case "CONNECT", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE":
	default:
		return false
	}
	if end == len(s.b) || s.b[end] != ' ' {
		return false
	}
	target, _, _ := bytes.Cut(s.b[end+1:], []byte(" "))
	stop := end + 1 + len(target)
	if !strings.HasPrefix(view(s.b[stop:]), " HTTP/") {
		return false
	}
	if bytes.IndexByte(target, ':') > 0 {
		s.refuse(end+1, stop, "the target of a request, not a proxy")
	}
	s.i = stop + len(" HTTP/")
	return true
}
