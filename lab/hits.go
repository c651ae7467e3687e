package lab

import (
	"maps"
	"net/netip"
	"sync"
)

// Hits is what the targets have counted, judges not included.
type Hits struct {
	Connections int                `json:"connections"` // through upstreams
	Direct      int                `json:"direct"`      // connections that did not come from an upstream
	Requests    int                `json:"requests"`    // through upstreams or not
	Exits       map[netip.Addr]int `json:"exits"`       // requests by exit
	Posts       map[string]int     `json:"posts"`       // how often each id came to /echo?id=
	Duplicates  int                `json:"duplicates"`  // ids that came more than once
}

// maxPosts bounds the ids that are remembered; later ones are not counted.
const maxPosts = 1_000_000

// counter collects Hits.
type counter struct {
	mu      sync.Mutex // protects the fields below
	settled *sync.Cond // signals that pending went down
	pending int        // connections of which it is not yet known where they come from
	hits    Hits
}

// newCounter begins at nothing.
func newCounter() *counter {
	c := &counter{hits: Hits{Exits: map[netip.Addr]int{}, Posts: map[string]int{}}}
	c.settled = sync.NewCond(&c.mu)
	return c
}

// unsettled announces a connection that settle will classify.
func (c *counter) unsettled() {
	c.mu.Lock()
	c.pending++
	c.mu.Unlock()
}

// settle counts an announced connection.
func (c *counter) settle(direct bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending--
	if direct {
		c.hits.Direct++
	} else {
		c.hits.Connections++
	}
	c.settled.Broadcast()
}

// request counts a request; an invalid exit is a direct one.
func (c *counter) request(exit netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits.Requests++
	if exit.IsValid() {
		c.hits.Exits[exit]++
	}
}

// post counts an id.
func (c *counter) post(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.hits.Posts[id]; !known && len(c.hits.Posts) >= maxPosts {
		return
	}
	if c.hits.Posts[id]++; c.hits.Posts[id] == 2 {
		c.hits.Duplicates++
	}
}

// snapshot waits until all connections so far are classified and returns a copy.
func (c *counter) snapshot() Hits {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending > 0 {
		c.settled.Wait()
	}
	h := c.hits
	h.Exits, h.Posts = maps.Clone(h.Exits), maps.Clone(h.Posts)
	return h
}
