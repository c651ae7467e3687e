package main

import (
	"net"
	"net/http"
	"sync"
)

// crowd bounds the connections to a server, so that whoever reaches the admin
// listener cannot take the descriptors of the rest. When it is full one that
// waits for a request makes room, the longest waiting first; when all are in
// use, the new one is closed.
type crowd struct {
	most int // connections; 0: no limit

	mu   sync.Mutex // protects the fields below
	all  map[net.Conn]uint64
	idle map[net.Conn]bool
	n    uint64 // counts changes, as a clock
}

// newCrowd makes a bound for servers that share it.
func newCrowd(most int) *crowd {
	return &crowd{most: most, all: map[net.Conn]uint64{}, idle: map[net.Conn]bool{}}
}

// guard makes a server report its connections.
func (c *crowd) guard(srv *http.Server) *http.Server {
	srv.ConnState = c.changed
	return srv
}

// changed follows the state of connections.
func (c *crowd) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	switch state {
	case http.StateNew:
		c.all[conn], c.idle[conn] = c.n, true
		if c.most > 0 && len(c.all) > c.most {
			c.makeRoom()
		}
	case http.StateIdle:
		c.all[conn], c.idle[conn] = c.n, true
	case http.StateActive:
		delete(c.idle, conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
		delete(c.idle, conn)
	}
}

// makeRoom closes the connection that has waited longest; the new one itself
// when no other waits. The caller holds mu.
func (c *crowd) makeRoom() {
	var oldest net.Conn
	for conn := range c.idle {
		if oldest == nil || c.all[conn] < c.all[oldest] {
			oldest = conn
		}
	}
	if oldest != nil {
		delete(c.idle, oldest)
		delete(c.all, oldest) // its descriptor is free as of now
		_ = oldest.Close()
	}
}
