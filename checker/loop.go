package checker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"freeway/internal/judge"
	"freeway/proxy"
)

// Run checks what the queue hands out until it says io.EOF, which gives nil, or
// ctx ends, which gives nil as well and returns unfinished jobs unjudged. It
// waits for all that it started.
func (c *Checker) Run(ctx context.Context) error {
	if c.env.Queue == nil {
		return errors.New("checker: no queue")
	}
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	var background sync.WaitGroup
	c.sweeps.begin(time.Now())
	background.Go(func() { c.pulse.beatUntil(ctx) })
	background.Go(func() { c.control(ctx) })
	err := c.crew(ctx, cancel)
	for _, d := range c.flush(ctx) {
		c.giveBack(d.verdict.Job, voidNote)
	}
	cancel()
	background.Wait()
	c.endSweep(parent, true)
	return err
}

// crew keeps as many workers as are configured until the queue has ended or ctx has.
func (c *Checker) crew(ctx context.Context, cancel context.CancelFunc) error {
	type end struct {
		id  int
		err error
	}
	ended := make(chan end)
	working := map[int]bool{}
	var failed error
	over := false
	for {
		changed := c.changed()
		for id := range c.settings.Load().cfg.Concurrency {
			if over || len(working) >= c.settings.Load().cfg.Concurrency {
				break
			}
			if !working[id] {
				working[id] = true
				go func() { ended <- end{id, c.work(ctx, id)} }()
			}
		}
		if len(working) == 0 {
			return failed
		}
		select {
		case <-changed:
		case e := <-ended:
			delete(working, e.id)
			over = over || ctx.Err() != nil || errors.Is(e.err, io.EOF)
			if e.err != nil && !errors.Is(e.err, io.EOF) && ctx.Err() == nil {
				failed = fmt.Errorf("next job: %w", e.err)
				over = true
				cancel()
			}
		}
	}
}

// work is one worker: it ends with nil when it is surplus or ctx has ended, else with the queue's error.
func (c *Checker) work(ctx context.Context, id int) error {
	for c.ready(ctx) && id < c.settings.Load().cfg.Concurrency {
		job, err := c.env.Queue.Next(ctx)
		if err != nil {
			return err
		}
		if !c.settings.Load().anyUp() { // they went down while this waited
			c.giveBack(job, downNote)
			continue
		}
		v, d := c.spared(ctx, job)
		switch {
		case len(v.Outcomes) == 0:
			c.giveBack(job, v.Notes...)
			sleep(ctx, rest) // we may lack files or memory, which haste does not cure
		case d != nil:
			c.hold.add(d)
			c.wake()
		default:
			c.conclude(v)
		}
	}
	return nil
}

// rest is how long a worker pauses after a check that could not be done.
const rest = 100 * time.Millisecond

// ready waits until there is a judge to check with; false when ctx ended before.
func (c *Checker) ready(ctx context.Context) bool {
	for ctx.Err() == nil {
		changed := c.changed()
		if c.settings.Load().ready() {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// deliver counts a verdict and gives up the claim with it.
func (c *Checker) deliver(v proxy.Verdict) {
	c.count(v)
	c.env.Queue.Report(v)
}

// giveBack gives up a claim without a judgement.
func (c *Checker) giveBack(job proxy.Job, notes ...string) {
	c.deliver(proxy.Verdict{Job: job, Notes: notes})
}

// flush waits until nothing is held any more; what is left when ctx ends it returns.
func (c *Checker) flush(ctx context.Context) []*doubt {
	for ctx.Err() == nil && c.hold.len() > 0 {
		changed := c.changed()
		c.wake()
		if c.hold.len() == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return c.hold.empty()
}

// control asks the judges directly whenever they are due, and decides with
// their answers about the failures that are held.
func (c *Checker) control(ctx context.Context) {
	for ctx.Err() == nil {
		s := c.settings.Load()
		wanted := c.hold.wanted(s)
		now := time.Now()
		c.round(ctx, s, func(e *examiner) bool { return !e.due(wanted[e]).After(now) }, now)
		if ctx.Err() != nil {
			return
		}
		c.decide(s)
		c.endSweep(ctx, false)
		timer := time.NewTimer(max(min(c.untilDue(s), c.sweeps.untilEnd(time.Now())), time.Millisecond))
		select {
		case <-timer.C:
		case <-c.kick:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// untilDue returns how long no judge needs to be asked, nothing more being held by then.
func (c *Checker) untilDue(s *settings) time.Duration {
	wanted := c.hold.wanted(s)
	next := time.Now().Add(probeUp)
	for _, e := range s.judges {
		if due := e.due(wanted[e]); due.Before(next) {
			next = due
		}
	}
	return time.Until(next)
}

// round asks the judges that which selects, all at the same time, unless they
// have been asked since.
func (c *Checker) round(ctx context.Context, s *settings, which func(*examiner) bool, since time.Time) {
	var all sync.WaitGroup
	for _, e := range s.judges {
		if which(e) {
			all.Go(func() { c.probe(ctx, s, e, since) })
		}
	}
	all.Wait()
}

// decide reports the failures about which the judges have spoken.
func (c *Checker) decide(s *settings) {
	good, bad := c.hold.take(s)
	for _, d := range good {
		c.conclude(d.verdict)
	}
	for _, d := range bad {
		c.giveBack(d.verdict.Job, voidNote)
	}
	if len(good)+len(bad) > 0 {
		c.mu.Lock()
		c.broadcast()
		c.mu.Unlock()
	}
}

// noticed takes over what a direct request has shown and tells who waits for it.
func (c *Checker) noticed(s *settings) {
	var seen []sighting
	up, answers := false, false
	for _, e := range s.judges {
		answers = answers || e.isUp() && e.known().answers
		if k := e.known(); e.isUp() {
			up = true
			seen = append(seen, sighting{k.self, e.operator(), k.kind == judge.Own})
		}
	}
	c.sweeps.deadPort(answers)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own.Store(c.own.Load().learn(s.cfg.OwnIPs, seen, s.operators()))
	if c.frozen == up && (up || s.asked()) {
		c.frozen = !up
		if up {
			c.log.Info("judges answer again; checking goes on")
		} else {
			c.log.Warn("no judge answers directly; nothing is checked until one does", "reason", frozenReason(s.status()))
		}
	}
	c.broadcast()
}

// changed returns a channel that is closed at the next change.
func (c *Checker) changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.change
}

// broadcast wakes all who wait for a change. c.mu is held.
func (c *Checker) broadcast() {
	close(c.change)
	c.change = make(chan struct{})
}

// wake makes control look again.
func (c *Checker) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}
