package gateway

import (
	"context"
	"errors"
	"os"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	firstPart  = 4 << 10          // of a body of known length that is here before the client gets any of it
	slowWindow = 30 * time.Second // of waiting for the upstream, over which a body of known length must bring slowBytes
	slowBytes  = 1 << 10
)

// errDrip ends a body that comes too slowly to be of use.
var errDrip = errors.New("the body comes too slowly")

// begun waits for the first part of a body, or all of it when it is short. While
// another upstream can still be tried, one that cuts its answer or drips it is
// found out before the client has seen anything.
func (t *try) begun(p *reply, o *outgoing) error {
	if !o.safe() || p.framing.Kind != http1.Length {
		return nil
	}
	n := int(min(p.framing.Length, firstPart))
	if p.r.Buffered() >= n {
		return nil
	}
	until := time.Now().Add(t.x.s.cfg.Timeouts.FirstByte)
	if t.x.until.Before(until) {
		until = t.x.until
	}
	_ = p.up.SetReadDeadline(until)
	_, err := p.r.Peek(n)
	return err
}

// bodyClass names what went wrong with a body that the client has not seen.
func (t *try) bodyClass(timed context.Context, err error) proxy.Class {
	class := proxy.Truncated
	if errors.Is(err, os.ErrDeadlineExceeded) {
		class = proxy.Timeout
	}
	if t.innocent(timed, class) {
		return proxy.Canceled
	}
	return class
}

// bodyPace measures a body by the time that is spent waiting for the upstream;
// a client that reads slowly does not count.
type bodyPace struct {
	waited time.Duration
	got    int
}

// slow takes down that n bytes came since asked, zero when they were here
// already. It reports whether too few came in the window that ends now.
func (b *bodyPace) slow(asked time.Time, n int, window time.Duration) bool {
	b.got += n
	if asked.IsZero() {
		return false
	}
	if b.waited += time.Since(asked); b.waited < window {
		return false
	}
	few := b.got < slowBytes
	b.waited, b.got = 0, 0
	return few
}
