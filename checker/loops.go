package checker

import (
	"strings"
	"sync"

	"freeway/proxy"
)

// loops knows the nonces of the questions that are under way. One of them that comes
// to this program's own gateway shows that the proxy leads back to it, by whatever way.
type loops struct {
	mu    sync.Mutex // protects the field below
	asked map[string]bool
}

// begin takes a nonce down until end, which tells whether it came back.
func (l *loops) begin(nonce string) (end func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked == nil {
		l.asked = map[string]bool{}
	}
	l.asked[nonce] = false
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		back := l.asked[nonce]
		delete(l.asked, nonce)
		return back
	}
}

// find looks for a nonce in a request and notes that it came back.
func (l *loops) find(request string) bool {
	for {
		_, rest, ok := strings.Cut(request, nonceQuery)
		if !ok {
			return false
		}
		if nonce := rest[:min(nonceSize, len(rest))]; l.came(nonce) {
			return true
		}
		request = rest
	}
}

// came notes that a nonce came back, if it is one.
func (l *loops) came(nonce string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.asked[nonce]; !ok {
		return false
	}
	l.asked[nonce] = true
	return true
}

// Loops reports whether the beginning of a client's request is a check of this
// checker, which then came back through the proxy that is checked. Such a request must not be
// served; the proxy becomes unsafe. It is cheap for requests that hold no nonce. Anybody may call it.
func (c *Checker) Loops(request string) bool { return c.loops.find(request) }

// loopFault is what becomes of a proxy that leads back here.
func loopFault() *fault {
	return &fault{stage: proxy.StageVerify, class: proxy.Tampered, tampers: "loop: it leads back to this gateway", why: "it leads back to this gateway"}
}
