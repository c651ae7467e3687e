package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"freeway/proxy"
	"freeway/store"
)

// BenchmarkSave saves batches of records scattered over a store of 200,000.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "f.db"), store.Options{})
			all := plain(200_000, 0)
			save(b, s, proxy.Batch{Put: all})
			batch := make([]proxy.Record, n)
			for i := range batch {
				batch[i] = all[i*len(all)/n]
			}
			b.ReportAllocs()
			for b.Loop() {
				save(b, s, proxy.Batch{Put: batch})
			}
		})
	}
}

// BenchmarkOpenAndLoad opens a store of 100,000 records and reads it.
func BenchmarkOpenAndLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "f.db")
	s := open(b, path, store.Options{})
	save(b, s, proxy.Batch{Put: plain(100_000, 0)})
	closeStore(b, s)
	b.ReportAllocs()
	for b.Loop() {
		s := open(b, path, store.Options{})
		if n := len(load(b, s)); n != 100_000 {
			b.Fatalf("%d records", n)
		}
		closeStore(b, s)
	}
}
