package pool

// table is a set of small numbers that are found by the hash of what they
// stand for: an open-addressing index of 4 bytes per slot. Keys live in the
// rows, so the functions that hash and compare them are the caller's.
type table struct {
	slots []uint32            // number + 1; 0 is empty; a power of two of them, at most three quarters in use
	count int                 // numbers in the table
	hash  func(uint32) uint64 // of the key of a number in the table
}

const minTable = 16

// find returns the number with hash h for which same is true.
func (t *table) find(h uint64, same func(uint32) bool) (uint32, bool) {
	if t.count == 0 {
		return 0, false
	}
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		v := t.slots[i]
		if v == 0 {
			return 0, false
		}
		if same(v - 1) {
			return v - 1, true
		}
	}
}

// add puts n in. It must not be there yet.
func (t *table) add(n uint32) {
	if (t.count+1)*4 > len(t.slots)*3 {
		t.grow()
	}
	t.put(n)
	t.count++
}

// put writes n into the first free slot from its own on.
func (t *table) put(n uint32) {
	mask := uint64(len(t.slots) - 1)
	i := t.hash(n) & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = n + 1
}

// grow doubles the slots. It reads the key of every number.
func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint32, max(minTable, 2*len(old)))
	for _, v := range old {
		if v != 0 {
			t.put(v - 1)
		}
	}
}

// remove takes n out, whose key must still be readable. Entries behind it move
// up, so that no marker is left (Knuth volume 3, 6.4, algorithm R).
func (t *table) remove(n uint32) {
	if t.count == 0 {
		return
	}
	mask := uint64(len(t.slots) - 1)
	i := t.hash(n) & mask
	for t.slots[i] != n+1 {
		if t.slots[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	t.count--
	for j := i; ; {
		j = (j + 1) & mask
		v := t.slots[j]
		if v == 0 {
			break
		}
		if home := t.hash(v-1) & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = v
			i = j
		}
	}
	t.slots[i] = 0
}

// pages is an array that grows without moving, so that pointers into it stay
// valid and no space is wasted on doubling. Numbers of freed elements are
// given out again.
type pages[T any] struct {
	all  [][]T
	size uint32 // numbers ever given out
	free []uint32
}

const pageBits = 10

// at returns the element with a number; the pointer stays valid.
func (p *pages[T]) at(n uint32) *T { return &p.all[n>>pageBits][n&(1<<pageBits-1)] }

// alloc returns the number of a zero element.
func (p *pages[T]) alloc() uint32 {
	if last := len(p.free) - 1; last >= 0 {
		n := p.free[last]
		p.free = p.free[:last]
		return n
	}
	if p.size&(1<<pageBits-1) == 0 {
		p.all = append(p.all, make([]T, 1<<pageBits))
	}
	p.size++
	return p.size - 1
}

// release zeroes the element and takes its number back.
func (p *pages[T]) release(n uint32) {
	var zero T
	*p.at(n) = zero
	p.free = append(p.free, n)
}
