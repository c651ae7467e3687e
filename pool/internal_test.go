package pool

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The index, the interned sets and the clock cannot be reached from outside,
// and everything rests on them.

// TestTable compares the index with a map, with keys that collide.
func TestTable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mask := rapid.SampledFrom([]uint64{0, 3, 63, ^uint64(0)}).Draw(t, "mask")
		hash := func(n uint32) uint64 { return uint64(n) * 0x9E3779B97F4A7C15 >> 7 & mask }
		tab := table{hash: hash}
		want := map[uint32]bool{}
		find := func(n uint32) bool {
			_, ok := tab.find(hash(n), func(m uint32) bool { return m == n })
			return ok
		}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			n := rapid.Uint32Range(0, 60).Draw(t, "n")
			switch {
			case find(n) != want[n]:
				t.Fatalf("find(%d) = %v, want %v", n, !want[n], want[n])
			case want[n]:
				tab.remove(n)
				delete(want, n)
			default:
				tab.add(n)
				want[n] = true
			}
			if tab.count != len(want) {
				t.Fatalf("count %d, want %d", tab.count, len(want))
			}
		}
		for n := range uint32(61) {
			if find(n) != want[n] {
				t.Fatalf("in the end find(%d) = %v", n, !want[n])
			}
		}
		tab.remove(1000) // not there
	})
}

// TestSourceSets: sets are the same number when they are the same, and numbers
// are given back.
func TestSourceSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSources()
		for _, name := range []string{"a", "b", "c", "d"} {
			s.id(name)
		}
		held := []uint32{}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "drop") {
				s.drop(held[0])
				held = held[1:]
				continue
			}
			ids := rapid.SliceOfN(rapid.Uint16Range(0, 3), 0, 5).Draw(t, "ids")
			n := s.set(slices.Clone(ids))
			held = append(held, n)
			for id := range uint16(4) {
				if s.has(n, id) != slices.Contains(ids, id) {
					t.Fatalf("set of %v has %d: %v", ids, id, s.has(n, id))
				}
			}
		}
		for _, n := range held {
			s.drop(n)
		}
		if len(s.bySet) != 1 || len(s.spare) != len(s.sets)-1 {
			t.Fatalf("%d sets are left and %d numbers spare of %d", len(s.bySet), len(s.spare), len(s.sets))
		}
	})
}

// TestClock: threats row 74. Whatever the wall clock does, ours does not run backwards, and
// follows it forward.
func TestClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wall := time.Unix(1_800_000_000, 0)
		c := newClock(func() time.Time { return wall })
		last, latest := c.now(), wall
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			wall = wall.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "step")))
			now := c.now()
			if now.Before(last) {
				t.Fatalf("it went from %v to %v", last, now)
			}
			if wall.After(latest) {
				latest = wall
			}
			if behind := wall.Sub(now); behind > leap {
				t.Fatalf("it is %v behind the wall", behind)
			}
			if ahead := now.Sub(latest); ahead > leap {
				t.Fatalf("it is %v ahead of the latest that the wall said", ahead)
			}
			last = now
		}
	})
}

func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter
	at := time.Unix(1_800_000_000, 0)
	for i := range 200 {
		m.add(at.Add(time.Duration(i)*time.Second), 2)
	}
	for after, want := range map[time.Duration]int{199: 120, 229: 60, 258: 2, 259: 0, 10_000: 0} {
		copied := meter{at: m.at, ring: m.ring}
		if got := copied.sum(at.Add(after * time.Second)); got != want {
			t.Errorf("after %d s the minute counts %d, want %d", after, got, want)
		}
	}
}
