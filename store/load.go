package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"

	bolt "go.etcd.io/bbolt"

	"freeway/proxy"
)

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

// Docs returns all documents by name. Damaged ones are left out with a warning
// in the log.
func (s *Store) Docs(ctx context.Context) (map[string][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out, damaged := map[string][]byte{}, 0
	err := s.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketDocs).ForEach(func(k, v []byte) error {
			doc, ok := s.openDoc(k, v)
			if !ok {
				damaged++
				return nil
			}
			out[string(k)] = bytes.Clone(doc)
			return nil
		})
	})
	if damaged > 0 {
		s.opt.Log.Warn("damaged documents in the store were left out", "documents", damaged)
	}
	return out, err
}

// docSum is the length of the checksum in front of a document.
const docSum = 4

// sealDoc puts a checksum of name and document in front of the document.
func sealDoc(name string, doc []byte) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, docSum+len(doc)), checksum([]byte(name), doc))
	return append(b, doc...)
}

// openDoc returns the document in a value; ok is false when it is damaged. It
// belongs to the value.
func (s *Store) openDoc(name, value []byte) (doc []byte, ok bool) {
	if s.format < 2 {
		return value, true
	}
	if len(value) < docSum {
		return nil, false
	}
	doc = value[docSum:]
	return doc, binary.LittleEndian.Uint32(value) == checksum(name, doc)
}
