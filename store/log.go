package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
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

// appendLog puts a blob behind the others; nil is nothing to put.
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
