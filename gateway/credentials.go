package gateway

import (
	"errors"

	"freeway/proxy"
)

// watches reports whether credentials must not pass here, as far as they can be seen.
func (f *flow) watches(l *leg) bool {
	return !f.tls.Load() && f.x.s.cfg.PlaintextCredentials == refuse && isPublic(l.t.lease.Entry.Pool)
}

// betrays reports whether what the client has said so far names credentials, and
// has the rest watched if not.
func (f *flow) betrays(c *client) bool {
	var h heads
	b, _ := c.r.Peek(c.r.Buffered())
	if h.feed(b) {
		return true
	}
	if h.state != atNothing {
		f.heads = &heads{} // upload shows it the same bytes again
	}
	return false
}

// refuse ends a tunnel for what its client says, none of which was sent; r is nil when
// it said nothing. A client that speaks HTTP is told, if nothing else was.
func (f *flow) refuse(l *leg, r *refusal) {
	x, quiet := f.x, l.state.CompareAndSwap(waiting, shut)
	l.state.Store(shut)
	if r != nil {
		x.trace.Code = r.code
		x.c.g.m.refused.WithLabelValues(r.code).Inc()
		if b, _ := x.c.r.Peek(x.c.r.Buffered()); quiet && speaksHTTP(b) && x.c.write(r.appendTo(nil, x.trace.ID, false, false)) == nil {
			x.c.linger()
		}
	}
	f.abort()
}

// errCredentials is the end of a tunnel in which they would have passed.
var errCredentials = errors.New("credentials without encryption")

// allowed looks at the next bytes of the client. The error is errCredentials.
func (f *flow) allowed(b []byte) error {
	if f.heads == nil {
		return nil
	}
	if f.heads.feed(b) {
		f.note(proxy.OK)
		f.barred.Store(true)
		return errCredentials
	}
	if f.heads.state == atNothing {
		f.heads = nil
	}
	return nil
}
