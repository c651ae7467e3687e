package checker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"freeway/internal/judge"
	"freeway/proxy"
)

// headerNames is which header fields a judge's answers have when they come directly. Names are canonical.
type headerNames map[string]bool

// add takes over the names of an answer.
func (n headerNames) add(h http.Header) {
	for name := range h {
		n[name] = true
	}
}

// added returns the names of an answer that it had not when it came directly,
// sorted, without those that belong to a connection or say how a body is packed.
func (n headerNames) added(h http.Header) []string {
	var out []string
	for name := range h {
		if !n[name] && !ofTransport(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// bare reports whether nothing stands before the judge that adds headers of its
// own: they are all such as the own judge sends.
func (n headerNames) bare() bool {
	for name := range n {
		if !ofTransport(name) && name != "Content-Type" && name != "Cache-Control" {
			return false
		}
	}
	return true
}

// ofTransport reports whether a field may change on every hop.
func ofTransport(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Trailer", "Content-Length", "Date", "Vary", "Content-Encoding":
		return true
	}
	return false
}

// maxNames is how many names a note lists.
const maxNames = 8

// wayBack notes which headers were added to an answer in plain HTTP, and catches those who add cookies.
func (t *try) wayBack(r *result, s *step) {
	if !s.ok() {
		return
	}
	if names := s.judge.known().headers.added(s.header); len(names) > 0 {
		more := ""
		if len(names) > maxNames {
			names, more = names[:maxNames], ", ..."
		}
		r.notes = append(r.notes, "headers added on the way back: "+judge.Printable(strings.Join(names, ", "), 200)+more)
	}
	t.cookies(r, s)
}

// cookies catches who adds cookies to the answers of a judge that sends none: an
// own one with nothing before it. Where a CDN answers for a judge, it may be the CDN.
func (t *try) cookies(r *result, s *step) {
	e := s.judge
	set := s.header.Values("Set-Cookie")
	nobodyElse := func() bool { k := e.known(); return k.kind == judge.Own && k.headers.bare() }
	if len(set) == 0 || !nobodyElse() {
		return
	}
	s.fault = &fault{stage: proxy.StageVerify, class: proxy.Tampered, why: "a cookie was added on the way back",
		tampers: fmt.Sprintf("headers: Set-Cookie added: %q", judge.Printable(set[0], 40))}
	r.note("plain HTTP", s)
	r.fail(s)
	e.doubted.Store(true)
	r.unless(func() bool { return !nobodyElse() })
}
