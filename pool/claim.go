package pool

import (
	"time"

	"freeway/proxy"
)

// claimTime is how long a job may take; a full check is over in well under a
// minute.
const claimTime = 10 * time.Minute

// claimTicket is a claim in the order in which claims end.
type claimTicket struct {
	group uint32
	until int64 // Unix milliseconds
}

// claim makes the job of a group. It is empty when no row of the group is to
// be checked, and then nothing is claimed.
func (p *Pool) claim(n uint32, now time.Time) proxy.Job {
	g := p.groups.at(n)
	job := proxy.Job{Host: p.hostOf(&g.place), Port: g.place.port}
	// What is due soon goes along: the connection is there already.
	soon := now.Add(p.cfg.Recheck / 4).UnixMilli()
	for m := g.head; m != none; m = p.rows.at(m).next {
		r := p.rows.at(m)
		if p.wanted(r) && (r.due <= soon || r.flags&asked != 0) {
			job.Entries = append(job.Entries, p.entry(m, now))
			r.flags &^= asked
		}
	}
	if len(job.Entries) == 0 {
		p.requeue(n, now)
		return job
	}
	g.flags |= claimed
	until := now.Add(claimTime).UnixMilli()
	p.claims[n] = until
	p.claimed = append(p.claimed, claimTicket{n, until})
	return job
}

// unclaim ends the claim on a group, if there is one.
func (p *Pool) unclaim(n uint32) {
	delete(p.claims, n)
	p.groups.at(n).flags &^= claimed
}

// reclaim takes back jobs that were never reported.
func (p *Pool) reclaim(now time.Time) {
	for len(p.claimed) > 0 {
		t := p.claimed[0]
		until, open := p.claims[t.group]
		if open && until == t.until {
			if until > now.UnixMilli() {
				return
			}
			p.unclaim(t.group)
			p.postpone(t.group, now)
			p.requeue(t.group, now)
		}
		p.claimed = p.claimed[1:]
	}
}

// postpone makes what is due in a group wait a little, for jobs that came back
// unjudged: whatever hindered the check should have time to go away.
func (p *Pool) postpone(n uint32, now time.Time) {
	later := now.Add(p.cfg.Recheck / 20).UnixMilli()
	for m := p.groups.at(n).head; m != none; m = p.rows.at(m).next {
		r := p.rows.at(m)
		r.due = max(r.due, later)
	}
}

// CheckNow puts a proxy first in the queue. It reports whether the id is known.
func (p *Pool) CheckNow(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.findID(id)
	if n == none {
		return false
	}
	now := p.clock.now()
	p.hurry(n, now, 0)
	if p.env.Events != nil && len(p.awaited) < maxAsked {
		if p.awaited == nil {
			p.awaited = map[place]struct{}{}
		}
		p.awaited[p.groups.at(p.rows.at(n).group).place] = struct{}{}
	}
	return true
}

// hurry makes a row due after d at the latest, before others.
func (p *Pool) hurry(n uint32, now time.Time, d time.Duration) {
	r := p.rows.at(n)
	r.flags |= asked
	r.due = min(r.due, now.Add(d).UnixMilli())
	p.requeue(r.group, now)
}

// Checked forgets, in one-shot mode, the address of a job when everything there has
// its verdict, so that a scan takes memory only for what is to come. What its sources
// are worth stays. Whoever wants to know what became of an entry asks before. It reports
// whether nothing is left there.
func (p *Pool) Checked(job *proxy.Job) (forgotten bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.place(job.Host, job.Port, false)
	if !ok || !p.cfg.Once {
		return false
	}
	g := p.findGroup(&k)
	if g == none || p.groups.at(g).flags&claimed != 0 {
		return g == none
	}
	var rows []uint32
	for n := p.groups.at(g).head; n != none; n = p.rows.at(n).next {
		if p.rows.at(n).flags&judged == 0 {
			return false
		}
		rows = append(rows, n)
	}
	for _, n := range rows {
		p.states[p.rows.at(n).state].Add(-1)
		p.freeRow(n)
	}
	p.changes.Add(1)
	return true
}

// Len returns how many endpoints there are.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID.count
}

// Hold keeps one-shot pools from ending while more is still being added. The
// function that it returns must be called once.
func (p *Pool) Hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.holds--
		p.wakeUp()
	}
}
