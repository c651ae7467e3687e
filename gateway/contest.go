package gateway

import (
	"context"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// contest is one ClientHello on its way through a leg and, when no answer
// comes for long, through a hedge's leg as well.
type contest struct {
	f     *flow
	hello []byte
	in    [2]asking // the first and the hedge
	h     *hedge
	ready <-chan struct{} // closed when the hedge has ended; nil: nothing to wait for
}

// asking is a leg that the hello was sent to.
type asking struct {
	l       *leg // nil: none, or it is out
	sent    time.Time
	limit   *time.Timer
	opening <-chan opening
	late    <-chan time.Time
}

// offer sends the hello through the leg and judges what comes back. When that
// takes long another exit gets it, too. It returns the leg that answered first,
// or the one that failed last; nil when all that failed was reported already.
func (f *flow) offer(ctx context.Context, l *leg, hello []byte) (*leg, proxy.Class, tlsAnswer) {
	c := &contest{f: f, hello: hello}
	if class := c.ask(0, l); class != proxy.OK {
		return l, class, notTLS
	}
	defer c.end()
	if c.h = f.x.hedge(ctx, l.t, f.x.c.g.pace.limits(f.x.s).helloLate, nil); c.h != nil {
		c.ready = c.h.done
	}
	for {
		i, class, answer := c.wait(ctx)
		switch {
		case i == hedgeEnded:
			if c.enter(ctx); c.in[0].l == nil && c.in[1].l == nil {
				return nil, proxy.Timeout, notTLS
			}
		case class == proxy.OK, c.alone(i):
			l := c.in[i].l
			c.in[i].l = nil
			return l, class, answer
		default:
			f.dismiss(ctx, c.in[i].l, class)
			c.in[i].l = nil
			c.in[i].opening, c.in[i].late = nil, nil
		}
	}
}

// ask sends the hello through a leg.
func (c *contest) ask(i int, l *leg) proxy.Class {
	limit := l.t.helloTime()
	a := asking{l: l, sent: time.Now(), limit: time.NewTimer(limit), opening: l.trial.opening}
	a.late = a.limit.C
	c.in[i] = a
	_ = l.up.SetWriteDeadline(a.sent.Add(limit))
	if _, err := l.up.Write(c.hello); err != nil {
		a.limit.Stop()
		return dial.Classify(err)
	}
	return proxy.OK
}

// hedgeEnded stands for the hedge where wait returns the number of a leg.
const hedgeEnded = -1

// wait waits for what happens next, and says to whom.
func (c *contest) wait(ctx context.Context) (int, proxy.Class, tlsAnswer) {
	first, second := &c.in[0], &c.in[1]
	select {
	case o := <-first.opening:
		return c.judge(0, o)
	case o := <-second.opening:
		return c.judge(1, o)
	case <-first.late:
		return first.timedOut(0)
	case <-second.late:
		return second.timedOut(1)
	case <-c.ready:
		return hedgeEnded, proxy.OK, notTLS
	case <-ctx.Done():
	}
	if first.l == nil && second.l != nil {
		return 1, proxy.Timeout, notTLS
	}
	if first.l == nil {
		<-c.h.done // its context is a part of ours
		return hedgeEnded, proxy.OK, notTLS
	}
	return 0, proxy.Timeout, notTLS
}

// timedOut is the end of a leg's time.
func (a *asking) timedOut(i int) (int, proxy.Class, tlsAnswer) {
	a.l.t.phases.FirstByte = time.Since(a.sent)
	return i, proxy.Timeout, notTLS
}

// judge says what a leg's first answer is.
func (c *contest) judge(i int, first opening) (int, proxy.Class, tlsAnswer) {
	a := &c.in[i]
	a.l.t.phases.FirstByte = time.Since(a.sent)
	answer := plausibleTLS(first.data)
	switch {
	case first.err != nil && (len(first.data) == 0 || missingTLS(first.data) > 0):
		return i, dial.Classify(first.err), notTLS
	case answer == notTLS && first.early:
		return i, proxy.Garbage, notTLS
	case answer == notTLS:
		return i, proxy.BadTLS, notTLS
	}
	c.f.x.c.g.pace.worked(stepHello, a.l.t.phases.FirstByte)
	c.f.x.settleLate(stepHello, a.l.t.phases.FirstByte)
	c.f.lastMoved.Store(time.Now().UnixNano())
	if i == 1 {
		c.f.x.c.g.m.hedgesWon.Inc()
	}
	return i, proxy.OK, answer
}

// enter sends the hello through the hedge's tunnel, if it has one.
func (c *contest) enter(ctx context.Context) {
	h := c.h
	c.ready = nil
	switch {
	case h.t == nil:
	case h.up == nil:
		h.t.fail(ctx, proxy.StageHandshake, h.err)
		h.t.close()
	default:
		h.t.pacedTunnel()
		l := c.f.start(h.t, h.up, held)
		if class := c.ask(1, l); class != proxy.OK {
			c.f.dismiss(ctx, l, class)
			c.in[1] = asking{}
		}
	}
}

// alone reports whether nothing but the i-th leg is left. A hedge that has not
// begun does not begin any more.
func (c *contest) alone(i int) bool {
	if c.in[1-i].l != nil {
		return false
	}
	if c.ready != nil && c.h.disarm() {
		c.h, c.ready = nil, nil
	}
	return c.ready == nil
}

// end gives back what is still under way: whoever is here has lost.
func (c *contest) end() {
	if c.ready != nil {
		c.h.lose()
	}
	for i := range c.in {
		a := &c.in[i]
		if a.limit != nil {
			a.limit.Stop()
		}
		if a.l != nil {
			a.l.t.overtaken(proxy.StageTunnel)
			a.l.drop()
		}
	}
}
