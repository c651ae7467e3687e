package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"freeway/config"
	"freeway/pool"
	"freeway/proxy"
	"freeway/store"
)

// openStored opens the pool over the store of the configuration. The function
// returned saves everything and closes both.
func (a *app) openStored(ctx context.Context, cfg config.Config) (*pool.Pool, func() error, error) {
	st, err := store.Open(cfg.Store.Path, storeOptions(cfg.Store))
	if err != nil {
		return nil, nil, lockedRemedy(err, cfg, remedySave)
	}
	for _, w := range st.Warnings() {
		a.note("store: %s", w)
	}
	p, err := pool.Open(ctx, poolConfig(cfg), pool.Env{Store: st, Policy: proxy.NewAddrPolicy(cfg.Network.AllowUpstreams...)})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return p, func() error {
		err := p.Flush(context.WithoutCancel(ctx)) // also after Ctrl-C
		return errors.Join(err, st.Close())
	}, nil
}

// lockedHint adds to a lock error how to ask the process that has the store.
func lockedHint(err error, cfg config.Config) error {
	return lockedRemedy(err, cfg, "\"freeway get --server %s\" asks it instead")
}

// The remedies of commands that "freeway get" cannot stand in for; %s is where
// the process with the store probably answers.
const (
	remedySave  = "give it the list: curl --data-binary @FILE %s/api/proxies"
	remedyServe = "it probably serves at %s: end it first, or give this one another store.path"
	remedyStore = "end it first; \"freeway top --server %s\" shows what it does"
	remedyCheck = "\"freeway store check --server %s\" checks a copy of it"
	remedyCopy  = "\"freeway store backup --server %s FILE\" asks it for a copy"
)

// lockedRemedy adds to a lock error what to do about it.
func lockedRemedy(err error, cfg config.Config, remedy string) error {
	var locked *store.LockedError
	if errors.As(err, &locked) {
		return lockHintError{err, fmt.Sprintf(remedy, adminURL(cfg))}
	}
	return err
}

type lockHintError struct {
	error
	remedy string
}

// Error adds the way around the lock.
func (e lockHintError) Error() string { return fmt.Sprintf("%v; %s", e.error, e.remedy) }

// Unwrap returns the lock error.
func (e lockHintError) Unwrap() error { return e.error }

// saveCandidates puts what a list names into the store.
func (a *app) saveCandidates(ctx context.Context, cfg config.Config, source string, found []proxy.Candidate) error {
	p, done, err := a.openStored(ctx, cfg)
	if err != nil {
		return err
	}
	yield, err := p.Add(ctx, source, found)
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	a.note("saved to %s: %d new, %d known", cfg.Store.Path, yield.New, yield.Known)
	return nil
}

// sourceName makes the name of a source from an argument: the last part of its path.
func sourceName(arg string) string {
	if kindOf(arg) == inputStdin {
		return "stdin"
	}
	if kindOf(arg) == inputProxy {
		return "arguments"
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, path.Base(strings.ReplaceAll(arg, "\\", "/")))
	return name[:min(len(name), 64)]
}
