package pool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"freeway/proxy"
)

// Get returns the entry with an opaque id, with what explains it.
func (p *Pool) Get(id string) (Detail, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.findID(id)
	if n == none {
		return Detail{}, false
	}
	now := p.clock.now()
	r := p.rows.at(n)
	d := Detail{Entry: p.entry(n, now), Why: p.why(r, now), Next: p.whyNext(r)}
	if l := p.peek(r); l != nil {
		d.History, d.Scores = l.outcomes(d.Entry.Endpoint), l.scores()
		d.Notes = slices.Clone(l.notes)
	}
	return d, true
}

// why says in words how a score came about.
func (p *Pool) why(r *row, now time.Time) string {
	var b strings.Builder
	p.reckon(&b, r, now)
	switch l := p.peek(r); {
	case l.rests(now):
		b.WriteString("; not used: rests until " + l.restUntil() + " as it was told")
	case r.state == proxy.Unsafe:
		b.WriteString("; never used: unsafe")
	case ejected(r):
		b.WriteString("; not used: traffic failed three times in a row since the last check")
	case r.state != proxy.Live && r.checked != 0:
		fmt.Fprintf(&b, "; not used: the last check failed (%s %s, %d in a row)", r.fault.Stage, r.fault.Class, r.misses)
	case r.state == proxy.New:
		b.WriteString("; not used: never checked")
	}
	if r.state == proxy.Live {
		if by := p.cfg.Filter.deniedBy(p.itemEntry(r, now)); by != "" {
			b.WriteString("; not used: " + by)
		}
	}
	return b.String()
}

// whyNext says in words why the next check is due when it is.
func (p *Pool) whyNext(r *row) string {
	wait := p.interval(r).Round(time.Second)
	switch m := int(r.misses); {
	case !p.wanted(r):
		return "never: it is unsafe"
	case r.flags&asked != 0:
		return "somebody asked for it, or traffic made it doubtful: it goes before others"
	case p.groups.at(r.group).flags&claimed != 0:
		return "it is being checked"
	case p.groups.at(r.group).flags&parked != 0:
		return "another port stands for its host, of which none has worked so far"
	case r.checked == 0:
		return "never checked: in the turn of its best source, by yield"
	case m == 0:
		return fmt.Sprintf("%v after a check that passed, to keep the score sharp", wait)
	case r.last != 0 && m <= len(resting):
		return fmt.Sprintf("%v after miss %d of one that has lived: most come back soon or not at all", wait, m)
	}
	return fmt.Sprintf("%v after %d misses in a row: the chance to come back falls with their number; forgotten after %d", wait, r.misses, forgetMisses)
}

// reckon writes how the number came about.
func (p *Pool) reckon(b *strings.Builder, r *row, now time.Time) {
	h, prior := r.health, p.sources.prior(r.set)
	fmt.Fprintf(b, "%.2f:", h.Score(now, prior))
	if h.At == 0 {
		fmt.Fprintf(b, " nothing was observed")
	} else {
		fmt.Fprintf(b, " probability %.2f that it comes and goes and does not only work by luck, %.2f that it is on then, %.2f that a use works while on (%.1f of %.1f such observations, each counting half after %v)",
			h.Comes(now, prior), h.On(now), h.Rate(now, prior), float64(h.OK)*h.Weight(now)/max(float64(h.OK+h.Fail), 1e-9), h.Weight(now), proxy.HalfLife)
	}
	fmt.Fprintf(b, ", %.1f %% assumed before", 100*prior)
	if name := p.bestName(r); name != "" {
		fmt.Fprintf(b, " as the yield of source %s", name)
	}
}

// itemEntry is the entry of a live row, for the filter.
func (p *Pool) itemEntry(r *row, _ time.Time) *proxy.Entry {
	e := &proxy.Entry{Endpoint: proxy.Endpoint{Host: p.hostOf(&p.groups.at(r.group).place)}}
	if l := p.peek(r); l != nil {
		e.Traits = l.traits
	}
	return e
}

// bestName names the source whose yield is the prior.
func (p *Pool) bestName(r *row) string {
	name, best := "", 0.0
	for _, id := range p.sources.sets[r.set].ids {
		if s := p.sources.all[id]; s.worth.Yield() > best {
			name, best = s.name, s.worth.Yield()
		}
	}
	return name
}

// Delete removes a proxy and keeps it out of what lists bring for 30 days. It
// reports whether the id was known, and returns when that is on disk.
func (p *Pool) Delete(ctx context.Context, id string) (bool, error) {
	if !p.delete(id) {
		return false, nil
	}
	return true, p.save(ctx)
}

// delete forgets the row with an id and entombs its endpoint. It reports whether
// there was one.
func (p *Pool) delete(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.findID(id)
	if n == none {
		return false
	}
	p.entomb(p.endpoint(n), p.clock.now())
	p.forget(n)
	return true
}
