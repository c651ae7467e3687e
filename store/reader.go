package store

import (
	"encoding/binary"
	"time"
)

// reader takes values off the front of bytes. After the first that is not
// whole, bad is true and all are zero.
type reader struct {
	rest []byte
	bad  bool
}

// bytes takes n bytes. They belong to the reader's input; those of a value that
// is not whole are zero and at most 16.
func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return make([]byte, min(n, 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// byte takes one byte.
func (r *reader) byte() byte { return r.bytes(1)[0] }

// uint32 takes four bytes, the lowest first.
func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }

// uvarint takes a number as encoding/binary writes it.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// string takes what appendString wrote, as a copy.
func (r *reader) string() string {
	n := r.uvarint()
	b := r.bytes(n)
	if r.bad {
		return ""
	}
	return string(b)
}

// strings reads a list; each string takes at least a byte, so that a damaged
// length cannot take up memory.
func (r *reader) strings() (out []string) {
	for range min(r.uvarint(), uint64(len(r.rest))) {
		out = append(out, r.string())
	}
	return out
}

// time takes what appendTime wrote. What is behind the year 9999 is damage and
// reads as the zero time.
func (r *reader) time(from func(int64) time.Time) time.Time {
	n := r.uvarint()
	if n == 0 || n > maxMillis {
		return time.Time{}
	}
	return from(int64(n))
}

// maxMillis is the year 9999 in milliseconds; what is later is damage.
const maxMillis = 253_402_300_799_000
