package pool

import (
	"time"
)

// MaxRest is how long Rest can keep a proxy from use; Delete is for longer.
const MaxRest = 30 * 24 * time.Hour

// Rest keeps a proxy from use for a while, whatever its checks find; they go
// on. 0 lets it be used again. It reports whether the id is known. A restart
// forgets the rest.
func (p *Pool) Rest(id string, d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.findID(id)
	if n == none {
		return false
	}
	now := p.clock.now()
	r := p.rows.at(n)
	l := p.livedOf(n)
	p.count(r, -1)
	l.rest = 0
	if d > 0 {
		l.rest = now.Add(min(d, MaxRest)).Unix() + 1
	}
	r.state = p.stateOf(r, now)
	p.count(r, 1)
	p.changed(n)
	p.settle(n, now)
	return true
}

// rests reports whether the operator keeps it from use. A nil receiver does not.
func (l *lived) rests(now time.Time) bool { return l != nil && l.rest > now.Unix() }

// restUntil says until when, for people.
func (l *lived) restUntil() string { return time.Unix(l.rest, 0).UTC().Format(time.RFC3339) }
