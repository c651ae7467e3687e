package checker

import (
	"context"
	"time"

	"freeway/dial"
	"freeway/proxy"
)

// ahead is the beginning of a check that a scout makes: the connection to the
// first protocol, what a tunnel begins with, and the wait for an answer. The try
// goes on from there as if it had done so itself.
type ahead struct {
	t      *try
	leave  func()           // gives its turn to connect to others
	resume func(quick bool) // goes on with the check; quick: it only has to state a failure
	alone  bool             // the job has one entry
	began  time.Time
	took   time.Duration // until it was connected
	got    dial.Scouted
}

// Limit is how long a step may take, as it is now.
func (a *ahead) Limit(step proxy.Stage) time.Duration {
	l := a.t.c.limitsFor(a.t.s, a.t.live)
	if step == proxy.StageConnect {
		return min(a.t.budget.left, l.connect)
	}
	return min(a.t.budget.left-a.took, l.answer)
}

// Connected ends the turn to connect.
func (a *ahead) Connected() {
	a.took = time.Since(a.began)
	a.leave()
}

// Done goes on.
func (a *ahead) Done(got dial.Scouted) {
	a.got = got
	a.resume(a.quick())
}

// quick reports whether nothing is left to do but to state the failure. One that
// was silent to the only protocol that is claimed of it is not asked for others.
func (a *ahead) quick() bool {
	err := a.got.Err
	return err != nil && err.Class != proxy.Canceled && (err.Stage <= proxy.StageConnect || err.Class == proxy.Timeout && a.alone)
}

// sendAhead sends a scout ahead. With away, resume will be called; it must not block.
// Else the check goes on now, and quick says that it only has to state a failure.
func (k *check) sendAhead(ctx context.Context, scout *dial.Scout, resume func(quick bool)) (away, quick bool) {
	if scout == nil || len(k.job.Entries) == 0 || ctx.Err() != nil {
		return false, false
	}
	ep, e := k.first()
	t := k.try(ep, e)
	k.prepared = t
	if !t.via.Literal() {
		return false, false
	}
	route := dial.Route{Via: t.via}
	if judges := t.tunnelJudges(); len(judges) > 0 && ep.Protocol != proxy.HTTPS {
		route.To = &judges[0].to
	}
	if t.unsure && ep.Protocol.IsSOCKS() {
		route.Nudge = t.nudgeAfter()
	}
	leave, ok := t.turn(ctx, false)
	if !ok {
		return false, false // others go on while it waits for its turn
	}
	a := &ahead{t: t, leave: leave, resume: resume, alone: len(k.job.Entries) == 1, began: time.Now()}
	k.ahead, t.ahead = a, a
	got, done := scout.Start(a, route)
	if !done {
		return true, false
	}
	a.got = got
	return false, a.quick()
}

// take returns what the scout brought, as connect does.
func (a *ahead) take(ctx context.Context, s *step) (*dial.Conn, *spyConn) {
	t := a.t
	spy := &spyConn{nudged: a.got.Nudged}
	if err := a.got.Err; err != nil {
		t.budget.left -= err.Phases.Total()
		s.fault, s.phases = faultOf(ctx, proxy.StageConnect, err), err.Phases
		if err.Stage > proxy.StageConnect {
			s.shut(ctx, err, spy)
		}
		return nil, nil
	}
	conn := a.got.Conn
	a.got.Conn = nil // it is the try's
	t.budget.left -= conn.Phases().Connect
	spy.Conn, conn.Conn = conn.Conn, spy
	return conn, spy
}

// drop closes a connection that nobody has taken.
func (k *check) drop() {
	if k.ahead != nil && k.ahead.got.Conn != nil {
		k.ahead.got.Conn.Close()
	}
}
