package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

const (
	firstPart  = 4 << 10                // of a body of known length that is waited for before the client gets any of it
	holdTime   = 300 * time.Millisecond // at most, for the first part
	events     = "text/event-stream"
	slowWindow = 30 * time.Second // of waiting for the upstream, over which a body of known length must bring slowBytes
	slowBytes  = 1 << 10
)

// errDrip ends a body that comes too slowly to be of use.
var errDrip = errors.New("the body comes too slowly")

// begun looks at the beginning of a body before the client gets anything: as
// long as that is so another upstream can still be tried. It waits holdTime for
// the first part of a body of known length, and for the line of the first chunk;
// events are not waited for. What is slower flows as it comes.
func (t *try) begun(p *reply, o *outgoing) error {
	if p.upload != nil {
		p.upload.headCame()
	}
	switch {
	case p.framing.Kind == http1.Length && o.safe():
		n := int(min(p.framing.Length, firstPart))
		if p.r.Buffered() >= n {
			return nil
		}
		_ = p.up.SetReadDeadline(time.Now().Add(p.g.holdTime))
		_, err := p.r.Peek(n)
		return inTime(err)
	case p.framing.Kind == http1.Chunked:
		if err := p.firstChunk(); err != nil {
			return err
		}
		return p.checkChunks()
	}
	return nil
}

// inTime is err, nil when there was merely nothing for a while.
func inTime(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// firstChunk waits for the line that begins the body, but not for events.
func (p *reply) firstChunk() error {
	if kind := p.head.Header.Get("Content-Type"); len(kind) >= len(events) && http1.EqualFold(kind[:len(events)], events) {
		return nil
	}
	_ = p.up.SetReadDeadline(time.Now().Add(p.g.holdTime))
	for {
		n := p.r.Buffered()
		if b, _ := p.r.Peek(n); bytes.IndexByte(b, '\n') >= 0 || n == p.r.Size() {
			return nil
		}
		if _, err := p.r.Peek(n + 1); err != nil {
			return inTime(err)
		}
	}
}

// checkChunks reports what is wrong with the chunks that are here.
func (p *reply) checkChunks() error {
	b, _ := p.r.Peek(p.r.Buffered())
	r := replyReaders.Get().(*bufio.Reader)
	defer replyReaders.Put(r)
	r.Reset(bytes.NewReader(b))
	defer r.Reset(nil)
	_, err := io.Copy(io.Discard, http1.NewBody(r, p.framing))
	if _, bad := errors.AsType[*http1.Error](err); bad {
		return err
	}
	return nil
}

// bodyClass names what went wrong with a body that the client has not seen.
func (t *try) bodyClass(timed context.Context, err error) proxy.Class {
	class := proxy.Truncated
	if _, bad := errors.AsType[*http1.Error](err); bad {
		class = proxy.Garbage
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
