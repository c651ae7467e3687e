package gateway

import (
	"errors"
	"time"

	"freeway/proxy"
)

// watches reports whether credentials must not pass here, as far as they can be seen.
func (f *flow) watches(l *leg) bool {
	return !f.tls.Load() && f.x.s.cfg.PlaintextCredentials == refuse && isPublic(l.t.lease.Entry.Pool)
}

// headPatience is how long the rest of a head may take of which a request line came; it is
// looked at as a whole then, so that its client can be told.
const headPatience = time.Second

// betrays reports whether what the client has said so far names credentials, and
// has the rest watched if not. The error is that of reading on.
func (f *flow) betrays(c *client) (found bool, err error) {
	var h heads
	b, _ := c.r.Peek(c.r.Buffered())
	found = h.feed(b)
	for end := time.Now().Add(headPatience); !found && h.state == atField && len(b) < c.r.Size(); {
		_ = c.raw.SetReadDeadline(end)
		if _, err = c.r.Peek(len(b) + 1); err != nil {
			break
		}
		seen := len(b)
		b, _ = c.r.Peek(c.r.Buffered())
		found = h.feed(b[seen:])
	}
	if !found && h.state != atNothing {
		f.heads = &heads{} // upload shows it the same bytes again
	}
	return found, err
}

// betrayed ends a tunnel whose client begins with credentials, or breaks off while it is
// listened to, and reports whether it has.
func (f *flow) betrayed(l *leg) bool {
	switch found, err := f.betrays(f.x.c); {
	case found:
		f.refuse(l, refuseCredentials())
	case brokeOff(err):
		f.cut(l)
	default:
		return false
	}
	return true
}

// refuse ends a tunnel for what its client says, none of which was sent; r is nil when
// it said nothing. A client that speaks HTTP is told, if nothing else was.
func (f *flow) refuse(l *leg, r *refusal) {
	x, quiet := f.x, l.state.CompareAndSwap(waiting, shut)
	l.state.Store(shut)
	if r != nil {
		x.cutFor(r.code)
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
