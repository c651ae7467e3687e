package pool

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"freeway/proxy"
)

// batchSize is the number of records per Save: bbolt writes ten thousand
// sorted ones in 60 ms, and larger transactions get slower than that.
const batchSize = 10_000

// maxDrops bounds how many deletions wait for a store that cannot be written.
// What is beyond it comes back with the next start, and is forgotten again.
const maxDrops = 100_000

// sortedRow is a dirty row with what it is sorted by.
type sortedRow struct {
	n     uint32
	place place
}

// dropLater makes the next flush delete an endpoint. p.mu is held.
func (p *Pool) dropLater(ep proxy.Endpoint) {
	p.version.Add(1)
	if p.env.Store != nil && len(p.drops) < maxDrops {
		p.drops[ep] = struct{}{}
	}
}

// Flush writes everything that was learnt and is not on disk yet.
func (p *Pool) Flush(ctx context.Context) error {
	p.keepRequests()
	return p.save(ctx)
}

// ReadOnly reports whether the latest write to the store failed: what is
// learnt is in memory only until one succeeds.
func (p *Pool) ReadOnly() bool { return p.unwritable.Load() }

// save returns when everything that had changed before the call is on disk.
// Calls that come while one is writing share the next write.
func (p *Pool) save(ctx context.Context) error {
	if p.env.Store == nil {
		return nil
	}
	ticket := p.tickets.Add(1)
	p.saving.Lock()
	defer p.saving.Unlock()
	if p.saved >= ticket {
		return nil // somebody else's write had it
	}
	upto := p.tickets.Load()
	err := p.write(ctx)
	p.unwritable.Store(err != nil && ctx.Err() == nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	p.saved = upto
	return nil
}

// write saves all that is dirty, deletions and documents first, then the rows
// in the order of their addresses. What fails stays dirty.
func (p *Pool) write(ctx context.Context) error {
	p.mu.Lock()
	rows, drops := p.dirty, p.drops
	p.dirty, p.drops = nil, map[proxy.Endpoint]struct{}{}
	p.mu.Unlock()
	b := proxy.Batch{Drop: slices.Collect(maps.Keys(drops)), Docs: p.docs.take()}
	sorted := p.sortRows(rows)
	for {
		part := sorted[:min(batchSize, len(sorted))]
		b.Put = p.records(part)
		if len(b.Put)+len(b.Drop)+len(b.Docs) > 0 {
			if err := p.saveBatch(ctx, b); err != nil {
				p.docs.giveBack(b.Docs)
				p.keepDirty(sorted, b.Drop)
				if restored(err) {
					p.saveAllAgain()
				}
				return err
			}
		}
		if sorted = sorted[len(part):]; len(sorted) == 0 {
			return nil
		}
		b = proxy.Batch{}
	}
}

// saveBatch writes one batch and measures how long that takes.
func (p *Pool) saveBatch(ctx context.Context, b proxy.Batch) error {
	began := time.Now()
	err := p.env.Store.Save(ctx, b)
	p.metrics.saved(time.Since(began), len(b.Put)+len(b.Drop), err)
	return err
}

// sortRows orders rows by address, which is about how the store orders them.
func (p *Pool) sortRows(rows []uint32) []sortedRow {
	out := make([]sortedRow, 0, len(rows))
	for part := range slices.Chunk(rows, 16*portion) {
		p.mu.Lock()
		for _, n := range part {
			if r := p.rows.at(n); r.proto != 0 && r.flags&dirty != 0 {
				out = append(out, sortedRow{n, p.groups.at(r.group).place})
			}
		}
		p.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b sortedRow) int {
		if c := bytes.Compare(a.place.host[:], b.place.host[:]); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.place.port, b.place.port), cmp.Compare(a.n, b.n))
	})
	return slices.CompactFunc(out, func(a, b sortedRow) bool { return a.n == b.n }) // rows that changed while a write failed are there twice
}

// records makes the records of rows and takes them for clean.
func (p *Pool) records(rows []sortedRow) []proxy.Record {
	out := make([]proxy.Record, 0, len(rows))
	for part := range slices.Chunk(rows, portion) {
		p.mu.Lock()
		for _, s := range part {
			if r := p.rows.at(s.n); r.proto != 0 && r.flags&dirty != 0 {
				r.flags &^= dirty
				out = append(out, p.record(s.n))
			}
		}
		p.mu.Unlock()
	}
	return out
}

// keepDirty puts back what could not be written. Rows that were freed or given
// to others meanwhile may be written once too often, which does no harm.
func (p *Pool) keepDirty(rows []sortedRow, drops []proxy.Endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range rows {
		if r := p.rows.at(s.n); r.proto != 0 {
			r.flags |= dirty
			p.dirty = append(p.dirty, s.n)
		}
	}
	for _, ep := range drops {
		if p.find(ep) == none {
			p.drops[ep] = struct{}{}
		}
	}
}
