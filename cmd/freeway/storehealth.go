package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/api"
	"freeway/config"
	"freeway/store"
)

// storeOptions are what the configuration says about the store.
func storeOptions(c config.Store) store.Options {
	return store.Options{BackupEvery: c.BackupEvery, BackupKeep: c.BackupKeep}
}

// storePart is the store's line of /readyz?verbose. It never waits for a disk.
func (s *server) storePart() api.Part {
	st := s.store.State()
	part := api.Part{Name: "store", Info: true}
	switch {
	case st.ReadOnly:
		part.Says = fmt.Sprintf("ALARM: read-only since %s, serving from memory: %v", st.Since.UTC().Format(time.RFC3339), st.Cause)
	case s.pool.ReadOnly():
		part.Says = "cannot be written at the moment; serving from memory"
	case st.Restored > 0:
		part.Says = "ALARM: " + st.Warning
	case st.BackupErr != nil:
		part.Says = fmt.Sprintf("open, but the latest snapshot failed: %v", st.BackupErr)
	case st.BackedUp.IsZero():
		part.OK, part.Says = true, "open, no snapshot yet"
	default:
		part.OK, part.Says = true, "open, snapshot of "+st.BackedUp.UTC().Format(time.RFC3339)
	}
	return part
}

// measureStore registers the metrics of the store's state.
func measureStore(r prometheus.Registerer, st *store.Store, path string) {
	f := promauto.With(r)
	gauge := func(name, help string, read func(store.State) float64) {
		f.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(st.State()) })
	}
	gauge("freeway_store_read_only", "1 while the store cannot be written after a failed write, else 0.", func(s store.State) float64 { return truth(s.ReadOnly) })
	gauge("freeway_store_snapshot_failed", "1 when the latest snapshot of the store failed, else 0.", func(s store.State) float64 { return truth(s.BackupErr != nil) })
	gauge("freeway_store_snapshot_timestamp_seconds", "When the latest snapshot of the store was made, in Unix seconds; 0: there is none.", func(s store.State) float64 {
		if s.BackedUp.IsZero() {
			return 0
		}
		return float64(s.BackedUp.Unix())
	})
	gauge("freeway_store_size_bytes", "Size of the store's file.", func(store.State) float64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return float64(info.Size())
	})
	f.NewCounterFunc(prometheus.CounterOpts{Name: "freeway_store_restored_total", Help: "How often a snapshot or an empty store took the place of a broken file since the start."},
		func() float64 { return float64(st.State().Restored) })
}

// truth is 1 for true.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// backup makes a copy of the store for the API.
func (s *server) backup(ctx context.Context, passwords bool) (io.ReadCloser, int64, error) {
	c, err := s.store.Copy(ctx, passwords)
	if err != nil {
		return nil, 0, err
	}
	return c, c.Size(), nil
}

// checkStore checks the store for the API.
func (s *server) checkStore(ctx context.Context) (api.StoreReport, error) {
	r, err := s.store.ReportCopy(ctx)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return api.StoreReport{}, err
	}
	out := api.StoreReport{OK: err == nil, Format: r.Format, Bytes: r.Bytes, Endpoints: r.Endpoints, Problems: []string{}}
	if err != nil {
		out.Problems = strings.Split(err.Error(), "\n")
	}
	return out, nil
}
