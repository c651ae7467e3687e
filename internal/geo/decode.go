package geo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A compact table is the magic and one zstd frame with a checksum. The frame
// holds, numbers as unsigned varints and texts with their length before them:
//
//	date as yyyymmdd, source, licence
//	countries: how many; two letters each
//	systems:   how many; distances of their rising numbers; lengths of names; names
//	places:    how many; index of the country each; index of the system each
//	IPv4:      how many starts; trailing zero bits of the distance to the one
//	           before, a byte each; the distance without its lowest set bit
//	           and those zeros, each; index of the place each
//	IPv6:      the same, of the upper 64 bits
//
// Index 0 is the unknown everywhere and is not stored. The first distance of a
// list is counted from -1, so that no distance is 0.
const magic = "fwygeo01"

const (
	maxFile  = 32 << 20        // bytes of a table; ten times all that is routed
	maxBody  = 128 << 20       // bytes of a table without compression
	maxCount = 2*maxRanges + 1 // of anything in a table: each range and each gap
)

var (
	errNoTable = errors.New("it is no geo table of this version")
	errCut     = errors.New("it ends too early")
)

// decode reads a table and checks everything that a lookup relies on.
func decode(file []byte) (*table, error) {
	if len(file) < len(magic) || string(file[:len(magic)]) != magic {
		return nil, errNoTable
	}
	if len(file) > maxFile {
		return nil, fmt.Errorf("it has over %d bytes", maxFile)
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	body, err := z.DecodeAll(file[len(magic):], nil)
	if err != nil {
		return nil, fmt.Errorf("its content is damaged: %w", err)
	}
	return decodeBody(body)
}

// decodeBody reads what was compressed.
func decodeBody(body []byte) (*table, error) {
	in, t := &input{rest: body}, &table{}
	t.info.Kind = "table"
	t.info.Date = in.date()
	t.info.Source, t.info.Licence = in.text(), in.text()
	t.countries = in.countries()
	in.systems(t)
	in.places(t)
	t.v4 = readRanges[uint32](in, len(t.places), math.MaxUint32)
	t.v6 = readRanges[uint64](in, len(t.places), math.MaxUint64)
	if in.err == nil && len(in.rest) > 0 {
		in.err = fmt.Errorf("%d bytes follow its end", len(in.rest))
	}
	if in.err != nil {
		return nil, in.err
	}
	t.info.IPv4, t.info.IPv6 = len(t.v4.starts), len(t.v6.starts)
	t.info.Countries, t.info.Systems = len(t.countries)-1, len(t.asns)-1
	return t, nil
}

// input is what is left of a body. After the first error everything is zero.
type input struct {
	rest []byte
	err  error
}

// fail keeps the first error.
func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.rest = nil
}

// number reads a varint of at most limit.
func (in *input) number(limit uint64) uint64 {
	if in.err != nil {
		return 0
	}
	n, size := binary.Uvarint(in.rest)
	switch {
	case size == 0:
		in.fail(errCut)
	case size < 0 || n > limit:
		in.fail(fmt.Errorf("a number in it is over %d", limit))
	default:
		in.rest = in.rest[size:]
		return n
	}
	return 0
}

// count reads how many things follow, each of at least size bytes.
func (in *input) count(size int) int {
	n := in.number(maxCount)
	if n > uint64(len(in.rest)/size) {
		in.fail(errCut)
		return 0
	}
	return int(n)
}

// bytes takes n bytes; the slice is only valid while the body is.
func (in *input) bytes(n int) []byte {
	if n > len(in.rest) {
		in.fail(errCut)
		return nil
	}
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

// text reads a text that can be shown.
func (in *input) text() string {
	s := string(in.bytes(int(in.number(maxText))))
	if !isClean(s, maxText) {
		in.fail(errors.New("a text in it cannot be shown"))
	}
	return s
}

// date reads the day on which the data was made.
func (in *input) date() time.Time {
	d, err := time.Parse("20060102", fmt.Sprintf("%08d", in.number(99991231)))
	if err != nil {
		in.fail(errors.New("its date is none"))
	}
	return d
}

// countries reads the codes.
func (in *input) countries() []string {
	n := in.count(2)
	if n > 26*26 {
		in.fail(errors.New("it has too many countries"))
		return nil
	}
	out := []string{""}
	all := string(in.bytes(2 * n))
	for ; len(all) >= 2; all = all[2:] {
		if code(all[:2]) != all[:2] {
			in.fail(fmt.Errorf("%q is no country", all[:2]))
		}
		out = append(out, all[:2])
	}
	return out
}

// systems reads numbers and names.
func (in *input) systems(t *table) {
	n := in.count(2)
	t.asns, t.ends = make([]uint32, 1, n+1), make([]uint32, 1, n+1)
	for range n {
		last := t.asns[len(t.asns)-1]
		step := in.number(uint64(math.MaxUint32 - last))
		if step == 0 {
			in.fail(errors.New("its systems do not rise"))
		}
		t.asns = append(t.asns, last+uint32(step))
	}
	end := uint32(0)
	for range n {
		end += uint32(in.number(maxName))
		t.ends = append(t.ends, end)
	}
	t.names = string(in.bytes(int(end)))
	if in.err != nil {
		return
	}
	for i := range n {
		if name := t.name(uint32(i) + 1); !isClean(name, maxName) {
			in.fail(fmt.Errorf("the name of AS%d cannot be shown", t.asns[i+1]))
			return
		}
	}
}

// places reads the pairs of country and system.
func (in *input) places(t *table) {
	n := in.count(2)
	t.places = make([]place, n+1)
	for i := range n {
		t.places[i+1].country = uint16(in.number(uint64(len(t.countries) - 1)))
	}
	for i := range n {
		t.places[i+1].system = uint32(in.number(uint64(len(t.asns) - 1)))
	}
}

// readRanges reads starts and their places. highest is the highest start.
func readRanges[K uint32 | uint64](in *input, places int, highest uint64) ranges[K] {
	n := in.count(3)
	r := ranges[K]{make([]K, n), make([]uint32, n)}
	zeros := in.bytes(n)
	last := ^uint64(0) // -1
	for i, shift := range zeros {
		if shift > 63 {
			in.fail(errors.New("a distance in it is too long"))
			break
		}
		odd := in.number(math.MaxUint64 >> shift >> 1)
		start := last + (odd<<1|1)<<shift
		if i > 0 && start <= last || start > highest {
			in.fail(errors.New("its ranges do not rise"))
		}
		r.starts[i], last = K(start), start
	}
	for i := range r.places {
		r.places[i] = uint32(in.number(uint64(places - 1)))
	}
	return r
}
