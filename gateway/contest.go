package gateway

import (
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
	over  <-chan struct{} // closed when nobody wants an answer any more
}

// asking is a leg that the hello was sent to.
type asking struct {
	l       *leg // nil: none, or it is out
	sent    time.Time
	opening <-chan opening
}

// offer sends the hello through the leg and judges what comes back. When that
// takes long another exit gets it, too. It returns the leg that answered first,
// or the one that failed last; nil when all that failed was reported already.
func (f *flow) offer(ctx *scope, l *leg, hello []byte) (*leg, proxy.Class, tlsAnswer) {
	c := &contest{f: f, hello: hello, over: ctx.beginUse().Done()}
	if class := c.ask(ctx, 0, l); class != proxy.OK {
		return l, class, notTLS
	}
	defer c.end()
	if c.h = f.x.hedge(ctx, l.t, f.x.c.g.pace.limits(f.x.s).helloLate, nil); c.h != nil {
		c.ready = c.h.done
	}
	for {
		i, class, answer := c.wait()
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
			c.in[i].opening = nil
		}
	}
}

// ask sends the hello through a leg. The answer may take as long as the leg's
// deadline says.
func (c *contest) ask(ctx *scope, i int, l *leg) proxy.Class {
	a := asking{l: l, sent: time.Now(), opening: l.trial.opening}
	c.in[i] = a
	due := a.sent.Add(l.t.helloTime())
	if until, ok := ctx.Deadline(); ok && until.Before(due) {
		due = until
	}
	l.due.Store(int64(due.Sub(l.t.began)))
	_ = l.up.SetDeadline(due)
	if _, err := l.up.Write(c.hello); err != nil {
		return dial.Classify(err)
	}
	return proxy.OK
}

// hedgeEnded stands for the hedge where wait returns the number of a leg.
const hedgeEnded = -1

// wait waits for what happens next, and says to whom.
func (c *contest) wait() (int, proxy.Class, tlsAnswer) {
	first, second := &c.in[0], &c.in[1]
	select {
	case o := <-first.opening:
		return c.judge(0, o)
	case o := <-second.opening:
		return c.judge(1, o)
	case <-c.ready:
		return hedgeEnded, proxy.OK, notTLS
	case <-c.over:
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
func (c *contest) enter(ctx *scope) {
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
		if class := c.ask(ctx, 1, l); class != proxy.OK {
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
		if l := c.in[i].l; l != nil {
			l.t.overtaken(proxy.StageTunnel)
			l.drop()
		}
	}
}
