package pool

import (
	"time"

	"freeway/proxy"
)

// Event is something that happened in the pool, for those who watch it. Which
// of the fields are set depends on Kind.
type Event struct {
	Kind string // "proxy": a state changed; "request": one ended; "source": a list was taken in
	At   time.Time

	Entry proxy.Entry // of a proxy, as it is now
	From  proxy.State // of a proxy: what it was

	Trace proxy.Trace // of a request

	Source string // of a source
	Yield  proxy.Yield
}

// tell reports an event. It may be called with mu held, see Env.Events.
func (p *Pool) tell(e Event) {
	if p.env.Events != nil {
		p.env.Events(e)
	}
}

// tellState reports that row n became live or unsafe, or is live no more. The
// rest, the dead that stay dead, is of no interest to anybody. mu is held.
func (p *Pool) tellState(n uint32, l *lived, now time.Time) {
	state := p.rows.at(n).state
	was := l.told
	l.told = state
	if state == was || p.env.Events == nil || state != proxy.Live && state != proxy.Unsafe && was != proxy.Live {
		return
	}
	p.tell(Event{Kind: "proxy", At: now, Entry: p.entry(n, now), From: was})
}

// Version grows with every change of any entry. It begins anew with each Open;
// scores fade without a change.
func (p *Pool) Version() uint64 { return p.version.Load() }
