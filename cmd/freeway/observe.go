package main

import (
	tracing "freeway/internal/trace"
	"freeway/proxy"
)

// done takes down a request that is over.
func (s *server) done(t proxy.Trace) {
	if s.audit != nil {
		s.audit.put(t)
	}
	s.tracer.Record(t.ID, func() tracing.Span { return requestSpan(t) })
}
