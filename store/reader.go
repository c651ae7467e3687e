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

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return make([]byte, min(n, 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte { return r.bytes(1)[0] }

func (r *reader) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

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

func (r *reader) time(from func(int64) time.Time) time.Time {
	n := r.uvarint()
	if n == 0 || n > maxMillis {
		return time.Time{}
	}
	return from(int64(n))
}

// maxMillis is the year 9999 in milliseconds; what is later is damage.
const maxMillis = 253_402_300_799_000
