package pool

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"freeway/proxy"
)

const (
	// rebuildEvery bounds how often the snapshot is made anew.
	rebuildEvery = time.Second
	// itemAge is when an item is made anew though nothing happened, because
	// scores fade: by a third of a percent in this time.
	itemAge = time.Minute
	// priorMoved is by how much the yield of its sources must have changed.
	priorMoved = 0.01
	// panicTime is how long an endpoint that was live stays in reach of panic mode.
	panicTime = 10 * time.Minute
	// smallSize is how many items make a snapshot that costs no more than the
	// request it is made for: 10 µs (BenchmarkRebuild).
	smallSize = 64
	// maxViews bounds the filters that a snapshot remembers the answer to.
	maxViews = 256
)

// item is one endpoint as a snapshot shows it. It is immutable.
type item struct {
	entry   proxy.Entry
	reached []string // per-target checks that passed
	slot    *slot
	exit    netip.Addr // an exitKey
	owner   owner
	only    string // its source, when it has only one
	made    time.Time
	prior   float64 // yield of its best source then
	why     atomic.Pointer[reason]
}

// reason is what spoke for an item when it was picked last. It is immutable.
type reason struct {
	of   int
	ms   int64
	text string
}

// owner is who probably runs an exit: an autonomous system, or a network.
type owner struct {
	asn uint32
	net netip.Prefix
}

// ownerOf says who an exit belongs to: its autonomous system when that is known,
// else its /24, or /48 for IPv6, which is what hosters hand out.
func ownerOf(exit netip.Addr, asn uint32) owner {
	if asn != 0 {
		return owner{asn: asn}
	}
	bits := 24
	if exit.Is6() {
		bits = 48
	}
	net, _ := exit.Prefix(bits)
	return owner{net: net}
}

// snapshot is what Pick reads. It is immutable but for the views it remembers.
type snapshot struct {
	made      time.Time
	took      time.Duration // to make it
	changes   uint64        // Pool.changes when it was made
	size      int           // how many were looked at for it: a filter may leave few
	ejections int64         // Pool.ejections when it was made
	labels    map[string]*label
}

// label is one pool of a snapshot: the live ones and, for panic mode, those
// that traffic ejected within panicTime.
type label struct {
	all    *view
	live   int
	recent int

	mu    sync.Mutex // protects views
	views map[string]*view
}

// rebuild makes a new snapshot. Only one is made at a time.
func (p *Pool) rebuild() *snapshot {
	p.building.Lock()
	defer p.building.Unlock()
	return p.build()
}

// catchUp returns a snapshot that shows everything reported before the call: the
// latest, one that somebody else was making meanwhile, or a new one.
func (p *Pool) catchUp() *snapshot {
	reported := p.changes.Load()
	p.building.Lock()
	defer p.building.Unlock()
	if s := p.snap.Load(); s.changes >= reported {
		return s
	}
	return p.build()
}

// build makes a new snapshot, with p.building held.
func (p *Pool) build() *snapshot {
	began := time.Now()
	items, s := p.collect(p.clock.now())
	byLabel := map[string][]*item{}
	for _, it := range items {
		byLabel[it.entry.Pool] = append(byLabel[it.entry.Pool], it)
	}
	for name, list := range byLabel {
		l := &label{recent: len(list), all: newView(list), views: map[string]*view{}}
		for _, it := range list {
			if it.entry.State == proxy.Live {
				l.live++
			}
		}
		s.labels[name] = l
	}
	s.took = time.Since(began)
	p.snap.Store(s)
	return s
}

// collect copies what the snapshot shows, with p.mu held, and makes the items
// that are not up to date.
func (p *Pool) collect(now time.Time) ([]*item, *snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &snapshot{made: now, size: len(p.alive), changes: p.changes.Load(), ejections: p.ejections.Load(), labels: map[string]*label{}}
	items := make([]*item, 0, len(p.alive))
	for _, n := range p.alive {
		r := p.rows.at(n)
		l := p.peek(r)
		if r.state != proxy.Live && now.Sub(instant(r.last)) > panicTime {
			continue
		}
		if it := l.item; it == nil || now.Sub(it.made) > itemAge || math.Abs(p.sources.prior(r.set)-it.prior) > priorMoved {
			l.item = p.makeItem(n, l.slot, now)
		}
		if p.cfg.Filter.allows(&l.item.entry) {
			items = append(items, l.item)
		}
	}
	return items, s
}

// makeItem shows row n as it is now. p.mu is held.
func (p *Pool) makeItem(n uint32, s *slot, now time.Time) *item {
	r := p.rows.at(n)
	it := &item{entry: p.entry(n, now), reached: p.reachedBy(r), slot: s, made: now, prior: p.sources.prior(r.set)}
	it.exit = exitKey(&it.entry)
	it.owner = ownerOf(it.exit, it.entry.Traits.ASN)
	if src := it.entry.Sources; len(src) == 1 {
		it.only = src[0]
	}
	return it
}

// stale reports whether the latest snapshot does not show everything.
func (p *Pool) stale() bool { return p.snap.Load().changes != p.changes.Load() }

// current returns the snapshot, made anew when it lacks what it must show, or is far
// behind, as it is only when nobody calls Run.
func (p *Pool) current(now time.Time) *snapshot {
	s := p.snap.Load()
	if s.changes < p.needed.Load() || p.stale() && now.Sub(s.made) > 2*rebuildEvery {
		return p.catchUp()
	}
	return s
}

// newest returns a snapshot that shows everything reported so far, as far as
// that is due: see behind.
func (p *Pool) newest(s *snapshot, now time.Time) *snapshot {
	if p.behind(s, now) {
		return p.catchUp()
	}
	return p.snap.Load()
}

// rebuilt returns a snapshot that shows everything reported so far, whatever
// it costs.
func (p *Pool) rebuilt() *snapshot {
	if p.stale() {
		return p.catchUp()
	}
	return p.snap.Load()
}

// behind reports whether a snapshot does not show everything, and a new one
// may be made: a small one always, others in a twentieth of the time at most.
func (p *Pool) behind(s *snapshot, now time.Time) bool {
	return s.changes != p.changes.Load() && (s.size <= smallSize || now.Sub(s.made) >= 20*s.took)
}
