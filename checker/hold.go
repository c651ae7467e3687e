package checker

import (
	"context"
	"slices"
	"sync"
	"time"

	"freeway/proxy"
)

// doubt is a verdict that may be the fault of somebody else than the proxy.
type doubt struct {
	verdict proxy.Verdict
	at      time.Time     // when the check ended, monotonic
	judges  []*examiner   // who must have been up afterwards
	network bool          // somebody must have been reachable afterwards
	excuses []func() bool // what afterwards shows that it was not the proxy
}

// ruling is what direct requests say about a doubt.
type ruling uint8

const (
	undecided ruling = iota
	confirmed        // judges and network are in order, so it was the proxy
	refuted          // they are not: nothing can be said
)

// rulings is what direct requests have shown, looked up once for many doubts.
type rulings map[*examiner]struct {
	asked time.Time
	up    bool
}

// of says what they tell about a moment, as ruling does.
func (r rulings) of(e *examiner, moment time.Time) (decided, up bool) {
	is, ok := r[e]
	if !ok {
		is.asked, is.up = e.ruling()
		r[e] = is
	}
	return is.asked.After(moment), is.up
}

// rule looks at the direct requests that began after the check ended. One
// judge that answers shows that the network works, too.
func (d *doubt) rule(s *settings, known rulings) ruling {
	out := confirmed
	for _, e := range d.judges {
		if !slices.Contains(s.judges, e) {
			return refuted // replaced meanwhile: nobody asks it again
		}
		switch decided, up := known.of(e, d.at); {
		case decided && !up:
			return refuted
		case !decided:
			out = undecided
		}
	}
	if out == confirmed && slices.ContainsFunc(d.excuses, func(excuse func() bool) bool { return excuse() }) {
		return refuted
	}
	if !d.network || len(d.judges) > 0 {
		return out
	}
	out = refuted
	for _, e := range s.judges {
		switch decided, up := known.of(e, d.at); {
		case decided && up:
			return confirmed
		case !decided:
			out = undecided
		}
	}
	return out
}

// wants returns the judges that must be asked to decide it.
func (d *doubt) wants(s *settings) []*examiner {
	if len(d.judges) > 0 {
		return d.judges
	}
	// Any will do for the network: one that has not spoken yet, is up, and rather one of our own.
	best := s.judges[:min(1, len(s.judges))]
	rank := -1
	for i, e := range s.judges {
		n := 0
		if asked, _ := e.ruling(); !asked.After(d.at) {
			n += 4
		}
		if e.isUp() {
			n += 2
		}
		if !e.limited() {
			n++
		}
		if n > rank {
			best, rank = s.judges[i:i+1], n
		}
	}
	return best
}

// hold keeps doubts until they are decided. Its zero value is empty.
type hold struct {
	mu    sync.Mutex // protects the field below
	queue []*doubt
}

// add takes a doubt in; control must be woken afterwards.
func (h *hold) add(d *doubt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queue = append(h.queue, d)
}

// len returns how many doubts are held.
func (h *hold) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue)
}

// wanted returns the judges that doubts wait for.
func (h *hold) wanted(s *settings) map[*examiner]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[*examiner]bool{}
	var network *doubt
	for i := range h.queue {
		if d := h.queue[i]; len(d.judges) == 0 {
			network = d
		} else {
			for _, e := range d.judges {
				out[e] = true
			}
		}
	}
	if network != nil {
		for _, e := range network.wants(s) {
			out[e] = true
		}
	}
	return out
}

// take removes and returns the doubts that are decided.
func (h *hold) take(s *settings) (good, bad []*doubt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := h.queue[:0]
	known := rulings{}
	for _, d := range h.queue {
		switch d.rule(s, known) {
		case confirmed:
			good = append(good, d)
		case refuted:
			bad = append(bad, d)
		default:
			rest = append(rest, d)
		}
	}
	clear(h.queue[len(rest):])
	h.queue = rest
	return good, bad
}

// empty removes and returns everything.
func (h *hold) empty() []*doubt {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.queue
	h.queue = nil
	return all
}

// settle asks the judges about one doubt at once and waits for the answer.
func (c *Checker) settle(ctx context.Context, d *doubt) ruling {
	for ctx.Err() == nil {
		s := c.settings.Load()
		if r := d.rule(s, rulings{}); r != undecided {
			return r
		}
		wanted := d.wants(s)
		c.round(ctx, s, func(e *examiner) bool { return slices.Contains(wanted, e) }, d.at)
	}
	return refuted
}

// pulse notices when this process did not run for a while, for example because
// its machine was paused: then deadlines passed that nobody could keep.
type pulse struct {
	mu    sync.Mutex // protects the fields below
	last  time.Time  // the latest beat
	end   time.Time  // of the latest pause
	begin time.Time
}

const (
	beat  = 250 * time.Millisecond
	pause = 2 * time.Second // between two beats: more than any scheduler takes
)

// tick notes a beat.
func (p *pulse) tick(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && now.Sub(p.last) > pause {
		p.begin, p.end = p.last, now
	}
	p.last = now
}

// missed reports whether there was a pause between two moments, the one that
// nobody has noticed yet included.
func (p *pulse) missed(from, to time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && to.Sub(p.last) > pause {
		return true
	}
	return p.end.After(from) && p.begin.Before(to)
}

// beatUntil ticks until ctx ends; afterwards the pulse knows of no beat.
func (p *pulse) beatUntil(ctx context.Context) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		p.tick(time.Now())
		select {
		case <-t.C:
		case <-ctx.Done():
			p.mu.Lock()
			p.last = time.Time{}
			p.mu.Unlock()
			return
		}
	}
}
