package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
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
	// bulk is from how many on a batch is written in place and not to the log.
	bulk = 3000
	// The log is folded in when it is larger or older than this.
	maxLog   = 8 << 20
	foldTime = 5 * time.Minute
	// backupTime is how old the snapshot may get.
	backupTime = 24 * time.Hour
	// fill is how full pages are made: keys come sorted, and records grow little.
	fill = 0.8
)

// op is one change: a record to put, or a key to delete when value is nil.
type op struct{ key, value []byte }

// ops returns what a batch does, in the order of keys. A record that is both
// dropped and put is put.
func ops(b proxy.Batch) []op {
	out := make([]op, 0, len(b.Put)+len(b.Drop))
	for _, ep := range b.Drop {
		out = append(out, op{key: appendKey(nil, ep)})
	}
	for i := range b.Put {
		key := appendKey(nil, b.Put[i].Endpoint)
		out = append(out, op{key, appendRecord(nil, key, &b.Put[i])})
	}
	return compactOps(out)
}

// compactOps sorts operations and keeps the last one on each key.
func compactOps(list []op) []op {
	slices.SortStableFunc(list, func(a, b op) int { return bytes.Compare(a.key, b.key) })
	out := list[:0]
	for i, o := range list {
		if i+1 == len(list) || !bytes.Equal(o.key, list[i+1].key) {
			out = append(out, o)
		}
	}
	return out
}

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
	s.changed = true
	if now := s.opt.Now(); now.Sub(s.backedUp) > backupTime {
		if err := s.snapshot(); err != nil {
			s.opt.Log.Warn("the daily snapshot of the store cannot be written", "error", err)
		}
	}
	return nil
}

// save writes changes to the log, or in place when they are many.
func (s *Store) save(ctx context.Context, changes []op, docs map[string][]byte) error {
	if len(changes) <= bulk {
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

func putDocs(tx *bolt.Tx, docs map[string][]byte) error {
	b := tx.Bucket(bucketDocs)
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		var err error
		if docs[name] == nil {
			err = b.Delete([]byte(name))
		} else {
			err = b.Put([]byte(name), docs[name])
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
	return guard(func() error { return s.db.Update(f) })
}

// encodeLog makes one value of changes: a checksum, and of each its key and
// its value with their lengths in front, where length 0 is a deletion.
func encodeLog(changes []op) []byte {
	if len(changes) == 0 {
		return nil
	}
	b := make([]byte, 4, 128*len(changes))
	for _, o := range changes {
		b = appendString(b, string(o.key))
		b = appendString(b, string(o.value))
	}
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[4:]))
	return b
}

// decodeLog reads what encodeLog wrote.
func decodeLog(b []byte) ([]op, error) {
	r := reader{rest: b}
	if sum := r.uint32(); r.bad || sum != crc32.ChecksumIEEE(r.rest) {
		return nil, fmt.Errorf("%w: checksum of the log", errRecord)
	}
	var out []op
	for len(r.rest) > 0 {
		o := op{key: []byte(r.string())}
		if v := r.string(); v != "" {
			o.value = []byte(v)
		}
		if r.bad || len(o.key) == 0 {
			return out, fmt.Errorf("%w: the log is cut", errRecord)
		}
		out = append(out, o)
	}
	return out, nil
}

func appendLog(tx *bolt.Tx, blob []byte) error {
	if blob == nil {
		return nil
	}
	b := tx.Bucket(bucketLog)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), blob)
}

// readLog returns all that the log holds, in the order of keys. Damaged parts
// are left out and counted.
func readLog(tx *bolt.Tx) (list []op, damaged int, err error) {
	err = tx.Bucket(bucketLog).ForEach(func(_, v []byte) error {
		part, err := decodeLog(v)
		if err != nil {
			damaged++
		}
		list = append(list, part...)
		return nil
	})
	return compactOps(list), damaged, err
}

// fold moves the log into the records. A kill on the way leaves the log, whose
// changes can be made twice. saving is held.
func (s *Store) fold(ctx context.Context) error {
	s.folded = s.opt.Now()
	if s.pending == 0 {
		return nil
	}
	var list []op
	err := s.view(func(tx *bolt.Tx) (err error) { list, _, err = readLog(tx); return err })
	if err != nil {
		return err
	}
	err = s.apply(ctx, list, func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(bucketLog); err != nil {
			return err
		}
		_, err := tx.CreateBucket(bucketLog)
		return err
	})
	if err == nil {
		s.pending = 0
	}
	return err
}

// loadChunk is how many records are read per transaction, so that a slow
// reader does not keep old pages alive.
const loadChunk = 5000

// Load returns all records. Damaged ones are left out with a warning in the
// log. It is meant for the start: what is saved meanwhile may or may not appear.
func (s *Store) Load(ctx context.Context) iter.Seq2[proxy.Record, error] {
	return func(yield func(proxy.Record, error) bool) {
		var newer []op
		var damaged int
		err := s.view(func(tx *bolt.Tx) (err error) { newer, damaged, err = readLog(tx); return err })
		if err != nil {
			yield(proxy.Record{}, err)
			return
		}
		l := loading{s: s, newer: map[string]bool{}}
		for _, o := range newer {
			l.newer[string(o.key)] = true
		}
		for err == nil && !l.ended {
			if err = ctx.Err(); err == nil {
				err = s.view(l.chunk)
			}
			for i := range l.found {
				if !yield(l.found[i], nil) {
					return
				}
			}
		}
		if err != nil {
			yield(proxy.Record{}, err)
			return
		}
		for _, o := range newer {
			if rec, err := parseRecord(o.key, o.value); o.value == nil {
				continue
			} else if err != nil {
				damaged++
			} else if !yield(rec, nil) {
				return
			}
		}
		if damaged += l.damaged; damaged > 0 {
			s.opt.Log.Warn("damaged records in the store were left out", "records", damaged)
		}
	}
}

// loading is the state of one Load.
type loading struct {
	s       *Store
	newer   map[string]bool // keys that the log has
	found   []proxy.Record  // of the latest chunk
	last    []byte          // key
	ended   bool
	damaged int
}

// chunk reads the next records.
func (l *loading) chunk(tx *bolt.Tx) error {
	l.found = l.found[:0]
	c := tx.Bucket(bucketEntries).Cursor()
	k, v := c.Seek(l.last)
	if l.last != nil && bytes.Equal(k, l.last) {
		k, v = c.Next()
	}
	for n := 0; k != nil && n < loadChunk; n++ {
		l.last = append(l.last[:0], k...)
		if !l.newer[string(k)] {
			if rec, err := parseRecord(k, v); err == nil {
				l.found = append(l.found, rec)
			} else {
				l.damaged++
			}
		}
		k, v = c.Next()
	}
	l.ended = k == nil
	return nil
}

// Docs returns all documents by name.
func (s *Store) Docs(ctx context.Context) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketDocs).ForEach(func(k, v []byte) error {
			out[string(k)] = bytes.Clone(v)
			return nil
		})
	})
	return out, err
}
