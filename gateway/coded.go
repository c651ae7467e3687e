package gateway

import (
	"strings"
	"sync"
	"time"

	"freeway/internal/http1"
)

const (
	codedTime = time.Hour // how long a domain is known to code what nobody asked for
	codedMost = 1024      // domains remembered
)

// coded remembers the domains whose answers have a Content-Encoding that clients did not
// ask for, whichever the exit. Elsewhere an upstream has packed them, which a client
// that cannot unpack them takes for rubbish, so another exit is asked.
type coded struct {
	mu sync.Mutex // protects the field below
	at map[string]time.Time
}

// knows reports whether the domain does so itself.
func (c *coded) knows(domain string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.at[domain]
	return ok && now.Sub(t) < codedTime
}

// note remembers a domain.
func (c *coded) note(domain string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil || len(c.at) >= codedMost {
		c.at = map[string]time.Time{}
	}
	c.at[domain] = now
}

// unasked reports whether a successful answer has a content coding that the request does
// not name. Without Accept-Encoding any would do by RFC 9110 section 12.5.3, but clients
// that do not send it do not unpack, and servers know that.
func unasked(p *http1.Response, q *http1.Request) bool {
	coding := strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Encoding")))
	if coding == "" || coding == "identity" || p.Status < 200 || p.Status > 299 {
		return false
	}
	for _, value := range q.Header.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(strings.ToLower(value), ",") {
			name, weight, _ := strings.Cut(one, ";")
			name, weight = strings.TrimSpace(name), strings.ReplaceAll(weight, " ", "")
			if (name == "*" || strings.TrimPrefix(name, "x-") == strings.TrimPrefix(coding, "x-")) && weight != "q=0" {
				return false
			}
		}
	}
	return true
}

// agreePacked is how many exits in a row must give a packed answer to one request until
// the target is taken to do that itself: as many as blame a target for other things.
const agreePacked = 3

// packed reports whether an upstream seems to have packed the answer of the try, and
// remembers a domain of which so many exits say the same.
func (x *exchange) packed(t *try, p *reply, o *outgoing) bool {
	domain, now := x.want.Target.Domain, x.c.g.env.Now()
	if !isPublic(t.lease.Entry.Pool) || !unasked(p.head, o.q) || x.c.g.coded.knows(domain, now) {
		return false
	}
	if o.packed++; o.packed < agreePacked {
		return true
	}
	x.c.g.coded.note(domain, now)
	return false
}
