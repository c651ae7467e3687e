package geo

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// Builder collects ranges and makes a compact table of them. The zero value is
// ready. It is for one goroutine.
type Builder struct {
	v4, v6 []span
	spots  map[spot]int // how many ranges are there
	names  map[uint32]string
	small  int
}

// spot is a place by its own names.
type spot struct {
	country string
	asn     uint32
}

// span is a range of one place, both ends included.
type span struct {
	first, last uint64
	at          spot
}

// Add notes that addresses from first to last are in a country and a system.
// country "" and asn 0 are unknown; other texts than ISO 3166 codes count as
// unknown, org is cleaned and cut. Of IPv6, only whole /64 networks are taken.
// The order of calls does not matter; ranges may not overlap, which Table tells.
func (b *Builder) Add(first, last netip.Addr, country string, asn uint32, org string) error {
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return fmt.Errorf("%s to %s is no range", first, last)
	}
	at := spot{code(country), asn}
	if at == (spot{}) || !public(first) {
		return nil
	}
	s := span{at: at}
	if first.Is4() {
		s.first, s.last = low4(first), low4(last)
		b.v4 = append(b.v4, s)
	} else {
		var whole bool
		if s.first, s.last, whole = halves(first, last); !whole {
			b.small++
			return nil
		}
		b.v6 = append(b.v6, s)
	}
	if b.spots == nil {
		b.spots, b.names = map[spot]int{}, map[uint32]string{}
	}
	b.spots[at]++
	if b.names[asn] == "" && asn != 0 {
		b.names[asn] = clean(org, maxName)
	}
	return nil
}

// halves returns the /64 networks that lie wholly between two addresses.
func halves(first, last netip.Addr) (from, to uint64, ok bool) {
	from, to = high6(first), high6(last)
	if low6(first) != 0 {
		from++
	}
	if low6(last) != ^uint64(0) {
		to--
	}
	return from, to, from <= to && from >= high6(first) && to <= high6(last)
}

// Small is how many ranges of IPv6 were left out because they hold no /64.
func (b *Builder) Small() int { return b.small }

// Table returns the compact table with the date, source and licence of info.
func (b *Builder) Table(info Info) ([]byte, error) {
	day, err := strconv.ParseUint(info.Date.UTC().Format("20060102"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("date %s: %w", info.Date, err)
	}
	out := binary.AppendUvarint(nil, day)
	out = appendText(out, clean(info.Source, maxText))
	out = appendText(out, clean(info.Licence, maxText))
	out, number := b.appendPlaces(out)
	for _, spans := range [][]span{b.v4, b.v6} {
		if out, err = appendSpans(out, spans, number); err != nil {
			return nil, err
		}
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.EncodeAll(out, []byte(magic)), nil
}

func appendText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// appendPlaces writes countries, systems and places, the most frequent place
// first, and returns the index of each place.
func (b *Builder) appendPlaces(out []byte) ([]byte, map[spot]uint64) {
	all := make([]spot, 0, len(b.spots))
	countries, asns := map[string]uint64{}, map[uint32]uint64{}
	for at := range b.spots {
		all = append(all, at)
		countries[at.country], asns[at.asn] = 0, 0
	}
	sort.Slice(all, func(i, j int) bool {
		x, y := all[i], all[j]
		return cmp.Or(cmp.Compare(b.spots[y], b.spots[x]), cmp.Compare(x.country, y.country), cmp.Compare(x.asn, y.asn)) < 0
	})
	out = appendCountries(out, countries)
	out = b.appendSystems(out, asns)
	out = binary.AppendUvarint(out, uint64(len(all)))
	number := map[spot]uint64{}
	for i, at := range all {
		out = binary.AppendUvarint(out, countries[at.country])
		number[at] = uint64(i) + 1
	}
	for _, at := range all {
		out = binary.AppendUvarint(out, asns[at.asn])
	}
	return out, number
}

// appendCountries writes the codes and notes their indexes.
func appendCountries(out []byte, index map[string]uint64) []byte {
	delete(index, "")
	out = binary.AppendUvarint(out, uint64(len(index)))
	for i, c := range sorted(index) {
		out = append(out, c...)
		index[c] = uint64(i) + 1
	}
	return out
}

// appendSystems writes numbers and names and notes the indexes.
func (b *Builder) appendSystems(out []byte, index map[uint32]uint64) []byte {
	delete(index, 0)
	asns := sorted(index)
	out = binary.AppendUvarint(out, uint64(len(asns)))
	last := uint32(0)
	for i, n := range asns {
		out = binary.AppendUvarint(out, uint64(n-last))
		last, index[n] = n, uint64(i)+1
	}
	for _, n := range asns {
		out = binary.AppendUvarint(out, uint64(len(b.names[n])))
	}
	for _, n := range asns {
		out = append(out, b.names[n]...)
	}
	return out
}

func sorted[K cmp.Ordered](m map[K]uint64) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// appendSpans writes the starts of ranges, joined where the place stays the
// same, with the gaps between them.
func appendSpans(out []byte, spans []span, number map[spot]uint64) ([]byte, error) {
	sort.Slice(spans, func(i, j int) bool { return spans[i].first < spans[j].first })
	var starts, places []uint64
	begin := func(start, place uint64) {
		if n := len(places); n == 0 && place != 0 || n > 0 && places[n-1] != place {
			starts, places = append(starts, start), append(places, place)
		}
	}
	for i, s := range spans {
		if i > 0 {
			before := spans[i-1].last
			if s.first <= before {
				return nil, fmt.Errorf("two ranges overlap at %#x", s.first)
			}
			if s.first > before+1 {
				begin(before+1, 0)
			}
		}
		begin(s.first, number[s.at])
	}
	if n := len(spans); n > 0 && spans[n-1].last != ^uint64(0) {
		begin(spans[n-1].last+1, 0)
	}
	return appendStarts(out, starts, places), nil
}

// appendStarts writes the three columns of ranges.
func appendStarts(out []byte, starts, places []uint64) []byte {
	out = binary.AppendUvarint(out, uint64(len(starts)))
	distance := func(i int) uint64 {
		if i == 0 {
			return starts[0] + 1
		}
		return starts[i] - starts[i-1]
	}
	for i := range starts {
		out = append(out, byte(bits.TrailingZeros64(distance(i))))
	}
	for i := range starts {
		d := distance(i)
		out = binary.AppendUvarint(out, d>>bits.TrailingZeros64(d)>>1)
	}
	for _, p := range places {
		out = binary.AppendUvarint(out, p)
	}
	return out
}
