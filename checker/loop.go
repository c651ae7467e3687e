package checker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"freeway/dial"
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
	err := c.checkAll(ctx, cancel)
	for _, d := range c.flush(ctx) {
		c.giveBack(d.verdict.Job, voidNote)
	}
	cancel()
	background.Wait()
	c.endSweep(parent, true)
	return err
}

// crew is the checks of one Run.
type crew struct {
	c     *Checker
	scout *dial.Scout    // nil: there is none on this system
	all   sync.WaitGroup // of checks under way
	busy  atomic.Int64   // how many they are
	left  chan struct{}  // one has ended; holds one

	mu     sync.Mutex // protects the fields below
	failed []*check   // of which only that has to be stated
	wanted bool       // somebody does
}

// checkAll checks what the queue hands out until it has ended or ctx has, as many
// at a time as are configured. It returns the queue's error, nil for io.EOF.
func (c *Checker) checkAll(ctx context.Context, cancel context.CancelFunc) error {
	w := &crew{c: c, left: make(chan struct{}, 1)}
	if scout, err := c.scouts(); err == nil {
		w.scout = scout
		defer scout.Close()
		defer context.AfterFunc(ctx, scout.Close)()
	} else {
		c.log.Debug("every check connects for itself", "reason", err)
	}
	defer w.all.Wait()
	for c.ready(ctx) && w.room(ctx) {
		job, err := c.env.Queue.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() == nil:
			cancel()
			return fmt.Errorf("next job: %w", err)
		case err != nil:
			return nil
		case !c.settings.Load().anyUp(): // they went down while this waited
			c.giveBack(job, downNote)
		default:
			w.start(ctx, job)
		}
	}
	return nil
}

// room waits until fewer checks are under way than may be; false when ctx ended before.
func (w *crew) room(ctx context.Context) bool {
	for ctx.Err() == nil {
		changed := w.c.changed()
		if int(w.busy.Load()) < w.c.settings.Load().cfg.Concurrency {
			return true
		}
		select {
		case <-w.left:
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// start begins a check. What needs more than stating that nobody is there goes on by itself.
func (w *crew) start(ctx context.Context, job proxy.Job) {
	w.all.Add(1)
	w.busy.Add(1)
	k := w.c.begin(job)
	goOn := func(quick bool) {
		if quick {
			w.fail(ctx, k)
		} else {
			go w.finish(ctx, k)
		}
	}
	if away, quick := w.c.sendSpared(ctx, k, w.scout, goOn); !away {
		goOn(quick)
	}
}

// fail finishes a check that has failed already. Most do, in crowds, and one goroutine
// for all of them is enough.
func (w *crew) fail(ctx context.Context, k *check) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, k)
	if w.wanted {
		return
	}
	w.wanted = true
	go func() {
		for more := w.take(); len(more) > 0; more = w.take() {
			for _, k := range more {
				w.finish(ctx, k)
			}
		}
	}()
}

// take returns those that have failed; with none, whoever asks has to end.
func (w *crew) take() []*check {
	w.mu.Lock()
	defer w.mu.Unlock()
	failed := w.failed
	w.failed, w.wanted = nil, len(failed) > 0
	return failed
}

// finish does the check, or what the scout has left of it, and delivers the verdict.
// Of one that has failed already it takes microseconds.
func (w *crew) finish(ctx context.Context, k *check) {
	v, d := w.c.spared(ctx, k)
	switch {
	case len(v.Outcomes) == 0:
		w.c.giveBack(k.job, v.Notes...)
		go func() { // we may lack files or memory, which haste does not cure
			sleep(ctx, rest)
			w.leave()
		}()
		return
	case d != nil:
		w.c.hold.add(d)
		w.c.wake()
	default:
		w.c.conclude(v)
	}
	w.leave()
}

// leave gives the place of a check to another one.
func (w *crew) leave() {
	defer w.all.Done()
	w.busy.Add(-1)
	select {
	case w.left <- struct{}{}:
	default:
	}
}

// rest is how long the place of a check that could not be done stays taken.
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
