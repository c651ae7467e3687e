package pool

import (
	"time"

	"freeway/proxy"
)

// moment is when an outcome happened, never in the future.
func (p *Pool) moment(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// stateOf says the state of a row now.
func (p *Pool) stateOf(r *row, now time.Time) proxy.State {
	l := p.peek(r)
	switch {
	case r.flags&barred != 0, r.fault.Class == proxy.Forbidden, l != nil && l.traits.Tampers != "":
		return proxy.Unsafe
	case r.checked == 0 && r.last == 0:
		return proxy.New
	case l.rests(now):
		return proxy.Resting
	case r.flags&passed != 0 && r.strikes < maxStrikes:
		return proxy.Live
	case r.last != 0 && now.Sub(instant(r.last)) < proxy.RestingFor:
		return proxy.Resting
	}
	return proxy.Dead
}

// ejected reports whether only traffic speaks against the row: its last check
// passed, but uses failed three times in a row since.
func ejected(r *row) bool {
	return r.flags&passed != 0 && r.strikes >= maxStrikes && r.state != proxy.Unsafe
}

// settle makes the state of a row take effect on traffic: at once for whoever
// picks from an older snapshot, and in the next one.
func (p *Pool) settle(n uint32, now time.Time) {
	r := p.rows.at(n)
	l := p.peek(r)
	if l == nil {
		return
	}
	status := slotGone
	switch {
	case r.state == proxy.Live:
		status = slotUp
	case ejected(r) && !l.rests(now):
		status = slotEjected
	}
	p.tellState(n, l, now)
	was := l.slot.status.Swap(status)
	p.changed(n)
	if status == slotGone {
		p.leaveAlive(n)
		return
	}
	if status == slotEjected && was == slotUp {
		p.ejections.Add(1)
	}
	if l.alive == 0 {
		p.alive = append(p.alive, n)
		l.alive = uint32(len(p.alive))
		p.changes.Add(1)
	}
	if status == slotUp && was != slotUp {
		p.announce()
	}
}

// leaveAlive takes a row out of those that the next snapshot shows.
func (p *Pool) leaveAlive(n uint32) {
	l := p.peek(p.rows.at(n))
	if l == nil || l.alive == 0 {
		return
	}
	last := len(p.alive) - 1
	moved := p.alive[last]
	p.alive[l.alive-1] = moved
	p.peek(p.rows.at(moved)).alive = l.alive
	p.alive = p.alive[:last]
	l.alive = 0
	p.changes.Add(1)
}

// changed makes the next flush and the next snapshot show the row anew.
func (p *Pool) changed(n uint32) {
	p.mark(n)
	if l := p.peek(p.rows.at(n)); l != nil {
		l.item = nil
		if l.alive != 0 {
			p.changes.Add(1)
		}
	}
}

// announce tells those who wait that something may be eligible now.
func (p *Pool) announce() {
	p.changes.Add(1)
	close(p.news)
	p.news = make(chan struct{})
}
