package scraper

import (
	"encoding/binary"
	"slices"

	"freeway/proxy"
)

const (
	// plenty is how many endpoints a source must usually have before a sudden
	// lack of them is an alarm.
	plenty = 20

	// A run that finds less than 1/alarmPart of the usual is an alarm.
	alarmPart = 20

	// sketchSize bounds a sketch: with 512 values the share of a 95 % mirror is
	// estimated within 2 % (standard error of bottom-k, Cohen and Kaplan 2007).
	sketchSize = 512

	// mirrorShare is how much of the larger set both sources share when one is
	// a mirror of the other.
	mirrorShare = 0.95

	// slow is how many turns a mirror or a worthless source waits for one.
	slow = 4

	// A source is worthless when of enough checked endpoints hardly any ever
	// worked: the lowest twentieth of public lists has 0.2 %.
	enoughChecked  = 300
	worthlessYield = 0.002

	// goodYield is the best tenth of public lists.
	goodYield = 0.086

	// A source that alone names this many live endpoints is read more often: what
	// it finds is found nowhere else.
	enoughOnly = 5
)

// isAlarm reports whether found is suspiciously little. What alarms never
// replaces what the source gave before.
func isAlarm(found, usual int) bool { return usual >= plenty && found*alarmPart < usual }

// learnUsual moves the average towards what a good run found.
func learnUsual(usual, found int) int {
	if usual == 0 {
		return found
	}
	return max(1, usual+(found-usual)/4)
}

// fadeUsual forgets a tenth of the usual after an alarm, so that a list which
// shrank for good is believed in the end. An empty one never is.
func fadeUsual(usual int) int { return max(plenty, usual-usual/10) }

// pace is how often a source is read compared to its schedule.
type pace int8

const (
	paceNormal pace = iota
	paceSlow        // every slow-th turn
	paceFast        // twice as often, where the schedule is the general one
)

// paceOf weighs what came of a source. Nobody is judged before enough of its
// endpoints were checked; a mirror gives nothing that its original does not. A
// source that alone names something live is never worthless.
func paceOf(w proxy.Worth, mirror bool) pace {
	known := w.Checked >= enoughChecked
	share := float64(w.EverLive) / float64(max(w.Checked, 1))
	switch {
	case mirror, known && share < worthlessYield && w.OnlyLive == 0:
		return paceSlow
	case known && (share >= goodYield || w.OnlyLive >= enoughOnly):
		return paceFast
	}
	return paceNormal
}

// sketch holds the smallest hashes of a set of addresses, ascending, and tells
// how alike two sets are without keeping them (bottom-k sketch).
type sketch struct {
	low  []uint64
	size int    // of the set
	sum  uint64 // of all hashes: two sets with the same sum are the same
}

// newSketch draws the sketch of the addresses in found; protocols do not count.
func newSketch(found []proxy.Candidate) sketch {
	hashes := make([]uint64, 0, len(found))
	for _, c := range found {
		hashes = append(hashes, hashAddress(c.Endpoint.Host, c.Endpoint.Port))
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	sk := sketch{low: slices.Clone(hashes[:min(len(hashes), sketchSize)]), size: len(hashes)}
	for _, h := range hashes {
		sk.sum += h
	}
	return sk
}

// hashAddress is FNV-1a with a finish that spreads the low bits (MurmurHash3).
// It must give the same after a restart.
func hashAddress(host string, port uint16) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	for i := range len(host) {
		h = (h ^ uint64(host[i])) * prime
	}
	h = (h ^ uint64(port)) * prime
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// alike estimates how much of the larger set both share, 0 to 1; sets that are
// too small to tell share nothing.
func (a sketch) alike(b sketch) float64 {
	if a.size < plenty || b.size < plenty {
		return 0
	}
	both, n, i, j := 0, 0, 0, 0
	for ; n < sketchSize && (i < len(a.low) || j < len(b.low)); n++ {
		switch {
		case j == len(b.low) || i < len(a.low) && a.low[i] < b.low[j]:
			i++
		case i == len(a.low) || b.low[j] < a.low[i]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	jaccard := float64(both) / float64(max(n, 1))
	shared := jaccard / (1 + jaccard) * float64(a.size+b.size)
	return min(1, shared/float64(max(a.size, b.size)))
}

// bytes packs a sketch for a memo, without its sum.
func (a sketch) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(a.size))
	for _, h := range a.low {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

// readSketch unpacks what bytes packed; anything else is an empty sketch.
func readSketch(b []byte) sketch {
	size, n := binary.Uvarint(b)
	if n <= 0 || len(b[n:])%8 != 0 || len(b[n:]) > 8*sketchSize || size > maxFound {
		return sketch{}
	}
	a := sketch{size: int(size)}
	for b = b[n:]; len(b) > 0; b = b[8:] {
		a.low = append(a.low, binary.LittleEndian.Uint64(b))
	}
	return a
}
