package main

import (
	"math"
	"slices"
	"time"
)

// blocks is into how many parts of equal length the measured time is cut for
// the slope; tBlocks is the 97.5 % quantile of Student's t with blocks-2
// degrees of freedom.
const (
	blocks  = 16
	tBlocks = 2.1448
)

// point is a value at a time since the start of the measurement.
type point struct {
	at    time.Duration
	value float64
}

// trend is a mean, and a slope with its two-sided 95 % confidence interval, in
// parts of the mean an hour: .05 is 5 % an hour.
type trend struct{ mean, slope, low, high float64 }

// slopeOf fits a line by least squares to the least values of blocks of the
// points. A collection that runs beside the load leaves what was allocated
// meanwhile, the more the busier the machine is; the least of a block has little
// of that, and what leaks is in it. Single samples lie close to their neighbours,
// which would make the interval of a fit to all of them too narrow; blocks
// much longer than these waves are nearly independent. Each block has a calm
// in its middle, in which hardly a request is under way. ok is false with an empty block.
func slopeOf(points []point, length time.Duration) (t trend, ok bool) {
	var least [blocks]float64
	for i := range least {
		least[i] = math.Inf(1)
	}
	for _, p := range points {
		if i := int(p.at * blocks / length); i >= 0 && i < blocks {
			least[i] = min(least[i], p.value)
		}
	}
	mean := 0.0
	for _, y := range least {
		mean += y / blocks
	}
	if math.IsInf(mean, 1) {
		return t, false
	}
	const middle = (blocks - 1) / 2.0
	var xx, xy, left float64
	for i, y := range least {
		xx += (float64(i) - middle) * (float64(i) - middle)
		xy += (float64(i) - middle) * (y - mean)
	}
	slope := xy / xx
	for i, y := range least {
		r := y - mean - slope*(float64(i)-middle)
		left += r * r
	}
	half := tBlocks * math.Sqrt(left/(blocks-2)/xx)
	scale := blocks / length.Hours() / mean // from blocks to hours, from bytes to parts
	return trend{mean, slope * scale, (slope - half) * scale, (slope + half) * scale}, true
}

// quantile returns the value below which that part of d lies; 0 of none. It sorts d.
func quantile(d []time.Duration, part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(part*float64(len(d))), len(d)-1)]
}
