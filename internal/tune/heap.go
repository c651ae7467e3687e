package tune

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	least = 4 << 20 // bytes before the first collection with the usual GOGC, and in proportion with another (heapMinimum of runtime/mgcpacer.go)
	usual = 100     // GOGC where nobody has set it
	slack = 8       // percent by which the right GOGC may differ before it is set: that stops the program for some 20 µs
	share = 4       // of the memory limit, that the floor is at most
)

// floor is the size that the heap may always have.
type floor struct {
	bytes uint64

	mu      sync.Mutex // protects the fields below
	percent int        // GOGC in force
	over    bool
}

// raise lets the heap always grow to so many bytes, or to a quarter of the memory limit
// (GOMEMLIMIT) where that is less, before it is collected, until stop. What is larger
// is collected as always. Where GOGC is set in the environment, nothing is done.
// Meanwhile debug.SetGCPercent belongs to it.
func raise(bytes uint64) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	f := &floor{bytes: bytes, percent: usual}
	f.adjust()
	return f.stop
}

// adjust sets GOGC for what is in use now, and comes again after the next collection.
func (f *floor) adjust() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	live, roots := inUse()
	limit := uint64(debug.SetMemoryLimit(-1))
	f.set(percentFor(live, roots, min(f.bytes, limit/share)))
	runtime.AddCleanup(new([16]*byte), func(f *floor) { f.adjust() }, f)
}

// set sets GOGC unless it is nearly right. f.mu is held.
func (f *floor) set(percent int) {
	if percent == f.percent || percent != usual && abs(percent-f.percent)*100 <= slack*f.percent {
		return
	}
	f.percent = percent
	debug.SetGCPercent(percent)
}

// stop leaves the heap to the runtime again.
func (f *floor) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.set(usual)
}

// percentFor is the GOGC with which the next collection is due when the heap has the
// size of the floor, or the usual one where that is later. The roots count as the
// runtime counts them (https://go.dev/doc/gc-guide, "GOGC").
func percentFor(live, roots, floor uint64) int {
	if live >= floor {
		return usual
	}
	p := (floor - live) * 100 / max(live+roots, 1)
	return int(max(min(p, floor*100/least), usual))
}

// inUse returns what the latest collection left, and what its roots are: stacks and
// global variables.
func inUse() (live, roots uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(s)
	return number(&s[0]), number(&s[1]) + number(&s[2])
}

// abs is the absolute value.
func abs(n int) int { return max(n, -n) }
