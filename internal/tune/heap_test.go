package tune

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercentFor(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	tests := []struct {
		live, roots, floor uint64
		want               int
	}{
		{3 * mb, mb, 32 * mb, 725},
		{mb, mb, 32 * mb, 800},
		{4 * mb, 4 * mb, 32 * mb, 350},
		{16 * mb, 0, 32 * mb, 100},
		{17 * mb, 0, 32 * mb, 100},
		{64 * mb, mb, 32 * mb, 100},
		{0, 0, 32 * mb, 800},
		{4 * mb, 0, 0, 100},
	}
	for _, tt := range tests {
		if got := percentFor(tt.live, tt.roots, tt.floor); got != tt.want {
			t.Errorf("percentFor(%d, %d, %d) = %d, want %d", tt.live, tt.roots, tt.floor, got, tt.want)
		}
	}
}

// TestRaise checks that a program which uses nearly nothing is collected when its heap has
// reached the floor and not before, also after many collections, that a memory limit
// lowers the floor, and that all is as before in the end.
func TestRaise(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(usual)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	const floor, made = 64 << 20, 512 << 20
	runtime.GC()
	usually := collections(made)
	stop := raise(floor)
	collections(made) // until it has settled
	raised := collections(made)
	limit := debug.SetMemoryLimit(64 << 20)
	collections(made)
	lowered := collections(made)
	debug.SetMemoryLimit(limit)
	stop()
	if p := debug.SetGCPercent(usual); p != usual {
		t.Errorf("GOGC is %d at the end", p)
	}
	if raised == 0 || usually < 6*raised || lowered < 2*raised {
		t.Errorf("collections: %d usually, %d with a floor, %d with a limit of as much", usually, raised, lowered)
	}
}

// TestRaiseGOGC checks that who has set GOGC gets that.
func TestRaiseGOGC(t *testing.T) {
	t.Setenv("GOGC", "70")
	before := debug.SetGCPercent(70)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	runtime.GC()
	stop := raise(64 << 20)
	runtime.GC()
	stop()
	if p := debug.SetGCPercent(70); p != 70 {
		t.Errorf("GOGC is %d, want 70", p)
	}
}

var sink []byte

// collections returns how many there are while so many bytes of garbage are made.
func collections(bytes int) uint32 {
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	for range bytes / (64 << 10) {
		sink = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&to)
	return to.NumGC - from.NumGC
}
