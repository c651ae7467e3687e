package pool

import (
	"errors"
	"maps"
	"strconv"
)

// restored reports whether a store says with an error that an older copy took
// the place of what it had.
func restored(err error) bool {
	var r interface{ StoreRestored() }
	return errors.As(err, &r)
}

// saveAllAgain makes the next flush write everything: after a store has lost
// what it had, the memory is the best copy.
func (p *Pool) saveAllAgain() {
	p.mu.Lock()
	for n := range p.rows.size {
		if p.rows.at(n).proto != 0 {
			p.mark(n)
		}
	}
	tombs := maps.Clone(p.tombs)
	p.mu.Unlock()
	for ep, until := range tombs {
		p.docs.put(docTomb+ep.String(), strconv.AppendInt(nil, until, 10))
	}
	p.docs.mu.Lock()
	for key, doc := range p.docs.notes {
		p.docs.pending[docNote+key] = doc
	}
	p.docs.mu.Unlock()
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	for k, x := range p.sessions.byKey {
		p.docs.put(docSession+sessionID(k), x.doc(k))
	}
}
