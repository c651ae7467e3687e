package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// What is demanded.
const (
	maxGrowth  = .05              // of the heap after collections, an hour
	longEnough = 15 * time.Minute // of load, before which no growth can be excluded
	maxSlower  = 1.25             // p99 of the last third to that of the first
	enough     = 1000             // requests in each third, for a p99
	minRight   = .95              // of the requests
)

// run has the load from its beginning to its end.
func (s *bench) run(ctx context.Context) (err error) {
	rest := 10
	if s.o.load < time.Minute {
		rest = 3
	}
	s.zero = time.Now()
	if s.before, err = s.rest(ctx, rest); err != nil {
		return err
	}
	warm := s.o.load / 5
	s.tally = tally{began: time.Now(), warm: warm, part: (s.o.load - warm) / thirds, why: map[string]int{}, kinds: map[string]int{}}
	s.zero = s.tally.began.Add(warm)
	fmt.Printf("%d clients, %.0f requests a second for %v, the first %v to warm up; %d upstreams; at rest %d goroutines, %d descriptors\n",
		s.o.connections, s.o.rate, s.o.load, warm, s.o.upstreams, s.before.goroutines, s.before.descriptors)
	if _, err := s.ask("churn"); err != nil {
		return err
	}
	loaded, cancel := context.WithTimeout(ctx, s.o.load)
	defer cancel()
	warmed := time.AfterFunc(warm, func() { s.heapProfile("heap-warm.pb.gz") })
	defer warmed.Stop()
	running(loaded, s.crowd, s.watch, s.reloads, s.renewals, s.calms)
	return errors.Join(ctx.Err(), s.finish(ctx))
}

// finish looks at what is left of the load, and ends the server.
func (s *bench) finish(ctx context.Context) (err error) {
	note(s.tally.began, "the load is over")
	s.keepSamples()
	s.heapProfile("heap-end.pb.gz")
	if s.ended.world, err = s.ask("report"); err != nil {
		return fmt.Errorf("the world: %w", err)
	}
	if s.after, err = s.settle(ctx); err != nil {
		return err
	}
	note(s.tally.began, "settled")
	s.profile("goroutines.txt", "/debug/pprof/goroutine?debug=1")
	text, err := s.get("/metrics")
	if err != nil {
		return err
	}
	s.ended.counted = int(metric(text, "freeway_config_reloads_total", `"ok"`))
	s.ended.uncaught = int(metric(text, "freeway_config_reloads_total", `"failed"`))
	s.ended.exit = s.server.end()
	note(s.tally.began, "the server has ended")
	return nil
}

// verdict is one line of the result.
type verdict struct {
	ok   bool
	text string
}

// judge prints the verdicts and returns an error when one fails.
func (s *bench) judge() error {
	fmt.Println()
	for _, why := range s.tally.reasons(8) {
		fmt.Println("failed", why)
	}
	fmt.Println("right ", s.tally.kinds)
	fmt.Println()
	failed := 0
	for _, v := range []verdict{s.answers(), s.content(), s.direct(), s.goroutines(), s.descriptors(), s.growth(), s.p99(), s.changes(), s.exit()} {
		word := "ok    "
		if !v.ok {
			word = "FAILED"
			failed++
		}
		fmt.Println(word, v.text)
	}
	if failed > 0 {
		s.keep = true
		return fmt.Errorf("%d verdicts failed; logs and profiles are in %s", failed, s.dir)
	}
	return nil
}

// answers: the load was real.
func (s *bench) answers() verdict {
	n := s.tally.sum()
	return verdict{n.since(summary{}) >= minRight && s.ended.world.Requests > 0,
		fmt.Sprintf("%d requests right, %d failed: %.2f %% right (at least %.0f %%); %d reached a target, while upstreams died or came back %d times",
			n.right, n.failed, 100*n.since(summary{}), 100*minRight, s.ended.world.Requests, s.ended.world.Switched)}
}

// content: nobody was given what the target had not said.
func (s *bench) content() verdict {
	return verdict{s.tally.wrong == 0 && s.tally.moved == 0 && s.ended.world.Duplicates == 0,
		fmt.Sprintf("%d wrong answers, %d sessions that moved without a word, %d bodies that came twice (none)", s.tally.wrong, s.tally.moved, s.ended.world.Duplicates)}
}

// direct: nothing went past the upstreams.
func (s *bench) direct() verdict {
	return verdict{s.ended.world.Direct == 0, fmt.Sprintf("%d direct connections to targets (none)", s.ended.world.Direct)}
}

// goroutines are back where they were without load.
func (s *bench) goroutines() verdict {
	return verdict{s.after.goroutines <= s.before.goroutines+slack,
		fmt.Sprintf("goroutines: %d at rest before, %d after (at most %d more)", s.before.goroutines, s.after.goroutines, slack)}
}

// descriptors are back where they were without load.
func (s *bench) descriptors() verdict {
	return verdict{s.after.descriptors <= s.before.descriptors+slack,
		fmt.Sprintf("descriptors: %d at rest before, %d after (at most %d more)", s.before.descriptors, s.after.descriptors, slack)}
}

// growth: the heap after collections does not grow by more than maxGrowth. That
// is shown when the upper end of the 95 % interval of the slope is not above
// it. To fail only when the lower end is above would let noise excuse a leak,
// so an interval that holds the limit fails as well: run longer. The width
// shrinks with the length of the run to the power of 3/2, so a short run can
// show nothing of the kind; it fails only where growth beyond the limit is certain
// even after the time to warm up, and below a minute is not judged.
func (s *bench) growth() verdict {
	var heap, rss []point
	for _, x := range s.samples {
		heap, rss = append(heap, point{x.at, x.heap}), append(rss, point{x.at, x.rss})
	}
	length := s.o.load - s.o.load/5
	h, ok := slopeOf(heap, length)
	r, _ := slopeOf(rss, length)
	text := fmt.Sprintf("heap after collections: %.1f MiB, %+.2f %% an hour, 95 %% interval %+.2f to %+.2f (at most %+.0f); resident %+.2f %% an hour (not judged)",
		h.mean/(1<<20), 100*h.slope, 100*h.low, 100*h.high, 100*maxGrowth, 100*r.slope)
	switch {
	case s.o.load < time.Minute:
		return verdict{true, text + "; not judged: under a minute"}
	case !ok:
		return verdict{false, text + "; samples are missing"}
	case s.o.load < longEnough:
		return verdict{h.low <= maxGrowth, text + "; too short to exclude growth"}
	}
	return verdict{h.high <= maxGrowth, text}
}

// p99 of the last third against the first. What the machine itself became
// slower by is allowed for: the same requests straight through upstreams
// that always work show it.
func (s *bench) p99() verdict {
	var p, c [thirds]time.Duration
	least := math.MaxInt
	for i := range p {
		p[i], c[i] = quantile(s.tally.took[i], .99), quantile(s.tally.control[i], .99)
		least = min(least, len(s.tally.took[i]))
	}
	ratio, machine := float64(p[thirds-1])/float64(max(p[0], 1)), float64(c[thirds-1])/float64(max(c[0], 1))
	text := fmt.Sprintf("p99 by thirds: %v %v %v, last to first %.2f (at most %.2f); without the gateway %v %v %v, %.2f",
		ms(p[0]), ms(p[1]), ms(p[2]), ratio, maxSlower, ms(c[0]), ms(c[1]), ms(c[2]), machine)
	if least < enough {
		return verdict{true, text + fmt.Sprintf("; not judged: fewer than %d requests in a third", enough)}
	}
	return verdict{ratio <= maxSlower*max(1, machine), text}
}

// ms rounds for people.
func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// changes: reloads and certificates came into force. One may be missed where
// two come close together on a machine that has much to do.
func (s *bench) changes() verdict {
	e := s.ended
	return verdict{e.counted >= e.reloads*8/10 && e.counted > 0 && e.uncaught >= e.refused*8/10 && e.served >= e.renewed*8/10 && e.served > 0,
		fmt.Sprintf("%d configurations changed, %d taken up; %d bad ones, %d refused; %d certificates renewed, %d served",
			e.reloads, e.counted, e.refused, e.uncaught, e.renewed, e.served)}
}

// exit: it ends in order, in time.
func (s *bench) exit() verdict {
	if s.ended.exit != nil {
		return verdict{false, "SIGTERM: " + s.ended.exit.Error()}
	}
	return verdict{true, "SIGTERM: exit code 0"}
}
