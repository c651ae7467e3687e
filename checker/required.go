package checker

import (
	"log/slog"
	"sync"
)

// A required page that was reached and now is not, by so many proxies in a row
// that passed everything else, has most likely gone itself: fewer than wontReach
// prove nothing, and where only some proxies ever reach it, wontReachTimes the
// usual distance between two that do; by chance that happens once in 3,000 (e^-8).
const (
	wontReach      = 20
	wontReachTimes = 8
)

// need is what is known about a required page. Nobody but proxies asks for it,
// so what they report together is all there is to tell who is at fault.
type need struct {
	name string
	log  *slog.Logger

	mu      sync.Mutex // protects the fields below
	tried   int        // proxies that passed everything else
	reached int        // of them, those that reached it
	missed  int        // of them, those since the latest that reached it
}

// met notes a proxy that reached the page.
func (n *need) met() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone() {
		n.log.Info("a required target is reached again", "target", n.name)
	}
	n.tried, n.reached, n.missed = n.tried+1, n.reached+1, 0
}

// excuse notes a proxy that did not reach the page and reports whether that says
// nothing about the proxy.
func (n *need) excuse() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone() {
		return true
	}
	n.tried, n.missed = n.tried+1, n.missed+1
	if !n.gone() {
		return false
	}
	n.log.Warn("a required target that was reached before is not any more; that does not count against proxies until it is", "target", n.name, "proxies", n.missed)
	return true
}

// gone reports whether the page itself seems to be away. mu is held.
func (n *need) gone() bool {
	return n.reached > 0 && n.missed >= wontReach && n.missed*n.reached >= wontReachTimes*(n.tried-n.missed)
}

// unreached lists the required pages that seem to be away.
func (s *settings) unreached() []string {
	var out []string
	for _, t := range s.targets {
		t.need.mu.Lock()
		if t.need.gone() {
			out = append(out, t.Name)
		}
		t.need.mu.Unlock()
	}
	return out
}
