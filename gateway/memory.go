package gateway

import (
	"runtime"
	"runtime/debug"
	rtm "runtime/metrics"
	"sync/atomic"
	"time"
)

// Shares of the memory limit at which the gateway takes less in.
const (
	memoryFull  = 0.95 // no new connections, and idle ones are closed
	memoryOver  = 0.98 // no new requests either
	memoryLook  = 100 * time.Millisecond
	memoryClean = time.Second // how often garbage is collected while too much is in use: what is left may be less than was
	memoryKinds = 6
)

// memory watches how much of the memory limit (GOMEMLIMIT) is in use. What is
// found holds for memoryLook.
type memory struct {
	read func() (used, limit uint64) // nil: the runtime's
	next atomic.Int64                // Unix nanoseconds when to look again
	free atomic.Int64                // Unix nanoseconds when to collect again
	part atomic.Uint64               // of the limit, in thousandths
}

// over reports whether at least that share of the limit is in use; without a
// limit it never is.
func (m *memory) over(share float64) bool {
	now := time.Now().UnixNano()
	if next := m.next.Load(); now >= next && m.next.CompareAndSwap(next, now+int64(memoryLook)) {
		m.part.Store(m.look(now))
	}
	return float64(m.part.Load()) >= share*1000
}

// look returns how much of the limit is in use, in thousandths. Before it says
// that it is too much, garbage is collected: a server that has nothing to do would
// not for minutes, and refuse requests all the time.
func (m *memory) look(now int64) uint64 {
	used, limit := m.use()
	part := used * 1000 / max(limit, 1)
	if m.read != nil || float64(part) < memoryFull*1000 || now < m.free.Load() {
		return part
	}
	m.free.Store(now + int64(memoryClean))
	runtime.GC()
	used, limit = m.use()
	return used * 1000 / max(limit, 1)
}

// use returns the bytes that cannot be collected, and the limit.
func (m *memory) use() (used, limit uint64) {
	if m.read != nil {
		return m.read()
	}
	return lastingMemory(), uint64(debug.SetMemoryLimit(-1))
}

// lastingMemory is what the last collection left, with stacks and what the
// runtime itself needs. The whole that is mapped says less: it comes close to
// the limit before every collection.
func lastingMemory() (n uint64) {
	s := [memoryKinds]rtm.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"}, {Name: "/memory/classes/metadata/other:bytes"}, {Name: "/memory/classes/other:bytes"}}
	rtm.Read(s[:])
	for _, v := range s {
		if v.Value.Kind() == rtm.KindUint64 {
			n += v.Value.Uint64()
		}
	}
	return n
}

// noMemory is the refusal of a request for which there is no memory.
func noMemory() *refusal {
	return &refusal{code: codeOverload, msg: "no memory is left", retryAfter: time.Second}
}
