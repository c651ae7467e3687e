package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"freeway/config"
	"freeway/internal/logs"
)

// logFlush is how long the end of a program waits for a log that is not taken.
const logFlush = 2 * time.Second

// logger writes to stderr at once, for commands that are soon over. level can be
// changed while it is used.
func (a *app) logger(cfg config.Log, level *slog.LevelVar) *slog.Logger {
	a.setLevel(cfg, level)
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, opt))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opt))
}

// openLog begins the log of a server, for which nobody waits. It must be closed.
// From now on the process outlives whoever read its stderr.
func (a *app) openLog(cfg config.Log, level *slog.LevelVar) (*logs.Log, error) {
	a.setLevel(cfg, level)
	signal.Ignore(syscall.SIGPIPE) // else a write to a closed pipe would end the process
	return logs.Open(logs.Options{JSON: cfg.Format == "json", Level: level, Stderr: a.stderr, File: cfg.File,
		FileOptions: logs.FileOptions{MaxSize: int64(cfg.MaxSize), MaxFiles: cfg.MaxFiles},
		Sample:      logs.Sample{First: cfg.Sample.First, Nth: cfg.Sample.Nth, Every: cfg.Sample.Every}})
}

// setLevel sets the configured level, or that of --quiet.
func (a *app) setLevel(cfg config.Log, level *slog.LevelVar) {
	setLevel(level, cfg.Level)
	if a.quiet && level.Level() < slog.LevelError {
		level.Set(slog.LevelError)
	}
}

// setLevel changes the level; an unknown name changes nothing, as the configuration
// has been validated.
func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) == nil {
		level.Set(l)
	}
}

// observeLogs registers what the log and the audit log could not write.
func (s *server) observeLogs() {
	f := promauto.With(s.registry)
	f.NewCounterFunc(prometheus.CounterOpts{Name: "freeway_audit_lost_total",
		Help: "Requests that are missing in the audit log because it was too slow or could not be written."},
		func() float64 { return float64(s.audit.lost()) })
	stats := func() (st logs.Stats) {
		if s.opt.logs != nil {
			st = s.opt.logs.Stats()
		}
		return st
	}
	countersOf(s.registry, "freeway_log_dropped_total", "Log records that were not written: sampled, because the queue was full, or because the write failed.", "reason", map[string]func() uint64{
		"sampled": func() uint64 { return stats().Sampled },
		"queue":   func() uint64 { return stats().Lost },
		"write":   func() uint64 { return stats().Failed },
	})
}

// reopenOnSignal opens log and audit log anew on SIGHUP, after they were moved away.
func (s *server) reopenOnSignal(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			s.reopen()
		}
	}
}

// reopen opens log and audit log anew, in their own time.
func (s *server) reopen() {
	s.audit.reopen()
	if s.opt.logs != nil {
		s.opt.logs.Reopen()
	}
}
