package pool_test

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"freeway/proxy"
)

// The population model: what reproduces the survival, flapping and come-back
// curves that were measured from the histories of public lists. Its unit of
// time is a sweep of 12 minutes.

const sweepTime = 12 * time.Minute

type kind uint8

const (
	stable  kind = iota // a server: passes 97 %, lives 37 days
	onOff               // on for 14 sweeps in the mean, on 42 % of the time
	flapper             // works now and then
	oneShot             // works within one sweep and never again
	dead
	kinds
)

// perKind is how many of each there are at a time.
var perKind = [kinds]int{30, 420, 9500, 2600, 14_450}

// node is one listed endpoint with its true nature.
type node struct {
	ep     proxy.Endpoint
	kind   kind
	pass   float64 // chance of a use to work while on
	dies   time.Time
	on     bool // of onOff: works now
	flips  time.Time
	slot   int64 // of flapper: the sweep that worked is for
	worked bool  // of flapper: the latest try of an earlier sweep passed
	now    bool  // of flapper: the latest try of this sweep passed
	farm   int
	took   time.Duration // what a success takes
	good   bool          // on the better list, too
}

// nature is the world that is checked and used.
type nature struct {
	rng   *rand.Rand
	now   time.Time
	nodes []*node
	by    map[proxy.Endpoint]*node
	made  uint32
	down  map[int]time.Time // farms that are cut off, until when
	noisy map[int64]bool    // sweeps in which the checker's own uplink fails half the time
}

// newNature makes a world of one n-th of the population, in the middle of its life.
func newNature(seed uint64, start time.Time, nth int) *nature {
	w := &nature{rng: rand.New(rand.NewPCG(seed, 1)), now: start, by: map[proxy.Endpoint]*node{}, down: map[int]time.Time{}, noisy: map[int64]bool{}}
	for k := range kinds {
		for range perKind[k] / nth {
			w.add(k)
		}
	}
	return w
}

// after draws an exponential time with a mean in sweeps.
func (w *nature) after(sweeps float64) time.Duration {
	return time.Duration(w.rng.ExpFloat64() * sweeps * float64(sweepTime))
}

// add makes one more of a kind.
func (w *nature) add(k kind) {
	w.made++
	addr := netip.AddrFrom4([4]byte{byte(20 + w.made>>16), byte(w.made >> 8), byte(w.made), 1})
	n := &node{ep: proxy.Endpoint{Protocol: proxy.HTTP, Host: addr.String(), Port: 8080}, kind: k}
	// Farms have Zipf's sizes: the r-th largest has one r-th of the largest.
	n.farm = int(math.Exp(w.rng.Float64() * math.Log(2000)))
	switch k {
	case stable:
		n.pass, n.dies = .97, w.now.Add(w.after(37*24*5))
	case onOff:
		n.pass, n.dies = w.beta(5, 2.2), w.now.Add(w.after(2600))
		n.on = w.rng.Float64() < .42
		n.flips = w.now.Add(w.after(n.meanStay()))
	case flapper:
		n.pass, n.dies = w.beta(.8, 24), w.now.Add(w.after(2000))
	case oneShot:
		n.pass, n.dies = 1, w.now.Add(time.Duration(w.rng.Float64()*float64(30*24*time.Hour)))
	case dead:
		n.dies = w.now.Add(w.after(2000))
	}
	n.took = time.Duration(min(2.6*math.Exp(.75*w.rng.NormFloat64()), 10) * float64(time.Second))
	n.good = k != dead && k != oneShot && w.rng.Float64() < .44 || w.rng.Float64() < .02
	w.nodes = append(w.nodes, n)
	w.by[n.ep] = n
}

// meanStay is how long one that goes on and off stays as it is, in sweeps.
func (n *node) meanStay() float64 {
	if n.on {
		return 14
	}
	return 14 * (1 - .42) / .42
}

// beta draws from a Beta distribution as the ratio of two Gamma variables.
func (w *nature) beta(a, b float64) float64 {
	x, y := w.gamma(a), w.gamma(b)
	return x / (x + y)
}

// gamma is the method of Marsaglia and Tsang (2000).
func (w *nature) gamma(a float64) float64 {
	if a < 1 {
		return w.gamma(a+1) * math.Pow(w.rng.Float64(), 1/a)
	}
	d := a - 1./3
	for {
		x := w.rng.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(w.rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// works tries an endpoint now.
func (w *nature) works(n *node) bool {
	if w.now.After(n.dies) || n.farm > 0 && w.now.Before(w.down[n.farm]) {
		return false
	}
	switch n.kind {
	case stable:
		return w.rng.Float64() < n.pass
	case onOff:
		for w.now.After(n.flips) {
			n.on = !n.on
			n.flips = n.flips.Add(w.after(n.meanStay()))
		}
		return n.on && w.rng.Float64() < n.pass
	case flapper:
		p := n.pass
		at := w.now.Unix() / int64(sweepTime/time.Second)
		if at != n.slot {
			n.worked = n.now && at == n.slot+1
			n.slot, n.now = at, false
		}
		if n.worked {
			p += .05
		}
		n.now = w.rng.Float64() < p
		return n.now
	case oneShot:
		return n.dies.Sub(w.now) < sweepTime
	}
	return false
}

// checks tries an endpoint as the checker does, whose own uplink fails half the
// time in one sweep of twenty. In four of five of those the controls say so,
// and the sweep is void.
func (w *nature) checks(n *node) (ok, void bool) {
	at := w.now.Unix() / int64(sweepTime/time.Second)
	noisy, drawn := w.noisy[at]
	if !drawn {
		noisy = w.rng.Float64() < .05
		w.noisy[at] = noisy
	}
	if noisy && at%5 != 0 {
		return false, true
	}
	ok = w.works(n)
	return ok && !(noisy && w.rng.Float64() < .5), false
}

// turn lets three hours pass for the population: who has died is replaced, and
// three farms of a hundred are cut off for an hour.
func (w *nature) turn() {
	kept := w.nodes[:0]
	var born [kinds]int
	for _, n := range w.nodes {
		if w.now.Sub(n.dies) < 24*time.Hour { // lists name the dead for a day
			kept = append(kept, n)
			continue
		}
		delete(w.by, n.ep)
		born[n.kind]++
	}
	w.nodes = kept
	for k := range kinds {
		for range born[k] {
			w.add(k)
		}
	}
	for f := 1; f <= 2000; f++ {
		if w.rng.Float64() < .03 {
			w.down[f] = w.now.Add(time.Hour)
		}
	}
}
