package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
)

const (
	// maxTx is how many operations go into one transaction: 10,000 sorted ones
	// take 60 ms, and larger ones get slower than in proportion.
	maxTx = 10_000
	// bulk is from how many on a batch is written in place and not to the log: whole
	// batches are new lists. Those of verdicts, up to 5,000 a second, are smaller;
	// written in place they cost 5 KB each, for every one of them changes a page.
	bulk = maxTx
	// The log is folded in when it is larger or older than this. A fold writes
	// nearly all pages of a store of a million once; with 32 MiB between two of
	// them that is 1 KB for each verdict.
	maxLog   = 32 << 20
	foldTime = 5 * time.Minute
	// fill is how full pages are made: keys come sorted, and records grow little.
	fill = 0.8
)

// Save makes a batch durable. It returns when that is done. Up to 10,000
// changes are made together or not at all; larger batches in several parts.
// After an error the store is read-only, and every Save fails with ErrReadOnly,
// until one that comes later than Options.RetryAfter has opened the file again
// and found it whole.
func (s *Store) Save(ctx context.Context, b proxy.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	changes := ops(b)
	s.saving.Lock()
	defer s.saving.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.save(ctx, changes, b.Docs); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err // nothing is wrong with the file
		}
		s.fail(err)
		return fmt.Errorf("save: %w: %w", ErrReadOnly, err)
	}
	s.changed, s.pause = true, 0
	if s.opt.Now().Sub(s.backedUp) > s.opt.BackupEvery {
		s.backedUp = s.opt.Now() // one that fails is not tried at every Save
		if err := s.snapshot(); err != nil {
			s.opt.Log.Error("the snapshot of the store cannot be made; the one before is kept", "path", s.path, "error", err)
		}
	}
	return nil
}

// save writes changes to the log, or in place when they are many.
func (s *Store) save(ctx context.Context, changes []op, docs map[string][]byte) error {
	if len(changes) < bulk {
		blob := encodeLog(changes)
		err := s.update(func(tx *bolt.Tx) error {
			return errors.Join(appendLog(tx, blob), putDocs(tx, docs))
		})
		if err != nil {
			return err
		}
		s.pending += len(blob)
		if s.pending > maxLog || s.pending > 0 && s.opt.Now().Sub(s.folded) > foldTime {
			return s.fold(ctx)
		}
		return nil
	}
	if err := s.fold(ctx); err != nil { // what the log has is older
		return err
	}
	return s.apply(ctx, changes, func(tx *bolt.Tx) error { return putDocs(tx, docs) })
}

// apply writes sorted changes in place, and does last in the last transaction.
func (s *Store) apply(ctx context.Context, changes []op, last func(*bolt.Tx) error) error {
	for {
		part := changes[:min(len(changes), maxTx)]
		changes = changes[len(part):]
		err := s.update(func(tx *bolt.Tx) error {
			if err := putEntries(tx, part); err != nil || len(changes) > 0 {
				return err
			}
			return last(tx)
		})
		if err != nil || len(changes) == 0 {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// putEntries makes changes in place. They must be sorted.
func putEntries(tx *bolt.Tx, changes []op) error {
	b := tx.Bucket(bucketEntries)
	b.FillPercent = fill
	for _, o := range changes {
		var err error
		if o.value == nil {
			err = b.Delete(o.key)
		} else {
			err = b.Put(o.key, o.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putDocs puts and deletes documents.
func putDocs(tx *bolt.Tx, docs map[string][]byte) error {
	b := tx.Bucket(bucketDocs)
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		var err error
		if docs[name] == nil {
			err = b.Delete([]byte(name))
		} else {
			err = b.Put([]byte(name), sealDoc(name, docs[name]))
		}
		if err != nil {
			return fmt.Errorf("document %q: %w", name, err)
		}
	}
	return nil
}

// update runs f in a write transaction. saving is held.
func (s *Store) update(f func(*bolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	return s.run(func() error { return s.db.Update(f) })
}
