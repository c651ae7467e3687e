package geo

import "net/netip"

// table is a set of ranges in memory. Index 0 of places, countries and asns is
// the unknown.
type table struct {
	info      Info // without Path, Bytes and Known
	v4        ranges[uint32]
	v6        ranges[uint64] // by the upper half of the address: networks smaller than /64 are not told apart
	places    []place
	countries []string
	asns      []uint32 // rising
	names     string   // of the systems, one after the other
	ends      []uint32 // where in names the name of a system ends
}

// place is what an address has, as indexes of a table.
type place struct {
	country uint16
	system  uint32
}

// ranges says where another place begins: places[i] holds from starts[i] to
// the next start.
type ranges[K uint32 | uint64] struct {
	starts []K
	places []uint32
}

// find returns the place of k.
func (r ranges[K]) find(k K) uint32 {
	low, high := 0, len(r.starts)
	for low < high {
		if mid := int(uint(low+high) / 2); r.starts[mid] <= k {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0
	}
	return r.places[low-1]
}

// public reports whether the outside world can have the address.
func public(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.IsPrivate() }

// lookup returns what the table has for an address that is not mapped.
func (t *table) lookup(a netip.Addr) (country string, asn uint32, org string) {
	if !public(a) {
		return "", 0, ""
	}
	var n uint32
	if a.Is4() {
		n = t.v4.find(uint32(low4(a)))
	} else {
		n = t.v6.find(high6(a))
	}
	p := t.places[n]
	return t.countries[p.country], t.asns[p.system], t.name(p.system)
}

// name returns the name of a system.
func (t *table) name(system uint32) string {
	if system == 0 {
		return ""
	}
	return t.names[t.ends[system-1]:t.ends[system]]
}

// size is roughly what the table takes in memory, in bytes.
func (t *table) size() int {
	return 8*len(t.v4.starts) + 12*len(t.v6.starts) + 8*len(t.places) + 16*len(t.countries) + 8*len(t.asns) + len(t.names)
}

// known counts the addresses of IPv4 whose place is known.
func (t *table) known() uint64 {
	var sum uint64
	for i, start := range t.v4.starts {
		end := uint64(1) << 32
		if i+1 < len(t.v4.starts) {
			end = uint64(t.v4.starts[i+1])
		}
		if t.v4.places[i] != 0 {
			sum += end - uint64(start)
		}
	}
	return sum
}

// low4 is an IPv4 address as a number.
func low4(a netip.Addr) uint64 {
	b := a.As4()
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

// high6 is the upper half of an IPv6 address.
func high6(a netip.Addr) uint64 { b := a.As16(); return half(b[:8]) }

// low6 is the lower half of an IPv6 address.
func low6(a netip.Addr) uint64 { b := a.As16(); return half(b[8:]) }

func half(b []byte) uint64 {
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}
