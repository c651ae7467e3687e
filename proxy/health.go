package proxy

import (
	"math"
	"time"
)

// Health is the decayed count of what went well and what did not. The zero
// value knows nothing. It is 12 bytes, because there is one per endpoint.
type Health struct {
	OK, Fail float32 // weights of observations, both halved every HalfLife
	At       uint32  // Unix seconds of the last observation; the counts are as of then
}

const (
	// HalfLife is the time after which an observation counts half. Pass ratios
	// over 48 sweeps of 12 minutes predict the next pass almost as they are
	// (measured on 8,484 sweeps of public lists): a window of 9.6 hours, which
	// an exponential with this half-life matches in mean age (half-life = ln 2 · 4.8 h).
	HalfLife = 200 * time.Minute

	// PriorWeight is how many observations the prior is worth. With the median
	// yield of public lists (1.7 %) it gives .34, .61 and .72 after one, three
	// and five passes in a row; measured are .18-.34, .55 and .77.
	PriorWeight = 2

	// DefaultPrior is the yield assumed of a source that nothing is known of:
	// the median share of working endpoints among listed ones.
	DefaultPrior = 0.017
)

// Observe adds one observation of the given weight, 0 to 1, made at the given
// time, and returns the new state. Observations older than the last one count
// as made then: time never runs backwards here.
func (h Health) Observe(at time.Time, ok bool, weight float32) Health {
	if !(weight > 0) { // also NaN
		return h
	}
	weight = min(weight, 1)
	h = h.decay(at)
	if ok {
		h.OK += weight
	} else {
		h.Fail += weight
	}
	return h
}

// Withdraw takes back a failure of the given weight, 0 to 1, that was observed
// at the given time: it turned out to be somebody else's.
func (h Health) Withdraw(at time.Time, weight float32) Health {
	if !(weight > 0) {
		return h
	}
	fail := Health{Fail: min(weight, 1), At: clampUnix(at)}.decay(time.Unix(int64(h.At), 0)).Fail
	h.Fail = max(h.Fail-fail, 0)
	return h
}

// Score is the estimated probability, 0 to 1, that a use at now works: the mean
// of the Beta posterior with the decayed counts over a prior of PriorWeight
// observations, of which the share prior, the yield of the source, was good.
func (h Health) Score(now time.Time, prior float64) float64 {
	if !(prior >= 0) {
		prior = DefaultPrior
	}
	prior = min(prior, 1)
	d := h.decay(now)
	ok, fail := float64(d.OK), float64(d.Fail)
	return (ok + PriorWeight*prior) / (ok + fail + PriorWeight)
}

// Weight returns how much evidence there is at now, in observations.
func (h Health) Weight(now time.Time) float64 {
	d := h.decay(now)
	return float64(d.OK) + float64(d.Fail)
}

func (h Health) decay(at time.Time) Health {
	t := clampUnix(at)
	if t <= h.At {
		return h
	}
	if h.OK != 0 || h.Fail != 0 {
		f := float32(math.Exp2(-float64(t-h.At) / HalfLife.Seconds()))
		h.OK *= f
		h.Fail *= f
	}
	h.At = t
	return h
}

func clampUnix(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}
