package tune

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookEvery = time.Second // how often the program is looked at
	calmBytes = 1 << 20     // less than that allocated between two looks is calm
	leastBack = 4 << 20     // bytes for which giving back is worth the collection
	partBack  = 8           // and so is this part of what is in use
)

// memory is what the runtime says of the heap, in bytes.
type memory struct {
	made    uint64 // ever allocated
	objects uint64 // allocated and not freed yet
	live    uint64 // of that, what the latest collection left
	free    uint64 // not used, and not given back to the system
}

// now reads it.
func (memory) now() memory {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	return memory{number(&s[0]), number(&s[1]), number(&s[2]), number(&s[3])}
}

// number is the value of a sample, 0 when this runtime does not have it.
func number(s *metrics.Sample) uint64 {
	if s.Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s.Value.Uint64()
}

// spare is how much a collection and giving back could return at most.
func (m memory) spare() uint64 { return m.objects - min(m.live, m.objects) + m.free }

// spares decides when memory is given back.
type spares struct {
	last memory // at the latest look
	left uint64 // what giving back could not return the last time, at most
}

// due takes a look, and reports whether memory is to be given back now: when the
// program is calm, and there is enough to return that was not there the last time.
func (s *spares) due(m memory) bool {
	calm := m.made-s.last.made < calmBytes
	s.last = m
	s.left = min(s.left, m.spare())
	return calm && m.spare()-s.left > max(leastBack, m.live/partBack)
}

// giveBack has memory that is not needed given back to the system in calm moments,
// until stop. What a burst of work has left would stay else for as long as nothing
// is allocated: the runtime collects by what is allocated, or every two minutes,
// and returns what is free slowly. Where GOGC is set in the environment, nothing is done.
func giveBack() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(lookEvery)
		defer t.Stop()
		s := spares{last: memory{}.now()}
		for {
			select {
			case <-end:
				return
			case <-t.C:
			}
			if s.due(memory{}.now()) {
				debug.FreeOSMemory()
				s.left = memory{}.now().spare()
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
