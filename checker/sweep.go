package checker

import (
	"cmp"
	"fmt"
	"sync"
	"time"
)

// A sweep is a minute of checks. What was live before and is checked again in it
// is its control: when nearly all of these fail at once, it is more likely that
// something near us is wrong, though judges answer, than that they all died. Then
// the sweep is void: nobody fails by it. If the next one says the same, it counts.
// What has never taken a connection is its other control: when nearly all of these
// take one, something on the way answers for everybody, and as long as it does
// nobody fails. So it is when a port answers that a judge declares closed.
const (
	sweepTime  = time.Minute
	minControl = 10   // so many must have been checked for their share to mean anything
	deadFails  = 3    // connects that failed, and none that did not, make a port that is known to be dead
	intruded   = 0.9  // void is when more than this part of the dead ports take a connection
	collapse   = 0.25 // void is what has less than this part of the usual share
	usualStep  = 0.2  // how much of the usual share one sweep replaces
	maxVoids   = 5    // so long a sweep without a control of its own takes over the doubt of the one before
	maxHeldBy  = 5000 // failures that wait for the end of a sweep; more are given back
)

// sweeps is the control by what was live before. Its zero value needs begin.
type sweeps struct {
	mu      sync.Mutex // protects the fields below
	length  time.Duration
	began   time.Time // of the present sweep, monotonic
	tested  int       // live ones checked in it
	passed  int
	dead    int     // known dead ports tried in it
	took    int     // of these, that took a connection
	usual   float64 // share of live ones that pass; 0: not known yet
	voids   int     // sweeps in a row that were void
	answers bool    // something answers at a port that is closed
	reason  string  // why the latest sweep was void; "" when it was not
	waiting []doubt // failures that count only if the sweep does
}

// handling is what becomes of a failure.
type handling uint8

const (
	deliverNow handling = iota
	waitForEnd
	giveItBack
)

// note counts what came of one that was live before.
func (w *sweeps) note(passed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tested++
	if passed {
		w.passed++
	}
}

// noteDead counts what came of a port that is known to be dead.
func (w *sweeps) noteDead(took bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead++
	if took {
		w.took++
	}
}

// intruder reports whether something answers that cannot. w.mu is held.
func (w *sweeps) intruder() bool {
	return w.answers || w.dead >= minControl && float64(w.took) > intruded*float64(w.dead)
}

// intrusion says what answers that cannot. w.mu is held.
func (w *sweeps) intrusion() string {
	if w.answers {
		return "connections to a port that is closed succeed: something on the way answers for everybody"
	}
	return fmt.Sprintf("%d of %d ports that were always dead take connections: something on the way answers for everybody", w.took, w.dead)
}

// share returns the part of the control that passed; not ok when it is too small to say.
func (w *sweeps) share() (float64, bool) {
	return float64(w.passed) / float64(max(w.tested, 1)), w.tested >= minControl
}

// sound reports whether the present sweep has shown that it counts.
func (w *sweeps) sound() bool {
	share, ok := w.share()
	return !w.intruder() && ok && share >= collapse*w.usual
}

// handle says what becomes of a failure; live is that of one that was live before,
// took that of a dead port that took a connection. Those wait until the sweep has shown that it counts. The others wait only while
// there is a reason for doubt.
func (w *sweeps) handle(d doubt, live, took bool) handling {
	w.mu.Lock()
	defer w.mu.Unlock()
	share, ok := w.share()
	doubtful := w.intruder() || w.voids > 0 || ok && share < collapse*w.usual
	switch {
	case w.usual == 0 && !doubtful && !took, w.sound(), !live && !took && !doubtful:
		return deliverNow
	case len(w.waiting) >= maxHeldBy:
		return giveItBack
	}
	w.waiting = append(w.waiting, d)
	return waitForEnd
}

// end closes the sweep when it is over, or has shown that it counts, and returns
// what waited: counts says whether as failures or to be given back. Changed is
// true when the reason is another one than before.
func (w *sweeps) end(now time.Time, last bool) (waited []doubt, counts, changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	over := last || now.Sub(w.began) >= w.length
	switch {
	case !over && (len(w.waiting) == 0 || !w.sound()):
		return nil, false, false
	case over:
		counts, changed = w.finish(now)
	default:
		counts = true
	}
	waited, w.waiting = w.waiting, nil
	return waited, counts, changed
}

// finish judges a sweep that is over and begins the next.
func (w *sweeps) finish(now time.Time) (counts, changed bool) {
	before := w.reason
	share, ok := w.share()
	low := ok && share < collapse*w.usual
	switch {
	case w.intruder():
		w.reason = w.intrusion()
	case low && w.voids == 0:
		w.reason = fmt.Sprintf("only %d of %d proxies that were live pass, usually %.0f %% do; the next sweep decides", w.passed, w.tested, 100*w.usual)
	case ok || w.usual == 0 || w.voids == 0 || w.voids >= maxVoids: // in order, or low a second time; a small control decides nothing for a while
		w.reason = ""
	}
	counts = w.reason == ""
	if ok && counts {
		w.learn(share)
	}
	if w.voids++; counts {
		w.voids = 0
	}
	w.began, w.tested, w.passed, w.dead, w.took = now, 0, 0, 0, 0
	return counts, w.reason != before
}

// learn moves the usual share towards that of a sweep that counts; after a collapse that is real, at once.
func (w *sweeps) learn(share float64) {
	if w.usual == 0 || share < collapse*w.usual {
		w.usual = share
	} else {
		w.usual += usualStep * (share - w.usual)
	}
}

// begin starts the first sweep.
func (w *sweeps) begin(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.length == 0 {
		w.length = sweepTime
	}
	w.began, w.tested, w.passed = now, 0, 0
}

// deadPort notes whether the ports that are closed for certain behave so.
func (w *sweeps) deadPort(answers bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = answers
}

// doubt says why failures do not count at present, "" when they do.
func (w *sweeps) doubt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == "" && w.intruder() { // the sweep need not be over to know
		return w.intrusion()
	}
	return w.reason
}

// held returns how many failures wait.
func (w *sweeps) held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// every returns how long a sweep is.
func (w *sweeps) every() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.length, sweepTime)
}

// untilEnd returns how long the present sweep goes on.
func (w *sweeps) untilEnd(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.began.Add(w.length).Sub(now)
}
