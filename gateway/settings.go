package gateway

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"

	"freeway/dial"
	"freeway/proxy"
)

// settings is a Config made ready for use. It is immutable; Apply swaps it.
type settings struct {
	cfg      Config
	dialer   *dial.Dialer
	users    map[string]*user // nil: nobody needs a user
	fixed    []Options        // of Config.Listeners
	banned   map[int]bool
	again    map[int]bool // Retry.OnStatus
	maxConns int
}

// user is a configured user.
type user struct {
	name     string
	password proxy.Secret
	require  Options
	most     int64         // requests at a time; 0: no limit
	rate     *rate.Limiter // nil: no limit
	running  *atomic.Int64 // survives Apply
}

// newSettings checks cfg and makes it ready. old is what it replaces, nil at the start;
// counters of users carry over.
func newSettings(cfg Config, env Env, old *settings) (*settings, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if old != nil {
		if err := sameListeners(old.cfg, cfg); err != nil {
			return nil, err
		}
	}
	s := &settings{
		cfg:      cfg,
		dialer:   env.Dialer.WithTimeouts(dial.Config{Connect: cfg.Timeouts.Connect, Handshake: cfg.Timeouts.Handshake}),
		banned:   setOf(cfg.Ban.Status),
		again:    setOf(cfg.Retry.OnStatus),
		maxConns: cfg.MaxConnections,
	}
	if s.maxConns == 0 {
		s.maxConns = defaultConns()
	}
	for _, l := range cfg.Listeners {
		o, _ := parseOptions(l.Options) // Validate has read it
		s.fixed = append(s.fixed, o)
	}
	return s, s.readUsers(old)
}

// sameListeners refuses what a running gateway cannot change.
func sameListeners(old, cfg Config) error {
	addrs := func(c Config) (out []string) {
		for _, l := range c.Listeners {
			out = append(out, l.Listen)
		}
		return out
	}
	switch {
	case old.Listen != cfg.Listen:
		return errors.New("listen: a change needs a restart")
	case !slices.Equal(addrs(old), addrs(cfg)):
		return errors.New("listeners: a change of addresses needs a restart")
	case old.TLS != cfg.TLS:
		return errors.New("tls: a change needs a restart; the files themselves are read again when they change")
	}
	return nil
}

// readUsers makes the users up, with passwords from their files.
func (s *settings) readUsers(old *settings) error {
	if len(s.cfg.Users) == 0 {
		return nil
	}
	s.users = map[string]*user{}
	for i, c := range s.cfg.Users {
		u := &user{name: c.Name, most: int64(c.Concurrency), running: new(atomic.Int64)}
		if c.Password != nil {
			u.password = *c.Password
		}
		if c.PasswordFile != "" {
			text, err := os.ReadFile(c.PasswordFile)
			if err != nil {
				return fmt.Errorf("users[%d].password_file: %w", i, err)
			}
			u.password = proxy.NewSecret(strings.TrimRight(string(text), "\r\n"))
		}
		u.require, _ = parseOptions(c.Require) // Validate has read it
		if c.Rate > 0 {
			u.rate = rate.NewLimiter(rate.Limit(c.Rate), max(c.Burst, int(c.Rate), 1))
		}
		if old != nil && old.users[c.Name] != nil {
			u.running = old.users[c.Name].running
		}
		s.users[c.Name] = u
	}
	return nil
}

// known is the test that parseUser needs, nil without users.
func (s *settings) known() func(string) bool {
	if s.users == nil {
		return nil
	}
	return func(name string) bool { return s.users[name] != nil }
}

// options returns the fixed choices of a listener.
func (s *settings) options(l *listener) Options {
	if l.fixed < 0 {
		return Options{}
	}
	return s.fixed[l.fixed]
}

// setOf makes a set for look-ups.
func setOf(list []int) map[int]bool {
	return maps.Collect(func(yield func(int, bool) bool) {
		for _, v := range list {
			if !yield(v, true) {
				return
			}
		}
	})
}
