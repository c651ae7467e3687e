package dial

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"freeway/proxy"
)

// Foray is one use of a proxy whose first steps a Scout makes. Its methods must not
// block, and must not call the scout.
type Foray interface {
	// Limit returns how long a step, StageConnect or StageHandshake, may take. The
	// scout asks again and again, so the answer may change while the step goes on.
	Limit(step proxy.Stage) time.Duration
	// Connected is called once, when connecting has ended, whether it worked or not.
	Connected()
	// Done is called once with what came of it, by the scout's goroutine, unless Start has returned it.
	Done(Scouted)
}

// Scouted is what a Scout brings back.
type Scouted struct {
	// Conn is connected, and the opening of the tunnel, if there is one, was sent and
	// has an answer or was cut, or found no room: it is for TunnelOver with the same Via and target,
	// for ForwardOver when there was no target. Nil when Err says why not.
	Conn   *Conn
	Err    *Error
	Nudged bool // a line was ended, see Route
}

// Route says what a Scout is to do.
type Route struct {
	Via *Via          // its endpoint's host must be an address, see Via.Literal
	To  *proxy.Target // of the tunnel that is asked for; nil: it is connected to and no more
	// Nudge is after how long without an answer to the opening a line is ended,
	// which makes servers speak up that wait for one; 0: never.
	Nudge time.Duration
}

// Nudge is what ends the line of those who wait for one.
const Nudge = "\r\n\r\n"

// Literal reports whether the proxy's host is an address without a zone, so that nothing needs to be resolved.
func (v *Via) Literal() bool {
	a := v.ep.Addr()
	return a.IsValid() && a.Zone() == ""
}

// opening returns the first message of a tunnel to a target; nil when there is
// none that is known before the proxy has answered.
func (v *Via) opening(to proxy.Target) []byte {
	addr, err := v.address(to)
	if err != nil || v.ep.Protocol == proxy.HTTPS {
		return nil
	}
	var first onlyFirst
	_ = v.ask(&first, addr) // it ends when it wants an answer
	return first.said
}

// onlyFirst keeps what is said first and gives no answer.
type onlyFirst struct{ said []byte }

func (o *onlyFirst) Write(p []byte) (int, error) {
	if o.said == nil {
		o.said = bytes.Clone(p)
	}
	return len(p), nil
}

func (o *onlyFirst) Read([]byte) (int, error) { return 0, io.EOF }

// errSaid is a defect: what a scout has said is not what is to be said.
var errSaid = fmt.Errorf("%w: another opening was sent ahead", net.ErrClosed)

// continued is a conversation whose first bytes were said already.
type continued struct {
	net.Conn
	said []byte
}

// Write says what was not said yet.
func (c *continued) Write(p []byte) (int, error) {
	n := len(c.said)
	if !bytes.HasPrefix(p, c.said) {
		return 0, errSaid
	}
	if c.said = nil; n == len(p) {
		return n, nil
	}
	more, err := c.Conn.Write(p[n:])
	return n + more, err
}
