package proxy

import (
	"math"
	"time"
)

// Health is the evidence on one endpoint: what went well and what did not, each
// counting less as it ages. The zero value knows nothing. It is 20 bytes,
// because there is one per endpoint.
//
// A plain pass ratio is wrong at a random moment, for proxies come and go: one
// that has just failed is checked again within seconds, so its failures would be
// counted several times, and one that was on all day and went off an hour ago
// would still look good. So three things are kept apart, as in a hidden Markov
// model with the states on, off and never (Rabiner 1989): whether the endpoint
// is one that comes and goes at all, whether it is on now, and how many uses
// work while it is on.
type Health struct {
	OK, Fail float32 // successes and failures while it was on, both halved every HalfLife
	At       uint32  // Unix seconds of the last observation; everything is as of then
	Up       float32 // probability that it is on, if it comes and goes
	Odds     float32 // natural logarithm of how much likelier what was seen is if it comes and goes than if it works by luck only
}

// The constants follow the population that reproduces the survival and come-back
// curves of 8,484 sweeps of public lists; TestMonth shows how well.
const (
	// HalfLife is the time after which an observation of how well the endpoint
	// works while on counts half. What an on/off proxy passes changes slowly;
	// four hours made it forget through every pause (scores .1 too low).
	HalfLife = 24 * time.Hour

	// DefaultPrior is the yield assumed of a source that nothing is known of:
	// the median share of working endpoints among listed ones.
	DefaultPrior = 0.017

	// typeHalfLife is after what time half of the evidence that the endpoint
	// comes and goes is forgotten: lists reuse addresses, and some die.
	typeHalfLife = 72 * time.Hour
	// duty is the share of time that those that come and go are on.
	duty = 0.42
	// mixing is in what time it is forgotten whether one was on or off, to 1/e:
	// on for 168 minutes and off for 232 in the mean.
	mixing = 97 * time.Minute
	// usual is the share of uses that work while on, before anything is known;
	// it weighs as much as usualWeight uses.
	usual, usualWeight = 0.6, 1
	// luck is the chance that one works that is off or never on: of all that
	// was never seen working, and of those that were, which are the luckier.
	luckFirst, luckAgain = 0.013, 0.045
	// maxOdds bounds what evidence can pile up, so that it can be outweighed:
	// with them one in 3,000 is what it does not look like.
	maxOdds, minOdds = 8, -20
)

// Observe adds one observation of the given weight, 0 to 1, made at the given
// time, and returns the new state. Observations older than the last one count
// as made then: time never runs backwards here.
func (h Health) Observe(at time.Time, ok bool, weight float32) Health {
	if !(weight > 0) { // also NaN
		return h
	}
	w := float64(min(weight, 1))
	h = h.age(at)
	on, off, lucky := h.likely(ok, w)
	up := float64(h.Up)
	both := up*on + (1-up)*off
	up *= on / both
	h.Up = float32(up)
	h.Odds = float32(min(max(float64(h.Odds)+math.Log(both/lucky), minOdds), maxOdds))
	if ok {
		h.OK += float32(w * up)
	} else {
		h.Fail += float32(w * up) // a failure while off says nothing about when it is on
	}
	return h
}

// likely says how likely an observation is when the endpoint is on, when it is
// off, and when it works by luck only, each to the power of its weight.
func (h Health) likely(ok bool, weight float64) (on, off, lucky float64) {
	on, off, lucky = h.rate(usual), luckAgain, h.lucky()
	if !ok {
		on, off, lucky = 1-on, 1-off, 1-lucky
	}
	return math.Pow(on, weight), math.Pow(off, weight), math.Pow(lucky, weight)
}

// Withdraw takes back a failure of the given weight, 0 to 1, that was observed
// at the given time: it turned out to be somebody else's. It is exact when the
// failure was the last observation, and near that soon after.
func (h Health) Withdraw(at time.Time, weight float32) Health {
	if !(weight > 0) || h.At == 0 {
		return h
	}
	w := float64(min(weight, 1))
	since := max(float64(h.At)-float64(clampUnix(at)), 0)
	up := float64(h.Up)
	h.Fail = max(h.Fail-float32(w*up*math.Exp2(-since/HalfLife.Seconds())), 0)
	on, off, lucky := h.likely(false, w)
	before := up / on / (up/on + (1-up)/off)
	h.Up = float32(up + (before-up)*math.Exp(-since/mixing.Seconds()))
	seen := math.Log((before*on + (1-before)*off) / lucky)
	h.Odds = float32(min(float64(h.Odds)-seen*math.Exp2(-since/typeHalfLife.Seconds()), maxOdds))
	return h
}

// Score is the estimated probability, 0 to 1, that a use at now works, whenever
// that is. prior is the yield of the source, the share of its endpoints that
// work at any moment; up to .27 it is the score of one that nothing is known of.
func (h Health) Score(now time.Time, prior float64) float64 {
	if !(prior >= 0) {
		prior = DefaultPrior
	}
	prior = min(prior, 1)
	h = h.age(now)
	comes, lucky := h.comes(prior), h.lucky()
	if h.OK == 0 {
		lucky = luckOf(prior)
	}
	up := float64(h.Up)
	return comes*(up*h.rate(max(usual, prior))+(1-up)*luckAgain) + (1-comes)*lucky
}

// Comes is the probability at now that the endpoint is one that comes and goes
// or stays, and does not only work by luck. prior is that of Score.
func (h Health) Comes(now time.Time, prior float64) float64 { return h.age(now).comes(prior) }

// On is the probability at now that the endpoint is on, if it comes and goes.
func (h Health) On(now time.Time) float64 { return float64(h.age(now).Up) }

// Rate is the share of uses, 0 to 1, that are expected to work while it is on.
// prior is that of Score.
func (h Health) Rate(now time.Time, prior float64) float64 {
	return h.age(now).rate(max(usual, min(prior, 1)))
}

// Weight returns how much evidence there is at now on how well the endpoint
// works while it is on, in observations.
func (h Health) Weight(now time.Time) float64 {
	d := h.age(now)
	return float64(d.OK) + float64(d.Fail)
}

// comes turns the yield of the source into the share of those that come and go,
// and lays the evidence over it.
func (h Health) comes(prior float64) float64 {
	l := luckOf(prior)
	share := min((prior-l)/(duty*usual+(1-duty)*luckAgain-l), 0.98)
	odds := share / (1 - share) * math.Exp(float64(h.Odds))
	return odds / (1 + odds)
}

// luckOf is the part of a yield that is luck: of poor sources two thirds.
func luckOf(prior float64) float64 { return min(luckFirst, prior*2/3) }

// lucky is the chance that it works though it is never on.
func (h Health) lucky() float64 {
	if h.OK == 0 {
		return luckFirst
	}
	return luckAgain
}

// rate is the Beta posterior mean of how many uses work while it is on.
func (h Health) rate(before float64) float64 {
	ok, fail := float64(h.OK), float64(h.Fail)
	return min(max((ok+usualWeight*before)/(ok+fail+usualWeight), 2*luckAgain), 0.995)
}

// age makes everything as of at, if that is later than the last observation.
func (h Health) age(at time.Time) Health {
	t := clampUnix(at)
	if h.At == 0 {
		h.Up, h.At = duty, max(t, 1)
		return h
	}
	if t <= h.At {
		return h
	}
	f := fadeAfter(t - h.At)
	h.OK *= float32(f.counts)
	h.Fail *= float32(f.counts)
	h.Up = duty + (h.Up-duty)*float32(f.on)
	h.Odds *= float32(f.kind)
	h.At = t
	return h
}

// Restored is the state of which only the counts are known, as older stores
// kept them.
func Restored(ok, fail float32, at uint32) Health {
	h := Health{OK: ok, Fail: fail, At: at, Up: duty}
	if n := ok + fail; at != 0 && n > 0 {
		h.Up = ok / n
		h.Odds = min(2*ok, maxOdds) - min(fail, maxOdds)/4
	}
	return h
}

func clampUnix(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}
