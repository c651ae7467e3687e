package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"
)

// ID names a trace.
type ID [16]byte

// IDOf derives the trace of a request from its id, so that either leads to the
// other. It says nothing about the id.
func IDOf(request string) ID {
	sum := sha256.Sum256([]byte("freeway trace " + request))
	return ID(sum[:16])
}

// String returns 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// sampled reports whether a trace is in the share, as OpenTelemetry's
// TraceIDRatioBased decides it: by the last eight bytes.
func (id ID) sampled(share float64) bool {
	switch {
	case share >= 1:
		return true
	case share <= 0:
		return false
	}
	return binary.BigEndian.Uint64(id[8:])>>1 < uint64(share*math.MaxInt64)
}

// Kind is what a span is to others, as OTLP numbers it.
type Kind int

// The kinds that are used.
const (
	Internal Kind = 1
	Server   Kind = 2
	Client   Kind = 3
)

// Span is something that took time, with what happened within. It is complete
// when it is recorded.
type Span struct {
	Name       string
	Kind       Kind // 0: Internal
	Start, End time.Time
	Attrs      []Attr
	Failed     string // why it did; "": it did not
	Below      []Span
}

// Attr is something known about a span. Value is a string, int, int64 or bool;
// others are left out.
type Attr struct {
	Key   string
	Value any
}

// count is how many spans there are in s.
func (s *Span) count() int {
	n := 1
	for i := range s.Below {
		n += s.Below[i].count()
	}
	return n
}
