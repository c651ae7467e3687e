package checker

import (
	"context"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"freeway/proxy"
)

// conclude counts a verdict towards the present sweep and delivers it, or keeps
// it until the sweep has shown that it counts. What was caught cheating is
// evidence whatever the others do.
func (c *Checker) conclude(v proxy.Verdict) {
	live, passed, caught := controlOf(v)
	if live && !caught {
		c.sweeps.note(passed)
		if c.sweeps.held() > 0 {
			c.wake()
		}
	}
	dead, took := deadControl(v)
	if dead {
		c.sweeps.noteDead(took)
	}
	if passed || caught {
		c.deliver(v)
		return
	}
	switch c.sweeps.handle(doubt{verdict: v}, live, took) {
	case deliverNow:
		c.deliver(v)
	case giveItBack:
		c.giveBack(v.Job, sweepNote)
	case waitForEnd:
		c.wake()
	}
}

const sweepNote = "given back: nearly all proxies fail at present, which is not their fault"

// controlOf says of a verdict whether it is on a proxy that was live, whether
// anything passed, and whether it was caught at something.
func controlOf(v proxy.Verdict) (live, passed, caught bool) {
	for i := range v.Job.Entries {
		live = live || v.Job.Entries[i].State == proxy.Live
	}
	for i := range v.Outcomes {
		passed = passed || v.Outcomes[i].Class == proxy.OK
		caught = caught || v.Outcomes[i].Eject()
	}
	return live, passed, caught
}

// deadControl says of a verdict whether it is on an address that has never taken
// a connection, and whether it did now.
func deadControl(v proxy.Verdict) (dead, took bool) {
	for i := range v.Job.Entries {
		e := &v.Job.Entries[i]
		if e.Checks.OK > 0 || e.Checks.Failed < deadFails || e.Error.Stage != proxy.StageConnect {
			return false, false
		}
	}
	for i := range v.Outcomes {
		took = took || v.Outcomes[i].Class == proxy.OK || v.Outcomes[i].Stage > proxy.StageConnect
	}
	return true, took
}

// endSweep ends the sweep if it is time, and decides about what waited for it.
func (c *Checker) endSweep(ctx context.Context, last bool) {
	waited, counts, changed := c.sweeps.end(time.Now(), last)
	for _, d := range waited {
		if counts && ctx.Err() == nil {
			c.deliver(d.verdict)
		} else {
			c.giveBack(d.verdict.Job, sweepNote)
		}
	}
	if why := c.sweeps.doubt(); changed && why != "" {
		c.log.Warn("the sweep is void; nobody fails by it", "why", why)
	} else if changed {
		c.log.Info("sweeps count again")
	}
}

// closedPortTime is how long a port that is closed may take to say so. What
// answers for everybody does so fast; silence is as good as a refusal.
const closedPortTime = time.Second

// lookAtClosedPort connects, once a sweep, to a port that the judge's operator has
// declared closed, on the judge's own host. It must fail; if it does not,
// something on the way accepts every connection, and dead proxies look alive.
func (c *Checker) lookAtClosedPort(ctx context.Context, s *settings, e *examiner, closed []uint16, out *sightingOf) {
	old := e.known()
	if len(closed) == 0 {
		return
	}
	if out.answers, out.answersAt = old.answers, old.answersAt; !old.answersAt.IsZero() && time.Since(old.answersAt) < c.sweeps.every() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(closedPortTime, s.cfg.ConnectTimeout))
	defer cancel()
	port := closed[rand.IntN(len(closed))]
	conn, err := c.direct(ctx, "tcp", net.JoinHostPort(e.to.Host, strconv.Itoa(int(port))))
	if out.answers, out.answersAt = err == nil, time.Now(); err == nil {
		conn.Close()
		c.log.Warn("a port that the judge declares closed accepts connections", "judge", e.masked(), "port", port)
	}
}
