package pool

import "context"

// retire takes the source from all rows that it does not name any more.
func (in *intake) retire(ctx context.Context) error {
	in.p.mu.Lock()
	replaces := in.p.sources.all[in.source].replace
	in.p.mu.Unlock()
	if !replaces {
		return nil
	}
	return in.p.eachRow(ctx, func(n uint32, r *row) {
		if !in.seen.has(n) && in.p.sources.has(r.set, in.source) {
			in.p.disown(n, r, in.source)
		}
	})
}

// disown takes a source from the set of a row. p.mu is held.
func (p *Pool) disown(n uint32, r *row, source uint16) {
	p.count(r, -1)
	old := r.set
	r.set = p.sources.without(old, source)
	p.sources.drop(old)
	p.count(r, 1)
	p.changed(n)
}

// Retire forgets what a source names, for sources that are no longer read.
func (p *Pool) Retire(ctx context.Context, source string) error {
	p.mu.Lock()
	id, ok := p.sources.byID[source]
	p.mu.Unlock()
	if !ok {
		return nil
	}
	return p.eachRow(ctx, func(n uint32, r *row) {
		if p.sources.has(r.set, id) {
			p.disown(n, r, id)
		}
	})
}

// eachRow calls f with every row, a portion per lock. Rows that come or go
// meanwhile may be missed.
func (p *Pool) eachRow(ctx context.Context, f func(n uint32, r *row)) error {
	const rows = 16 * portion
	for start := uint32(0); ; start += rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !p.someRows(start, start+rows, f) {
			return nil
		}
	}
}

// someRows does a portion of eachRow; it reports whether there is more.
func (p *Pool) someRows(start, end uint32, f func(n uint32, r *row)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := start; n < min(end, p.rows.size); n++ {
		if r := p.rows.at(n); r.proto != 0 {
			f(n, r)
		}
	}
	return end < p.rows.size
}

// bitset is a set of row numbers.
type bitset []uint64

// set adds a row number; the set grows as far as needed.
func (b *bitset) set(n uint32) {
	for int(n/64) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

// has reports whether a row number was added.
func (b bitset) has(n uint32) bool { return int(n/64) < len(b) && b[n/64]&(1<<(n%64)) != 0 }
