package pool

import (
	"time"

	"freeway/proxy"
)

// Event is something that happened in the pool, for those who watch it. Which
// of the fields are set depends on Kind.
type Event struct {
	Kind string // "proxy": a state changed; "request": one ended; "source": a list was taken in; "job": a check or a run ended
	At   time.Time

	Entry proxy.Entry // of a proxy, as it is now
	From  proxy.State // of a proxy: what it was

	Trace proxy.Trace // of a request

	Source string // of a source, and of a job that ran one
	Yield  proxy.Yield

	Job string // "check", with the Entry that somebody wanted checked, or "run", with the Source
	Err string // of a job that ran a source: why it failed, "" when it did not
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

// maxAsked is how many checks that somebody wants are told of when they end.
const maxAsked = 10_000

// tellCheck reports that a check that somebody wanted has ended, with what passed
// or else the first of what was tried. mu is held.
func (p *Pool) tellCheck(k place, v *proxy.Verdict, now time.Time) {
	if _, ok := p.awaited[k]; !ok || len(v.Outcomes) == 0 {
		return
	}
	delete(p.awaited, k)
	row := none
	for i := range v.Outcomes {
		n := p.find(v.Outcomes[i].Endpoint)
		if n != none && (row == none || v.Outcomes[i].Class == proxy.OK) {
			row = n
		}
	}
	if row != none {
		p.tell(Event{Kind: "job", At: now, Job: "check", Entry: p.entry(row, now)})
	}
}

// Version grows with every change of any entry. It begins anew with each Open;
// scores fade without a change.
func (p *Pool) Version() uint64 { return p.version.Load() }
