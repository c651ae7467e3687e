package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// budget bounds hedges by the requests of the last minute. One is always
// allowed, so that a client that asks for one thing only has it, too.
type budget struct {
	mu   sync.Mutex // protects the fields below
	ring [60]struct {
		second           int64
		requests, hedges int
	}
}

// request counts a request.
func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring[b.at(now)].requests++
}

// take counts a hedge, or reports that there may be none now. share is hedges
// per request.
func (b *budget) take(now time.Time, share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, hedges := 0, 0
	for _, s := range b.ring {
		if now.Unix()-s.second < int64(len(b.ring)) {
			requests += s.requests
			hedges += s.hedges
		}
	}
	if share <= 0 || float64(hedges+1) > max(share*float64(requests), 1) {
		return false
	}
	b.ring[b.at(now)].hedges++
	return true
}

// at is the place of a second in the ring, cleared when it held an older one.
func (b *budget) at(now time.Time) int {
	sec := now.Unix()
	i := int(sec % int64(len(b.ring)))
	if b.ring[i].second != sec {
		b.ring[i].second, b.ring[i].requests, b.ring[i].hedges = sec, 0, 0
	}
	return i
}

// hedge is a second set-up beside one that is slow, on another exit. It only
// picks, connects and shakes hands, so it is always safe.
type hedge struct {
	ctx   context.Context
	want  proxy.Want
	first *try
	timer *time.Timer
	done  chan struct{} // closed when it has ended
	won   func()        // called when it is up; nil: nobody
	full  bool          // it has all the time that is configured

	mu     sync.Mutex         // protects the fields below
	cancel context.CancelFunc // nil before it has begun
	cut    bool               // it shall end

	t   *try // after done; nil: there was none
	up  *dial.Conn
	err error
}

// hedge arms a hedge for a try that begins now, due after the delay. It returns
// nil when there may be none. The caller must end it with stop before the next.
func (x *exchange) hedge(ctx context.Context, first *try, delay time.Duration, won func()) *hedge {
	if !x.mayHedge(first) {
		return nil
	}
	h := x.unused
	if x.unused = nil; h == nil {
		h = &hedge{done: make(chan struct{})}
	}
	h.ctx, h.want, h.first, h.won, h.full = ctx, x.want, first, won, x.mustDo(1)
	if delay = max(delay, x.s.cfg.Hedge.MinDelay); h.timer == nil {
		h.timer = time.AfterFunc(delay, h.fire)
	} else {
		h.timer.Reset(delay)
	}
	return h
}

// fire is what its timer does.
func (h *hedge) fire() {
	defer close(h.done)
	defer h.first.x.c.g.recover()
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	if h.begin(cancel) {
		h.run(ctx)
	}
}

// disarm keeps a hedge from beginning. It reports false when it has begun; else
// it may be armed again, and nothing else be done with it.
func (h *hedge) disarm() bool {
	if !h.timer.Stop() {
		return false
	}
	x := h.first.x
	h.ctx, h.want, h.first, h.won = nil, proxy.Want{}, nil, nil
	x.unused = h
	return true
}

// mayHedge reports whether the try may get a hedge: never in a session, nor
// where uses cost money, nor when it would be the last upstream tried.
func (x *exchange) mayHedge(t *try) bool {
	cfg := &x.s.cfg.Hedge
	switch {
	case x.hedges == proxy.No, x.hedges != proxy.Yes && !cfg.Enabled, cfg.Budget <= 0:
		return false
	case x.want.Session != (proxy.SessionKey{}), x.stuck, x.metered(t):
		return false
	}
	left := x.most - len(x.trace.Attempts) - x.pending - x.unturned() // the last tries are of other pools
	return left >= 2
}

// metered reports whether a use of the try's upstream costs money.
func (x *exchange) metered(t *try) bool {
	return slices.Contains(x.s.cfg.Hedge.Metered, t.lease.Entry.Pool)
}

// begin notes how the hedge can be broken off, and reports whether it may begin.
func (h *hedge) begin(cancel context.CancelFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel = cancel
	return !h.cut
}

// breakOff ends the hedge early, now or when it begins.
func (h *hedge) breakOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut = true; h.cancel != nil {
		h.cancel()
	}
}

// run is the hedge. Of the exchange it uses only what does not change.
func (h *hedge) run(ctx context.Context) {
	x := h.first.x
	g := x.c.g
	if ctx.Err() != nil || !g.hedges.take(time.Now(), x.s.cfg.Hedge.Budget) {
		return
	}
	e := &h.first.lease.Entry
	h.want.Avoid = append(slices.Clip(h.want.Avoid), e.Endpoint)
	if e.Traits.ExitIP.IsValid() {
		h.want.AvoidExits = append(slices.Clip(h.want.AvoidExits), e.Traits.ExitIP)
	}
	asked := time.Now()
	lease, err := g.env.Picker.Pick(ctx, h.want)
	if err != nil {
		return
	}
	now := time.Now()
	t := &try{x: x, lease: lease, began: now, pick: now.Sub(asked), full: h.full}
	if t.lease.Why = "hedge: " + lease.Why; x.metered(t) {
		lease.Close()
		return
	}
	g.m.hedges.Inc()
	h.t = t
	if h.up, h.err = t.via().Tunnel(ctx, h.want.Target); h.err != nil {
		return
	}
	t.phases = h.up.Phases()
	if h.won != nil {
		h.won()
	}
}

// stop keeps a hedge from beginning and, when it has begun, waits for its end;
// with cut it is broken off. It reports whether there was one.
func (h *hedge) stop(cut bool) bool {
	if h == nil {
		return false
	}
	if h.disarm() {
		return false
	}
	if cut {
		h.breakOff()
	}
	<-h.done
	return h.t != nil
}

// lose ends the hedge after the first was faster.
func (h *hedge) lose() {
	if !h.stop(true) {
		return
	}
	if h.up != nil {
		_ = h.up.Close()
	}
	h.t.lost()
}

// lost ends a try that another one was faster than.
func (t *try) lost() {
	t.overtaken(proxy.StageHandshake)
	t.close()
}

// overtaken reports that another try was faster. That is blamed on nobody.
func (t *try) overtaken(stage proxy.Stage) {
	t.slower = true
	t.report(stage, proxy.Canceled, 0, 0)
}

// setUpAlone is setUp for a try that gets no hedge.
func (x *exchange) setUpAlone(ctx *scope, t *try) (*try, *dial.Conn) {
	one, _ := ctx.beginUseOf(t)
	up, err := t.via().Tunnel(one, x.want.Target)
	if err != nil {
		t.fail(ctx, proxy.StageHandshake, err)
		t.close()
		return nil, nil
	}
	t.phases = up.Phases()
	return t, up
}

// setUp brings a tunnel up through the try's upstream or, when that is slow,
// through that of a hedge. It returns the one that did, nil for none; what
// failed is reported.
func (x *exchange) setUp(ctx *scope, t *try) (*try, *dial.Conn) {
	if !x.mayHedge(t) {
		return x.setUpAlone(ctx, t)
	}
	first, overtaken := ctx.beginUseOf(t)
	h := x.hedge(ctx, t, x.c.g.pace.limits(x.s).setUpLate, overtaken)
	up, err := t.via().Tunnel(first, x.want.Target)
	if err == nil {
		h.lose()
		t.phases = up.Phases()
		return t, up
	}
	if !h.stop(false) {
		t.fail(ctx, proxy.StageHandshake, err)
		t.close()
		return nil, nil
	}
	if dial.Classify(err) == proxy.Canceled && ctx.Err() == nil {
		t.lost()
	} else {
		t.fail(ctx, proxy.StageHandshake, err)
		t.close()
	}
	if h.err != nil {
		h.t.fail(ctx, proxy.StageHandshake, h.err)
		h.t.close()
		return nil, nil
	}
	x.c.g.m.hedgesWon.Inc()
	return h.t, h.up
}
