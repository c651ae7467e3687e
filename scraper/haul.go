package scraper

import (
	"net/netip"
	"strings"

	"freeway/proxy"
)

const (
	maxFound   = 500_000 // entries taken of one source; the largest public list has 336,042
	maxPer24   = 20_000  // of them in one IPv4 /24 or IPv6 /48
	maxReasons = 48      // kinds of refusals counted apart; the rest are "other"
	maxSamples = 1000    // refusals that Fetch returns
)

// haul gathers what one run of a source finds, within bounds.
type haul struct {
	found      []proxy.Candidate
	refused    map[string]int
	rejections []Rejection
	samples    int // how many rejections to keep
	seen       map[proxy.Endpoint]struct{}
	nets       map[netip.Prefix]int
}

// newHaul makes an empty one. Entries that pages repeat are taken once.
func newHaul(samples int, pages bool) *haul {
	h := &haul{samples: samples, nets: map[netip.Prefix]int{}}
	if pages {
		h.seen = map[proxy.Endpoint]struct{}{}
	}
	return h
}

// take keeps c unless it is known already or the bounds are reached.
func (h *haul) take(c proxy.Candidate) {
	if h.seen != nil {
		if _, known := h.seen[c.Endpoint]; known {
			return
		}
	}
	switch {
	case len(h.found) >= maxFound:
		h.count("over the quota of one source")
		return
	case !h.room(c.Endpoint.Host):
		h.count("over the quota of one network")
		return
	}
	if h.seen != nil {
		h.seen[c.Endpoint] = struct{}{}
	}
	h.found = append(h.found, c)
}

// room counts the entries of a network and reports whether one more may come.
func (h *haul) room(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return true
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	net, err := a.Prefix(bits)
	if err != nil || h.nets[net] >= maxPer24 {
		return false
	}
	h.nets[net]++
	return true
}

// refuse counts what the reader did not take.
func (h *haul) refuse(r Rejection) {
	if len(h.rejections) < h.samples {
		h.rejections = append(h.rejections, r)
	}
	h.count(reasonKind(r.Reason))
}

// count counts one refusal. Reasons come from foreign text in part, so their
// number is bounded.
func (h *haul) count(kind string) {
	if h.refused == nil {
		h.refused = map[string]int{}
	}
	if _, known := h.refused[kind]; !known && len(h.refused) >= maxReasons {
		kind = "other"
	}
	h.refused[kind]++
}

// reasonKind drops the address that a reason begins with: "10.0.0.1 is not
// public: private" and "10.0.0.2 is not public: private" are one kind.
func reasonKind(reason string) string {
	if subject, rest, ok := strings.Cut(reason, " is "); ok && !strings.Contains(subject, " ") && strings.ContainsAny(subject, ".:") {
		return rest
	}
	return clip(reason, 80)
}
