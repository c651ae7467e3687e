package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"freeway/proxy"
	"freeway/store"
)

// TestReportCopy: a store that is being written is checked whole, by way of a
// copy: damage of a page and of a single record is found, and no copy is left.
func TestReportCopy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		damage func(content []byte) (at int, b []byte) // what is overwritten
	}{
		{"whole", nil},
		{"a page", func(c []byte) (int, []byte) { return len(c) / 8192 * 4096, make([]byte, 4096) }},
		{"a record", func(c []byte) (int, []byte) { return bytes.LastIndex(c, []byte("country-marker")), []byte("COUNTRY") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f.db")
			s := open(t, path, store.Options{})
			recs := plain(3500, 0)
			recs[1000].Sources = []string{"country-marker"}
			save(t, s, proxy.Batch{Put: recs})
			save(t, s, proxy.Batch{Put: recs[:10]}) // in the log
			if tt.damage != nil {
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				at, b := tt.damage(content)
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = f.WriteAt(b, int64(at))
				if err = errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
			}
			r, err := s.ReportCopy(ctx)
			switch {
			case tt.damage != nil && !errors.Is(err, store.ErrCorrupt):
				t.Errorf("ReportCopy = %+v, %v, want ErrCorrupt", r, err)
			case tt.damage == nil && (err != nil || r.Endpoints != 3500 || r.Format != 2 || r.Bytes < 4096):
				t.Errorf("ReportCopy = %+v, %v, want 3500 endpoints in format 2", r, err)
			}
			if left, _ := filepath.Glob(path + ".backup-*"); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}
