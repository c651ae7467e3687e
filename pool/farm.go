package pool

import (
	"slices"
	"time"
)

// hostKey is a host without its port.
type hostKey struct {
	host  [16]byte
	named bool
}

// farm is a host with several ports. Lists hold hosts with thousands of them,
// nearly all dead or the same proxy again; so one port at a time stands for a
// host that never worked, and the others wait.
type farm struct {
	groups  []uint32 // all of the host
	waiting []uint32 // parked; may hold groups that are not parked any more
	lived   int      // rows that ever were live
	misses  int      // ports that failed their first check
	rep     uint32   // the port that stands for the host now, or none
	next    int64    // Unix milliseconds before which no other one does
}

// farmPause is the wait before the next port, times the ports that failed, at
// the default Recheck.
const farmPause = time.Minute

// findHost returns one group of the host of k, whatever its port, or none.
func (p *Pool) findHost(k *place) uint32 {
	n, ok := p.byHost.find(p.hashHost(k), func(n uint32) bool {
		other := &p.groups.at(n).place
		return other.host == k.host && other.named == k.named
	})
	if !ok {
		return none
	}
	return n
}

// farmOf returns the farm that a group belongs to, nil when it is alone on its host.
func (p *Pool) farmOf(n uint32) *farm {
	k := &p.groups.at(n).place
	return p.farms[hostKey{k.host, k.named}]
}

// joinHost puts a new group to the others of its host.
func (p *Pool) joinHost(n uint32) {
	k := &p.groups.at(n).place
	first := p.findHost(k)
	if first == none {
		p.byHost.add(n)
		return
	}
	key := hostKey{k.host, k.named}
	f := p.farms[key]
	if f == nil {
		f = &farm{groups: []uint32{first}, rep: none}
		p.farms[key] = f
		f.adopt(p, first)
	}
	f.groups = append(f.groups, n)
}

// adopt takes over what is known of the group that was alone before.
func (f *farm) adopt(p *Pool, n uint32) {
	for m := p.groups.at(n).head; m != none; m = p.rows.at(m).next {
		if p.rows.at(m).last != 0 {
			f.lived++
		}
	}
	switch {
	case p.unchecked(n):
		f.rep = n
	case f.lived == 0:
		f.misses = 1
	}
}

// unchecked reports whether nothing of the group was ever checked.
func (p *Pool) unchecked(g uint32) bool {
	for n := p.groups.at(g).head; n != none; n = p.rows.at(n).next {
		if p.rows.at(n).checked != 0 {
			return false
		}
	}
	return true
}

// leaveHost takes a group out that is about to be forgotten.
func (p *Pool) leaveHost(n uint32) {
	k := &p.groups.at(n).place
	key := hostKey{k.host, k.named}
	f := p.farms[key]
	if f != nil {
		if i := slices.Index(f.groups, n); i >= 0 {
			f.groups[i] = f.groups[len(f.groups)-1]
			f.groups = f.groups[:len(f.groups)-1]
		}
	}
	if p.findHost(k) == n {
		p.byHost.remove(n)
		if f != nil && len(f.groups) > 0 {
			p.byHost.add(f.groups[0])
		}
	}
	switch {
	case f == nil:
	case len(f.groups) == 0:
		delete(p.farms, key)
	case f.rep == n:
		f.rep = none
		p.advance(f, p.clock.now())
	}
}

// admit says how a group waits that was never checked. p.mu is held.
func (p *Pool) admit(n uint32, now time.Time) (queueKind, int64) {
	f, g := p.farmOf(n), p.groups.at(n)
	if f != nil && f.rep == none {
		f.rep = n
	}
	if f != nil && f.lived == 0 && f.rep != n {
		if g.flags&parked == 0 {
			f.waiting = append(f.waiting, n)
		}
		g.flags |= parked
		return nowhere, 0
	}
	g.flags &^= parked
	if f == nil || f.lived > 0 {
		return fresh, 0
	}
	if f.next > now.UnixMilli() {
		return cold, f.next
	}
	return fresh, 0
}

// hosted tells the farm of a group, if it is in one, what a check found.
func (p *Pool) hosted(n uint32, now time.Time) {
	f := p.farmOf(n)
	switch {
	case f == nil:
	case f.lived > 0:
		f.rep = none
		p.releaseAll(f, now)
	case f.rep == n && !p.unchecked(n):
		f.rep = none
		f.misses++
		f.next = now.Add(p.scaled(farmPause) * time.Duration(f.misses)).UnixMilli()
		p.advance(f, now)
	}
}

// advance lets the next port stand for the host: any of them, for neighbours
// are alike.
func (p *Pool) advance(f *farm, now time.Time) {
	for f.rep == none && len(f.waiting) > 0 {
		i, last := int(p.below(uint64(len(f.waiting)))), len(f.waiting)-1
		n := f.waiting[i]
		f.waiting[i] = f.waiting[last]
		f.waiting = f.waiting[:last]
		if p.groups.at(n).flags&parked != 0 && p.farmOf(n) == f {
			p.groups.at(n).flags &^= parked
			p.requeue(n, now)
		}
	}
}

// releaseAll lets all ports be checked: one of them works.
func (p *Pool) releaseAll(f *farm, now time.Time) {
	for _, n := range f.waiting {
		if p.groups.at(n).flags&parked != 0 && p.farmOf(n) == f {
			p.groups.at(n).flags &^= parked
			p.requeue(n, now)
		}
	}
	f.waiting = nil
}
