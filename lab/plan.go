package lab

import (
	"math"
	"math/rand/v2"
	"time"
)

// sweep is the step of schedules in lab time: the interval of the sweeps over
// public proxies in which the figures below were measured.
const sweep = 12 * time.Minute

// plan is when an upstream is up: for each sweep yes or no, drawn one after the
// other. It is used by one goroutine at a time, and time does not run backwards.
type plan struct {
	rng   *rand.Rand
	start time.Time     // when sweep 0 begins, real time
	step  time.Duration // length of a sweep in real time
	now   int64         // the sweep of the fields below
	isUp  bool
	since int64 // the first of the sweeps with the same answer as now

	kind  Behaviour
	life  float64 // sweeps until it is gone for good
	p     float64 // chance to pass a sweep while on
	on    bool    // state of OnOff
	shot  int64   // the sweep of OneShot
	phase float64 // part of a sweep by which this upstream's sweeps are shifted
}

// Means of the population model, in sweeps.
const (
	meanOn       = 14.0
	duty         = 0.42
	lifeStable   = 37 * 24 * 5.0 // 37 days
	lifeOnOff    = 2600.0
	lifeFlapper  = 2000.0
	passStable   = 0.97
	afterPass    = 0.05
	oneShotRange = 60 // the single pass is in one of the first so many sweeps
)

// newPlan draws the life of one upstream; kinds without a schedule have none.
func newPlan(kind Behaviour, rng *rand.Rand) *plan {
	p := &plan{rng: rng, kind: kind, phase: rng.Float64(), life: math.Inf(1), now: -1}
	switch kind {
	case Stable:
		p.life, p.p = lifeStable*rng.ExpFloat64(), passStable
	case OnOff:
		p.life, p.p, p.on = lifeOnOff*rng.ExpFloat64(), beta(rng, 5, 2.2), rng.Float64() < duty
	case Flapping:
		p.life, p.p = lifeFlapper*rng.ExpFloat64(), beta(rng, 0.8, 24)
	case OneShot:
		p.shot = rng.Int64N(oneShotRange)
	}
	return p
}

// begin fixes the plan in real time, at a speed. Sweep 0 began before start by the phase.
func (p *plan) begin(start time.Time, speed float64) {
	p.step = max(time.Duration(float64(sweep)/speed), time.Millisecond)
	p.start = start.Add(-time.Duration(p.phase * float64(p.step)))
	p.advance(start)
}

// at reports whether it is up at a time, and since when it has been so.
func (p *plan) at(t time.Time) (bool, time.Time) {
	p.advance(t)
	return p.isUp, p.start.Add(time.Duration(p.since) * p.step)
}

// advance draws all sweeps up to a time.
func (p *plan) advance(t time.Time) {
	for k := int64(t.Sub(p.start) / p.step); p.now < k; {
		p.now++
		if up := p.draw(); up != p.isUp || p.now == 0 {
			p.isUp, p.since = up, p.now
		}
	}
}

// draw decides about sweep p.now.
func (p *plan) draw() bool {
	x := p.rng.Float64()
	if float64(p.now) >= p.life {
		return false
	}
	switch p.kind {
	case OneShot:
		return p.now == p.shot
	case Flapping:
		if p.isUp {
			return x < p.p+afterPass
		}
	case OnOff:
		leave := 1 / meanOn
		if !p.on {
			leave = duty / (1 - duty) / meanOn
		}
		if p.rng.Float64() < leave {
			p.on = !p.on
		}
		return p.on && x < p.p
	}
	return x < p.p
}

// beta draws from the Beta distribution.
func beta(rng *rand.Rand, a, b float64) float64 {
	x, y := gamma(rng, a), gamma(rng, b)
	return x / (x + y)
}

// gamma draws from the Gamma distribution with scale 1 (Marsaglia and Tsang 2000).
func gamma(rng *rand.Rand, a float64) float64 {
	if a < 1 {
		return gamma(rng, a+1) * math.Pow(1-rng.Float64(), 1/a)
	}
	d := a - 1.0/3
	for {
		x := rng.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
