package gateway

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeway/dial"
	"freeway/internal/http1"
	"freeway/proxy"
)

// exchange is one request of a client with everything that was tried for it.
// The goroutine of the client owns it.
type exchange struct {
	c       *client
	s       *settings
	retry   *retryPlan // that of the target's rule, or the general one
	user    *user      // nil: none configured
	hedges  proxy.Tri  // what the client says of hedges
	replay  bool       // a first flight may be sent again
	want    proxy.Want
	trace   proxy.Trace
	until   time.Time // overall deadline until the answer begins
	most    int       // upstreams that may be tried
	pending int       // tries that are over but not reported yet
	http    bool      // plain HTTP, not a tunnel
	late    []lateTry // tries that were cut short; their blame waits for what others need
	faults  []string  // what went wrong, in order, for the client
	leave   func()    // gives back what the user's limits hold; nil: nothing
	traceID string    // for exemplars; "": the request is not traced
	pace    *pacing   // its part of the user's bandwidth; nil: no limit

	answered bool // something went to the client
	turned   int  // how many pools have been turned to, see turnToNextPool
	again    bool // a session's exit was given its second chance
	stuck    bool // another try would only fail again
	first    try
	unused   *hedge // one that did not begin, for the next; nil: none

	// While the client shows the exchange these, and trace.Attempts, are changed and,
	// elsewhere, read only with client.showing held.
	status  int   // that the client has been given
	through *try  // that the answer came through
	flow    *flow // nil: no tunnel, or not yet
}

// begin makes the exchange for an admitted client. Those kept for it are empty.
func (c *client) begin(s *settings, w *who, method string, t *proxy.Target, plain bool) *exchange {
	now := time.Now()
	x := exchanges.Get().(*exchange)
	x.c, x.s, x.user, x.until, x.http, x.retry = c, s, w.user, now.Add(s.cfg.Timeouts.Total), plain, &s.retry
	if rule := ruleOf(s.rules, t.Host); rule != nil {
		x.retry = &rule.retry
	}
	x.hedges, x.replay = w.opt.Hedge, w.opt.Replay != proxy.No && !(w.opt.Strict && w.opt.Session != "")
	x.most = x.retry.Attempts
	if w.opt.Retry > 0 {
		x.most = w.opt.Retry
	}
	s.want(&x.want, w, t, plain)
	r := &x.trace
	r.ID, r.At, r.Client, r.User, r.Tag, r.Session, r.Method, r.Target = newID(), c.g.env.Now(), c.ip, w.name, w.opt.Tag, x.want.Session.ID, method, *t
	if id := c.g.env.TraceID; id != nil {
		x.traceID = id(x.trace.ID)
	}
	c.g.running.Add(1)
	c.g.hedges.request(now)
	c.x = x
	return x
}

// end records the request. r is nil when the target's answer was passed on, else
// the client is told afterwards: who has an answer finds its record.
func (x *exchange) end(r *refusal) {
	g := x.c.g
	x.c.x = nil
	g.running.Add(-1)
	x.endLate()
	if x.leave != nil {
		x.leave()
	}
	if r != nil {
		x.trace.Code = r.code
		if x.trace.Status == 0 {
			x.trace.Status = r.httpStatus()
		}
		g.m.refused.WithLabelValues(r.code).Inc()
	}
	if n := len(x.trace.Attempts); n > 1 && slices.ContainsFunc(x.trace.Attempts[:n-1], func(a proxy.Attempt) bool { return a.Class.Failed() }) {
		g.m.failovers.Inc()
	}
	g.m.up.Add(float64(x.trace.Up))
	g.m.down.Add(float64(x.trace.Down))
	x.trace.Took = max(g.env.Now().Sub(x.trace.At), x.trace.Answer) // begin took the time a moment earlier
	g.env.Picker.Record(x.trace)
	x.hide()
	g.done(x.trace)
}

// avoidPublic keeps the request away from public upstreams. It reports false
// when nothing else may be used.
func (x *exchange) avoidPublic() bool { return avoidPublic(&x.want) }

// try is one upstream in use for an exchange.
type try struct {
	x       *exchange
	lease   proxy.Lease
	began   time.Time
	pick    time.Duration // what choosing it took
	phases  proxy.Phases
	settled bool  // it was reported
	listed  bool  // it is one of trace.Attempts; written like those
	full    bool  // it has all the time that is configured
	hurried uint8 // steps, a bit each, that have less
	slower  bool  // a hedge was faster, or it was a hedge and the first was
}

// next picks the upstream of the next try.
func (x *exchange) next(ctx context.Context) (*try, *refusal) {
	if r := x.overdue(ctx); r != nil {
		return nil, r
	}
	if x.stuck || len(x.trace.Attempts)+x.pending >= x.most {
		return nil, x.noMore(ctx)
	}
	asked := time.Now()
	t := x.newTry()
	x.turnToNextPool()
	err := x.pick(ctx, &t.lease)
	now := time.Now()
	x.c.g.m.took(phasePick, now.Sub(asked), x.traceID)
	switch {
	case err == nil:
		t.x, t.began, t.pick, t.full = x, now, now.Sub(asked), x.mustDo(0)
		return t, nil
	case errors.Is(err, proxy.ErrNone) && len(x.trace.Attempts) > 0:
		x.trace.Missed = now.Sub(asked)
		return nil, x.exhausted()
	}
	x.trace.Missed = now.Sub(asked)
	if r := x.overdue(ctx); r != nil {
		return nil, r
	}
	return nil, refusePick(err)
}

// turnToNextPool lets a try begin with a later pool when there are no more tries than pools
// that have not had one yet: when all tries so far were in vain in the first, the next most likely
// fails as well. So each pool has its try, as far as there are enough, and the first all that are left.
func (x *exchange) turnToNextPool() {
	w := &x.want
	tried, left := len(x.trace.Attempts)+x.pending, x.unturned()
	if tried == 0 || left == 0 || x.most-tried > left || w.Session != (proxy.SessionKey{}) {
		return
	}
	x.turned++
	w.Pools = append(slices.Clone(w.Pools[1:]), w.Pools[0])
}

// unturned is how many pools have not yet been the first of a try.
func (x *exchange) unturned() int { return max(len(x.want.Pools)-1-x.turned, 0) }

// pick asks the Picker, again only while the gateway warms up, and when an exit
// will have rested in time.
func (x *exchange) pick(ctx context.Context, lease *proxy.Lease) error {
	for {
		err := x.pickOnce(ctx, lease)
		if err == nil {
			return nil
		}
		wait := x.pickAgain(err)
		if wait <= 0 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// pickAgain returns after what time it makes sense to ask once more after an error, 0 for never.
func (x *exchange) pickAgain(err error) time.Duration {
	const every = 100 * time.Millisecond
	if none, ok := errors.AsType[*proxy.NoneError](err); ok && none.Rest > 0 && time.Now().Add(none.Rest).Before(x.until) {
		return none.Rest
	}
	if !errors.Is(err, proxy.ErrNone) {
		return 0
	}
	return min(every, x.s.cfg.Timeouts.Warmup-x.c.g.env.Now().Sub(x.c.g.opened))
}

// pickOnce asks the Picker. A session begins on an exit with a tunnel where
// there is one, also for plain HTTP: it holds that exit, and what follows is
// likely to need one.
func (x *exchange) pickOnce(ctx context.Context, lease *proxy.Lease) (err error) {
	if x.want.Session != (proxy.SessionKey{}) && x.want.Need&proxy.NeedForward != 0 {
		if err = x.pickBoth(ctx, lease); !errors.Is(err, proxy.ErrNone) {
			return err
		}
	}
	*lease, err = x.c.g.env.Picker.Pick(ctx, x.want)
	return err
}

// pickBoth asks for an upstream that forwards and tunnels. It is apart because
// stacks grow by what it copies.
func (x *exchange) pickBoth(ctx context.Context, lease *proxy.Lease) (err error) {
	both := x.want
	both.Need |= proxy.NeedTunnel
	*lease, err = x.c.g.env.Picker.Pick(ctx, both)
	return err
}

// overdue says why nothing more is tried, nil when more may be.
func (x *exchange) overdue(ctx context.Context) *refusal {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return errGone
	case ctx.Err() != nil, !time.Now().Before(x.until):
		return refusef(codeDeadline, "no upstream delivered in time"+x.history())
	}
	return nil
}

// exhausted is the refusal when no upstream is left or no more may be tried.
func (x *exchange) exhausted() *refusal {
	return refusef(codeFailed, "no upstream delivered"+x.history())
}

// history lists what went wrong without naming anybody.
func (x *exchange) history() string {
	if len(x.faults) == 0 {
		return ""
	}
	return ": " + strings.Join(x.faults, ", ")
}

// report tells the pool and the trace how the try went, once.
func (t *try) report(stage proxy.Stage, class proxy.Class, status int, retryAfter time.Duration) {
	if t.settled {
		return
	}
	t.settled = true
	t.paced(stage, class)
	x, e := t.x, &t.lease.Entry
	if t.lease.Report != nil {
		o := proxy.Outcome{Endpoint: e.Endpoint, Target: x.want.Target, At: x.c.g.env.Now(), Stage: stage, Class: class,
			Status: status, RetryAfter: retryAfter, Phases: t.phases, Origin: proxy.FromTraffic, Request: x.trace.ID, Overtaken: t.slower}
		if t.waits(stage, class) {
			t.wait(o)
		} else {
			t.lease.Report(o)
		}
	}
	a := t.attempt(stage, class, status)
	a.Phases = t.phases
	x.c.showing.Lock()
	t.listed = true
	x.trace.Attempts = append(x.trace.Attempts, a)
	x.c.showing.Unlock()
	if class == proxy.OK || class == proxy.Banned {
		x.c.g.m.phases(t.phases, x.traceID)
	}
	if class == proxy.Banned {
		x.c.g.m.bans.Inc()
	}
	x.c.g.m.attempt(e.Endpoint.Protocol, class).Inc()
}

// attempt is the try as a trace has it, without its phases.
func (t *try) attempt(stage proxy.Stage, class proxy.Class, status int) proxy.Attempt {
	e := &t.lease.Entry
	return proxy.Attempt{Endpoint: e.Endpoint, Exit: e.Traits.ExitIP, Country: e.Traits.Country, Why: t.lease.Why,
		Stage: stage, Class: class, Status: status, At: t.began, Pick: t.pick, Took: time.Since(t.began)}
}

// fail reports a failure and keeps the rest of the request away from this exit.
func (t *try) fail(ctx context.Context, stage proxy.Stage, err error) {
	class, status := classOf(err), 0
	if e, ok := errors.AsType[*dial.Error](err); ok {
		stage, class, status = e.Stage, e.Class, e.Status
		t.phases = e.Phases
	}
	if t.innocent(ctx, class) {
		class = proxy.Canceled
	}
	t.failAs(stage, class, status)
}

// failAs is fail for a failure whose class is known. Status is 0 when there was none.
func (t *try) failAs(stage proxy.Stage, class proxy.Class, status int) {
	t.report(stage, class, status, 0)
	t.avoid(stage, class)
	t.blamed(stage, class, status)
}

// blamed takes a failure down for the client.
func (t *try) blamed(stage proxy.Stage, class proxy.Class, status int) {
	fault := stage.String() + " " + class.String()
	if status != 0 {
		fault += " " + strconv.Itoa(status)
	}
	t.x.faults = append(t.x.faults, fault)
}

// avoid keeps later tries away from this exit. A session has only one exit, so
// there only the endpoint is avoided, because another one may leave from the
// same, and only when the failure is the endpoint's own.
func (t *try) avoid(stage proxy.Stage, class proxy.Class) {
	e, w := &t.lease.Entry, &t.x.want
	session := w.Session != (proxy.SessionKey{})
	if session && t.stay(stage, class) {
		return
	}
	w.Avoid = append(w.Avoid, e.Endpoint)
	w.ExitLost = session && t.dead(stage, class)
	if e.Traits.ExitIP.IsValid() && !session {
		w.AvoidExits = append(w.AvoidExits, e.Traits.ExitIP)
	}
}

// stay decides whether a session keeps its endpoint after a failure. What may
// pass is tried once more there; what would only happen again ends the request.
func (t *try) stay(stage proxy.Stage, class proxy.Class) bool {
	own, _, _ := proxy.Outcome{Stage: stage, Class: class}.Blame()
	passing := class == proxy.Reset || class == proxy.EOF || class == proxy.BadGateway || t.dead(stage, class)
	switch again := t.x.again; {
	case passing && !again:
		t.x.again = true
		return true
	case own > 0.25: // the share of a bad gateway is a suspicion, no more
		return false
	}
	t.x.stuck = true
	return true
}

// dead reports whether a failure that comes again means that nothing leaves from
// this endpoint any more: it cannot be reached, or hangs up on what it is to forward.
func (t *try) dead(stage proxy.Stage, class proxy.Class) bool {
	switch class {
	case proxy.Reset, proxy.EOF:
		return stage < proxy.StageTunnel || stage == proxy.StageRequest && !t.lease.Entry.Endpoint.Protocol.IsSOCKS()
	case proxy.Refused, proxy.Unreachable, proxy.Timeout:
		return stage < proxy.StageHandshake
	}
	return false
}

// noMore is the refusal when no more may be tried. A session whose exit turned
// out to be lost is told of that all the same.
func (x *exchange) noMore(ctx context.Context) *refusal {
	if x.want.ExitLost && !x.stuck {
		lease, err := x.c.g.env.Picker.Pick(ctx, x.want)
		switch {
		case errors.Is(err, proxy.ErrSessionLost):
			return refusePick(err)
		case err == nil && lease.Close != nil:
			lease.Close()
		}
	}
	return x.exhausted()
}

// innocent reports whether a failure says nothing about the upstream: the
// client went away, or the request's time was up before the upstream had had
// its own.
func (t *try) innocent(ctx context.Context, class proxy.Class) bool {
	if errors.Is(ctx.Err(), context.Canceled) {
		return true
	}
	late := ctx.Err() != nil || !time.Now().Before(t.x.until)
	return late && class == proxy.Timeout && time.Since(t.began) < t.x.s.cfg.Timeouts.Connect
}

// close gives the lease back. What was not reported counts for nobody.
func (t *try) close() {
	t.report(proxy.StageRequest, proxy.Canceled, 0, 0)
	if t.lease.Close != nil {
		t.lease.Close()
	}
}

// classOf names an error that did not come from package dial.
func classOf(err error) proxy.Class {
	if _, ok := errors.AsType[*http1.Error](err); ok {
		return proxy.Garbage
	}
	if errors.Is(err, http1.ErrTruncated) {
		return proxy.EOF
	}
	return dial.Classify(err)
}
