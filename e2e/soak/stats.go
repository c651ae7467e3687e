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

// trend is a slope with its two-sided 95 % confidence interval, in parts of the
// mean an hour: .05 is 5 % an hour.
type trend struct{ slope, low, high float64 }

// slopeOf fits a line by least squares to the means of blocks of the points.
// Single samples lie close to their neighbours (what is in flight, what the
// store has not folded yet), which would make the interval of a fit to all of
// them too narrow; means of blocks much longer than these waves are nearly
// independent. ok is false with an empty block.
func slopeOf(points []point, length time.Duration) (t trend, ok bool) {
	var sum, n [blocks]float64
	for _, p := range points {
		if i := int(p.at * blocks / length); i >= 0 && i < blocks {
			sum[i] += p.value
			n[i]++
		}
	}
	mean := 0.0
	for i := range sum {
		if n[i] == 0 {
			return t, false
		}
		sum[i] /= n[i]
		mean += sum[i] / blocks
	}
	const middle = (blocks - 1) / 2.0
	var xx, xy, left float64
	for i, y := range sum {
		xx += (float64(i) - middle) * (float64(i) - middle)
		xy += (float64(i) - middle) * (y - mean)
	}
	slope := xy / xx
	for i, y := range sum {
		r := y - mean - slope*(float64(i)-middle)
		left += r * r
	}
	half := tBlocks * math.Sqrt(left/(blocks-2)/xx)
	scale := blocks / length.Hours() / mean // from blocks to hours, from bytes to parts
	return trend{slope * scale, (slope - half) * scale, (slope + half) * scale}, true
}

// quantile returns the value below which that part of d lies; 0 of none. It sorts d.
func quantile(d []time.Duration, part float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(part*float64(len(d))), len(d)-1)]
}
