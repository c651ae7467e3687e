package main

import (
	"math/rand/v2"
	"testing"

	"freeway/proxy"
)

// TestAddresses compares the set with a map, over many hashes of which some are alike.
func TestAddresses(t *testing.T) {
	t.Parallel()
	var a addresses
	want := map[uint64]kinds{}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200_000 {
		h := r.Uint64N(50_000) << kindBits
		if i%20 == 0 {
			h = r.Uint64N(300)<<40 | 1<<63 // the same place in the table for many
		}
		as := kinds(1) << r.IntN(kindBits)
		if got := a.add(h|r.Uint64N(1<<kindBits), as); got != want[h] {
			t.Fatalf("%d: before add(%x, %b) it was %b, want %b", i, h, as, got, want[h])
		}
		want[h] |= as
	}
	if a.count != len(want) {
		t.Errorf("%d addresses, want %d", a.count, len(want))
	}
	if all := guessed | 1<<proxy.HTTP | 1<<proxy.HTTPS | 1<<proxy.SOCKS4 | 1<<proxy.SOCKS5; all != 1<<kindBits-1 {
		t.Errorf("%b are all kinds, for which %d bits are kept", all, kindBits)
	}
}
