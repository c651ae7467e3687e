package pool

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// worked remembers when spots answered last, without a lock and in little room:
// two spots in the same place forget one another.
type worked struct {
	seed maphash.Seed
	at   [4096]atomic.Uint64 // a part of the hash above the Unix seconds
}

// newWorked returns an empty one.
func newWorked() *worked { return &worked{seed: maphash.MakeSeed()} }

// place is where a spot is kept, and what tells it from others.
func (w *worked) place(at spot) (place *atomic.Uint64, mark uint64) {
	h := maphash.String(w.seed, at.host) + uint64(at.port)*0x9e3779b97f4a7c15
	return &w.at[h%uint64(len(w.at))], h &^ (1<<32 - 1)
}

// note takes a success down.
func (w *worked) note(at spot, now time.Time) {
	place, mark := w.place(at)
	if v := mark | uint64(uint32(now.Unix())); place.Load() != v {
		place.Store(v)
	}
}

// lately reports whether there was a success within agreeTime.
func (w *worked) lately(at spot, now time.Time) bool {
	place, mark := w.place(at)
	v := place.Load()
	return v&^(1<<32-1) == mark && v != 0 && uint32(now.Unix())-uint32(v) <= uint32(agreeTime/time.Second)
}
