package gateway

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"

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
	banText  []*regexp.Regexp // Ban.Body
	retry    retryPlan
	rules    map[string]*targetRule // of Config.Targets, by domain
	maxConns int
}

// user is a configured user.
type user struct {
	name     string
	password proxy.Secret
	style    style
	require  Options
	limits   *gate  // nil: those of Config.PerClient
	daily    int64  // bytes; 0: no limit
	quota    *quota // survives Apply
}

// newSettings checks cfg and makes it ready. old is what it replaces, nil at the start;
// counters of users carry over.
func newSettings(cfg Config, env Env, old *settings) (*settings, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &settings{
		cfg:      cfg,
		dialer:   env.Dialer.WithTimeouts(dial.Config{Connect: cfg.Timeouts.Connect, Handshake: cfg.Timeouts.Handshake}),
		banned:   setOf(cfg.Ban.Status),
		retry:    retryPlan{cfg.Retry, setOf(cfg.Retry.OnStatus)},
		maxConns: cfg.MaxConnections,
	}
	if s.maxConns == 0 {
		s.maxConns = defaultConns()
	}
	for _, l := range cfg.Listeners {
		o, _ := parseOptions(l.Options) // Validate has read it
		s.fixed = append(s.fixed, o)
	}
	for _, p := range cfg.Ban.Body {
		re, _ := banPattern(p) // Validate has read it
		s.banText = append(s.banText, re)
	}
	if err := s.readUsers(); err != nil {
		return nil, err
	}
	s.inherit(old)
	return s, nil
}

// readUsers makes the users up, with passwords from their files.
func (s *settings) readUsers() error {
	if len(s.cfg.Users) == 0 {
		return nil
	}
	s.users = map[string]*user{}
	for i, c := range s.cfg.Users {
		u := newUser(c)
		if c.Password != nil {
			u.password = *c.Password
		}
		if c.PasswordFile != "" && u.password.Reference() == "" {
			text, err := os.ReadFile(c.PasswordFile)
			if err != nil {
				return fmt.Errorf("users[%d].password_file: %w", i, err)
			}
			u.password = proxy.NewSecret(strings.TrimRight(string(text), "\r\n"))
		}
		s.users[c.Name] = u
	}
	return nil
}

// newUser makes a user up, without the password. Validate has read what it needs.
func newUser(c User) *user {
	u := &user{name: c.Name, style: style(c.Style), daily: int64(c.DailyBytes), quota: &quota{}}
	u.require, _ = parseOptions(c.Require)
	if own := (ClientLimits{c.Rate, c.Burst, c.Concurrency, c.Bandwidth}); own != (ClientLimits{}) {
		u.limits = &gate{}
		u.limits.set(own)
	}
	return u
}

// inherit makes the rules up and takes over what was counted under the settings before.
func (s *settings) inherit(old *settings) {
	if old == nil {
		s.rules = newRules(s.cfg.Targets, s.cfg.Retry, nil)
		return
	}
	s.rules = newRules(s.cfg.Targets, s.cfg.Retry, old.rules)
	for name, u := range s.users {
		before := old.users[name]
		if before == nil {
			continue
		}
		u.quota = before.quota
		if u.limits != nil && before.limits != nil && u.limits.cfg == before.limits.cfg {
			u.limits = before.limits
			continue
		}
		if before.limits == nil {
			continue
		}
		if u.limits == nil {
			before.limits.bytes.become(0)
			continue
		}
		u.limits.bytes = before.limits.bytes.become(u.limits.cfg.Bandwidth)
	}
}

// find is the look-up that parseUser needs, nil without users.
func (s *settings) find() func(string) *user {
	if s.users == nil {
		return nil
	}
	return func(name string) *user { return s.users[name] }
}

// options returns the fixed choices of a listener, nil when it has none.
func (*settings) options(l *listener) *Options { return l.fixed.Load() }

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
