package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"freeway/api"
	"freeway/config"
	"freeway/web"
)

// fixedPaths cannot change while the server runs.
var fixedPaths = []string{"store", "network", "audit", "log.format", "log.file", "log.max_size", "log.max_files", "log.sample", "tracing", "checker.judge_ca"}

// reload is reloadAndTell for those who need no report.
func (s *server) reload() error {
	_, err := s.reloadAndTell()
	return err
}

// reloadAndTell reads the configuration again and hands it to the parts. A bad one is
// reported and counted, and everything stays as it was. Keys that need a restart
// keep their values; the others are put in force. While the server stops nothing is
// read, and nothing counted: the configuration may well be right.
func (s *server) reloadAndTell() (api.ReloadReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		s.log.Debug("configuration not read", "err", api.ErrStopping)
		return api.ReloadReport{}, api.ErrStopping
	}
	over := s.tellReloading()
	report, err := s.takeUp()
	over(err)
	s.metrics.reloaded(err == nil, len(report.NeedsRestart))
	result := web.ReloadResult{At: time.Now()}
	if err != nil {
		result.Err = err.Error()
	}
	s.last.Store(&result)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			s.log.Error("configuration not changed", "err", line)
		}
		return api.ReloadReport{}, err
	}
	s.log.Info("configuration reloaded", "changed", strings.Join(report.Changed, " "))
	if len(report.NeedsRestart) > 0 {
		s.log.Warn("a change in the configuration needs a restart; the old value stays till then", "keys", strings.Join(report.NeedsRestart, " "))
	}
	return report, nil
}

// takeUp reads the configuration and puts it in force; the caller holds mu.
func (s *server) takeUp() (api.ReloadReport, error) {
	next, err := s.opt.load()
	s.noteSecrets()
	if err != nil {
		return api.ReloadReport{}, err
	}
	report := api.ReloadReport{NeedsRestart: keepFixed(s.cfg, &next), Changed: config.Changed(s.cfg, next)}
	if len(report.NeedsRestart) > 0 {
		if err := next.Validate(); err != nil {
			return report, fmt.Errorf("together with what needs a restart (%s): %w", strings.Join(report.NeedsRestart, ", "), err)
		}
	}
	if err := s.apply(next); err != nil {
		return report, err
	}
	s.cfg = next
	s.sayCuts(next)
	if s.opt.level != nil {
		setLevel(s.opt.level, next.Log.Level)
	}
	return report, nil
}

// apply hands a configuration to every part; when one refuses it, those
// before it get the old one back.
func (s *server) apply(next config.Config) error {
	parts := []func(config.Config) error{
		func(c config.Config) error { return s.pool.Apply(poolConfig(s.fitted(c))) },
		func(c config.Config) error { return s.scraper.Apply(s.fitted(c).Scraper, c.Sources) },
		func(c config.Config) error { return s.checker.Apply(s.fitted(c).Checker) },
		s.applyCerts,
		func(c config.Config) error { return s.gateway.Apply(s.fitted(c).Gateway) },
		s.applyPlaces,
		s.applyAdmin,
		s.applyDoors,
		func(c config.Config) error { s.alerts.apply(c.Admin.Alertmanager.Actions); return nil },
	}
	for i, put := range parts {
		err := put(next)
		if err == nil {
			continue
		}
		for _, back := range parts[:i] {
			err = errors.Join(err, back(s.cfg))
		}
		return err
	}
	return nil
}

// applyAdmin guards the admin API as the configuration says now; the token is
// read from its file again. Requests that are under way end as they began.
func (s *server) applyAdmin(c config.Config) error {
	tokens, err := c.Admin.AccessTokens()
	if err != nil {
		return err
	}
	if slices.Equal(tokens, s.tokens) && reflect.DeepEqual(c.Admin, s.cfg.Admin) && reflect.DeepEqual(c.Compat, s.cfg.Compat) {
		return nil
	}
	a, err := s.makeAPI(c, tokens)
	if err != nil {
		return err
	}
	s.api.Store(a)
	s.tokens = tokens
	return nil
}

// keepFixed gives what cannot change while the server runs its old values, and
// names the keys that differed.
func keepFixed(old config.Config, next *config.Config) []string {
	var kept []string
	for _, path := range config.Changed(old, *next) {
		if slices.ContainsFunc(fixedPaths, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") }) {
			config.Keep(next, old, path)
			kept = append(kept, path)
		}
	}
	return kept
}

// reloadOnSignal reloads on SIGHUP.
func (s *server) reloadOnSignal(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			s.reload() //nolint:errcheck // it has logged the error
		}
	}
}

// reloadOnChange reloads when the file has changed, or a secret, and takes up
// certificates.
func (s *server) reloadOnChange(ctx context.Context) error {
	return config.Watch(ctx, s.opt.watch, config.WatchOptions{Since: s.opt.since, More: s.followed, Moved: s.moved}, func() { s.reload() }) //nolint:errcheck // it has logged the error
}
