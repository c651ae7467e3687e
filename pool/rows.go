package pool

import (
	"encoding/binary"

	"freeway/proxy"
)

// none is the number of no row and no group.
const none = ^uint32(0)

// place is an address as the index keeps it: an IP address as 16 bytes, IPv4
// mapped, or the number of a name.
type place struct {
	host  [16]byte
	port  uint16
	named bool
}

// group is all that is claimed to listen at one address. It is what is
// checked: a refused connection settles all of it.
type group struct {
	place place
	queue queueKind
	flags groupFlags
	head  uint32 // first row
	pos   uint32 // in its heap
	due   int64  // Unix milliseconds, while it is in a heap
}

type groupFlags uint8

const (
	claimed groupFlags = 1 << iota // a checker has it
	parked                         // waits for another port of its host
)

// row is one endpoint in 80 bytes without pointers, so that a million of them
// cost the garbage collector nothing.
type row struct {
	group, next uint32 // next row of the group, or none
	set         uint32 // of sources
	lived       uint32 // number + 1 of what only few have; 0: never lived
	id          uint32 // hash of the endpoint's id
	health      proxy.Health
	due         int64  // Unix milliseconds of the next check; 0: at once
	first       uint32 // Unix seconds, as the following
	seen        uint32 // when a list last named it
	checked     uint32 // 0: never
	last        uint32 // when it was last live; 0: never
	ok, failed  uint32 // checks
	misses      uint16 // checks failed in a row
	pool        uint16 // label
	proto       proxy.Protocol
	state       proxy.State
	strikes     uint8 // quarters of uses failed in a row since the last check
	flags       rowFlags
	fault       proxy.Fault
}

type rowFlags uint8

const (
	guess  rowFlags = 1 << iota // the protocol is not settled
	passed                      // the last full check passed
	dirty                       // differs from what the store has
	asked                       // somebody wants it checked now
	login                       // has a user or a password, in Pool.logins
	judged                      // in one-shot mode: it has its verdict
	early                       // passed its first check
	barred                      // the policy forbids its host; asked anew at every start
)

// credentials are what private upstreams need.
type credentials struct {
	user     string
	password proxy.Secret
}

// newRow makes the row of an endpoint that is not known yet and puts it into
// all indexes but not into the queue.
func (p *Pool) newRow(ep proxy.Endpoint, password proxy.Secret) uint32 {
	k, _ := p.place(ep.Host, ep.Port, true)
	g := p.findGroup(&k)
	fresh := g == none
	if fresh {
		g = p.groups.alloc()
		*p.groups.at(g) = group{place: k, head: none}
		p.byPlace.add(g)
	}
	n := p.rows.alloc()
	r := p.rows.at(n)
	*r = row{group: g, next: p.groups.at(g).head, proto: ep.Protocol, id: p.hashID(ep.ID())}
	p.groups.at(g).head = n
	if ep.User != "" || !password.IsZero() {
		r.flags |= login
		p.logins[n] = credentials{ep.User, password}
	}
	p.byID.add(n)
	if fresh {
		p.joinHost(g)
	}
	p.count(r, 1)
	return n
}

// removeRow forgets a row, and its group when it was the last one there.
func (p *Pool) removeRow(n uint32) {
	p.count(p.rows.at(n), -1)
	p.freeRow(n)
}

// freeRow is removeRow for a row that was taken out of the numbers.
func (p *Pool) freeRow(n uint32) {
	r := p.rows.at(n)
	p.leaveAlive(n)
	if r.lived != 0 {
		l := p.lives.at(r.lived - 1)
		(*l).slot.status.Store(slotGone)
		p.lives.release(r.lived - 1)
	}
	p.sources.drop(r.set)
	p.byID.remove(n)
	delete(p.logins, n)
	g := p.groups.at(r.group)
	for at := &g.head; *at != none; at = &p.rows.at(*at).next {
		if *at == n {
			*at = r.next
			break
		}
	}
	if g.head == none {
		p.removeGroup(r.group)
	}
	p.rows.release(n)
}

// removeGroup forgets an address that has no rows left, and its name if no other
// port needs it.
func (p *Pool) removeGroup(n uint32) {
	g := p.groups.at(n)
	p.unqueue(n)
	p.leaveHost(n)
	p.byPlace.remove(n)
	delete(p.claims, n)
	delete(p.awaited, g.place)
	if g.place.named && p.findHost(&g.place) == none {
		id := binary.BigEndian.Uint32(g.place.host[:])
		delete(p.nameIDs, *p.names.at(id))
		p.names.release(id)
	}
	p.groups.release(n)
}

// count adds d times the row to the numbers of its state and of its sources.
// Whoever changes set, state, checked, last or the flag early calls it before and
// after.
func (p *Pool) count(r *row, d int) {
	p.states[r.state].Add(int64(d))
	ids := p.sources.sets[r.set].ids
	for _, id := range ids {
		w := &p.sources.all[id].worth
		w.Listed += d
		if r.checked != 0 {
			w.Checked += d
			if r.flags&early != 0 {
				w.FirstLive += d
			}
		}
		if r.last != 0 {
			w.EverLive += d
		}
		if r.state == proxy.Live {
			w.Live += d
		}
		if len(ids) == 1 {
			w.Exclusive += d
			if r.state == proxy.Live {
				w.OnlyLive += d
			}
		}
	}
}

// mark makes the next flush write the row, if there is a store.
func (p *Pool) mark(n uint32) {
	p.version.Add(1)
	if r := p.rows.at(n); r.flags&dirty == 0 && p.env.Store != nil {
		r.flags |= dirty
		p.dirty = append(p.dirty, n)
	}
}
