package gateway

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"freeway/proxy"
)

// Bounds of a cap in bytes per second. Below the least a tunnel would seem idle.
const (
	leastBandwidth = 1 << 10
	maxBandwidth   = 1 << 40
)

const (
	pieceShare = 64       // of a second's bytes: what one turn carries
	pieceMost  = 64 << 10 // bytes; larger ones save nothing and make others wait longer
	burstShare = 8        // of a second's bytes: what may go at once after silence
)

// bandwidth is the cap of one user or client. Whoever has bytes to pass on waits
// for its turn, first come first served, and carries one piece each time: all
// requests and tunnels that have something to carry get the same, and one that
// has not leaves its part to the others.
type bandwidth struct{ turns *rate.Limiter }

// become is the cap after a change; requests that run follow it. 0: no cap, and
// those that run under one are let go.
func (b *bandwidth) become(perSecond proxy.Size) *bandwidth {
	limit, burst := rate.Inf, pieceMost
	if perSecond > 0 {
		limit, burst = rate.Limit(perSecond), int(max(perSecond/burstShare, leastBandwidth))
	}
	if b != nil {
		b.turns.SetBurst(burst)
		b.turns.SetLimit(limit)
	}
	switch {
	case perSecond == 0:
		return nil
	case b != nil:
		return b
	}
	return &bandwidth{rate.NewLimiter(limit, burst)}
}

// piece is how many bytes one turn carries.
func (b *bandwidth) piece() int {
	limit := b.turns.Limit()
	if limit == rate.Inf {
		return pieceMost
	}
	return min(max(int(limit/pieceShare), leastBandwidth), pieceMost)
}

// pacing is one request's or tunnel's part of a bandwidth. Of nil there is
// nothing to stop, and nothing to wait for.
type pacing struct {
	from *bandwidth
	ctx  context.Context
	end  context.CancelFunc
}

// pacedBy puts the exchange under a cap until it ends. leave is what has to be
// called then, the result is called in its place.
func (x *exchange) pacedBy(ctx context.Context, b *bandwidth, leave func()) func() {
	p := &pacing{from: b}
	p.ctx, p.end = context.WithCancel(ctx)
	x.pace = p
	return func() { p.stop(); leave() }
}

// part is a pacing that ends with p, or sooner by a stop of its own.
func (p *pacing) part() *pacing {
	if p == nil {
		return nil
	}
	one := &pacing{from: p.from}
	one.ctx, one.end = context.WithCancel(p.ctx)
	return one
}

// stop wakes whoever waits; nothing passes any more.
func (p *pacing) stop() {
	if p != nil {
		p.end()
	}
}

// owe counts n bytes that do not wait, those of a body that is held and sent as a
// whole within a deadline: what passes next waits for longer.
func (p *pacing) owe(n int) {
	if p == nil {
		return
	}
	now, piece := time.Now(), p.from.piece()
	for ; n > 0; n -= piece {
		p.from.turns.ReserveN(now, min(n, piece))
	}
}

// wait waits for one turn. When the cap was lowered meanwhile, a turn may be
// larger than what passes at once now; then it is made of several.
func (p *pacing) wait(n int) error {
	for n > 0 {
		m := min(n, max(p.from.turns.Burst(), 1))
		if err := p.from.turns.WaitN(p.ctx, m); err != nil {
			if p.ctx.Err() != nil {
				return context.Cause(p.ctx)
			}
			continue // the burst became smaller between the two
		}
		n -= m
	}
	return nil
}

// each passes b on in pieces, each in its turn.
func (p *pacing) each(b []byte, put func([]byte) error) error {
	for len(b) > 0 {
		n := min(len(b), p.from.piece())
		if err := p.wait(n); err != nil {
			return err
		}
		if err := put(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// write is each for what counts the bytes that it has written.
func (p *pacing) write(b []byte, put func([]byte) (int, error)) (done int, err error) {
	err = p.each(b, func(part []byte) error {
		n, err := put(part)
		done += n
		return err
	})
	return done, err
}
