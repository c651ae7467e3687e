package main

import "freeway/proxy"

// done takes down a request that is over.
func (s *server) done(t proxy.Trace) {
	if s.audit != nil {
		s.audit.put(t)
	}
}
