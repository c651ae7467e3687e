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

	"freeway/config"
	"freeway/web"
)

// fixedPaths cannot change while the server runs.
var fixedPaths = []string{"store", "admin.listen", "network", "audit", "log.format", "checker.judge_ca", "compat.jhao104", "compat.python3webspider", "compat.scylla", "compat.henson"}

// reload reads the configuration again and hands it to the parts. A bad one is
// reported and counted, and everything stays as it was.
func (s *server) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.opt.load()
	if err == nil {
		err = needRestart(s.cfg, next)
	}
	if err == nil {
		err = s.apply(next)
	}
	s.metrics.reloaded(err == nil)
	result := web.ReloadResult{At: time.Now()}
	if err != nil {
		result.Err = err.Error()
	}
	s.last.Store(&result)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			s.log.Error("configuration not changed", "err", line)
		}
		return err
	}
	s.cfg = next
	if s.opt.level != nil {
		setLevel(s.opt.level, next.Log.Level)
	}
	s.log.Info("configuration reloaded")
	return nil
}

// apply hands a configuration to every part; when one refuses it, those
// before it get the old one back.
func (s *server) apply(next config.Config) error {
	parts := []func(config.Config) error{
		func(c config.Config) error { return s.pool.Apply(poolConfig(c)) },
		func(c config.Config) error { return s.scraper.Apply(c.Scraper, c.Sources) },
		func(c config.Config) error { return s.checker.Apply(c.Checker) },
		func(c config.Config) error { return s.gateway.Apply(c.Gateway) },
		s.applyPlaces,
		s.applyAdmin,
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

// needRestart names what differs and cannot be changed by a reload.
func needRestart(old, next config.Config) error {
	var changed []string
	for _, path := range config.Paths() {
		fixed := slices.ContainsFunc(fixedPaths, func(p string) bool { return path == p || strings.HasPrefix(path, p+".") })
		if fixed && !reflect.DeepEqual(config.Field(old, path), config.Field(next, path)) {
			changed = append(changed, path)
		}
	}
	if len(changed) > 0 {
		return fmt.Errorf("a change of %s needs a restart", strings.Join(changed, ", "))
	}
	return nil
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

// reloadOnChange reloads when the file has changed.
func (s *server) reloadOnChange(ctx context.Context) error {
	return config.Watch(ctx, s.opt.watch, config.WatchOptions{Since: s.opt.since}, func() { s.reload() }) //nolint:errcheck // it has logged the error
}
