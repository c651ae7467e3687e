package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeway/internal/http1"
	"freeway/proxy"
)

// Validate reports every mistake, each beginning with the key it is about. It
// looks at nothing but the values: files may be missing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c.validateListeners(fail)
	c.validateUsers(fail)
	c.validateRetry(fail)
	c.validateTimes(fail)
	c.validateChoices(fail)
	c.validateTargets(fail)
	return errors.Join(errs...)
}

type failFunc func(format string, args ...any)

// validateListeners also refuses an open proxy: an address that others reach needs users or ranges.
func (c Config) validateListeners(fail failFunc) {
	open := len(c.Users) == 0 && len(c.AllowClients) == 0
	seen := map[string]string{}
	one := func(key, listen string) {
		loopback, err := checkListen(listen)
		switch {
		case err != nil:
			fail("%s: %w", key, err)
		case !loopback && open:
			fail("%s: %s can be reached by others and nobody needs a user: configure users or allow_clients, or listen on 127.0.0.1", key, listen)
		case seen[listen] != "" && !strings.HasSuffix(listen, ":0"):
			fail("%s: %s is taken by %s", key, listen, seen[listen])
		}
		seen[listen] = key
	}
	one("listen", c.Listen)
	for i, l := range c.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		one(key+".listen", l.Listen)
		if _, err := parseOptions(l.Options); err != nil {
			fail("%s.options: %w", key, err)
		}
	}
	if c.TLS.Listen != "" {
		one("tls.listen", c.TLS.Listen)
	}
	c.TLS.validate(fail)
}

// checkListen reports whether an address is reachable from this machine only.
func checkListen(listen string) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("bad address %q; write host:port", listen)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return false, fmt.Errorf("bad port in %q", listen)
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || host == "localhost", nil
}

// validateUsers checks names, which must survive the user-name grammar, and what users require.
func (c Config) validateUsers(fail failFunc) {
	seen := map[string]bool{}
	for i, u := range c.Users {
		key := fmt.Sprintf("users[%d]", i)
		switch {
		case u.Name == "" || len(u.Name) > 255 || strings.ContainsAny(u.Name, ":%") || !printable(u.Name):
			fail("%s.name: 1 to 255 characters without : and %%", key)
		case seen[u.Name]:
			fail("%s.name: %q is configured twice", key, u.Name)
		}
		seen[u.Name] = true
		switch {
		case u.Password != nil && u.Password.Reference() == "" && u.PasswordFile != "":
			fail("%s.password_file: password is given as well", key)
		case u.Password == nil && u.PasswordFile == "":
			fail("%s: give password or password_file; password: \"\" allows an empty one", key)
		}
		ClientLimits{u.Rate, u.Burst, u.Concurrency, u.Bandwidth}.validate(key, fail)
		if o, err := parseOptions(u.Require); err != nil {
			fail("%s.require: %w", key, err)
		} else if !o.filtersOnly() {
			fail("%s.require: only filters can be required", key)
		}
		if u.DailyBytes < 0 {
			fail("%s.daily_bytes: %v is negative", key, u.DailyBytes)
		}
		if !style(u.Style).known() {
			fail("%s.style: %q is none of %s", key, u.Style, words(styles()))
		}
	}
}

// validate checks limits; key is where they stand.
func (l ClientLimits) validate(key string, fail failFunc) {
	if !(l.Rate >= 0 && l.Rate <= maxRate) || l.Burst < 0 || l.Concurrency < 0 {
		fail("%s.rate: rate, burst and concurrency are not negative, and no rate is over %v", key, maxRate)
	}
	if l.Burst > 0 && l.Rate == 0 {
		fail("%s.burst: there is no rate that it belongs to", key)
	}
	validateBandwidth(key, l.Bandwidth, fail)
}

// validateBandwidth checks a cap in bytes per second.
func validateBandwidth(key string, b proxy.Size, fail failFunc) {
	if b != 0 && (b < leastBandwidth || b > maxBandwidth) {
		fail("%s.bandwidth: %v is not between %v and %v; 0 is no limit", key, b, proxy.Size(leastBandwidth), proxy.Size(maxBandwidth))
	}
}

// maxRate is a limit that limits nothing any more.
const maxRate = 1e6

// words lists values for people.
func words[T ~string](list []T) string {
	var all []string
	for _, v := range list {
		all = append(all, string(v))
	}
	return strings.Join(all, ", ")
}

// validateRetry checks failover and what counts as a ban.
func (c Config) validateRetry(fail failFunc) {
	c.Retry.validate("retry", fail)
	if c.Retry.Attempts < 1 {
		fail("retry.attempts: %d is not between 1 and %d", c.Retry.Attempts, maxAttempts)
	}
	finals("ban.status", c.Ban.Status, fail)
	for i, p := range c.Ban.Body {
		if _, err := banPattern(p); err != nil {
			fail("ban.body[%d]: %w", i, err)
		}
	}
	if b := c.Hedge.Budget; !(b >= 0 && b <= 1) {
		fail("hedge.budget: %v is not between 0 and 1", b)
	}
	c.PerClient.validate("per_client", fail)
}

// validate checks failover where zero values mean what holds elsewhere.
func (r Retry) validate(key string, fail failFunc) {
	if r.Attempts > maxAttempts || r.Attempts < 0 {
		fail("%s.attempts: %d is not between 1 and %d", key, r.Attempts, maxAttempts)
	}
	for i, m := range r.Methods {
		if !http1.IsToken(m) || m == "CONNECT" {
			fail("%s.methods[%d]: bad method %q", key, i, m)
		}
	}
	if r.BodyBuffer < 0 || r.BodyBuffer > 64<<20 {
		fail("%s.body_buffer: %v is not between 0 and 64MiB", key, r.BodyBuffer)
	}
	finals(key+".on_status", r.OnStatus, fail)
}

// finals checks a list of final statuses.
func finals(key string, list []int, fail failFunc) {
	for i, s := range list {
		if s < 200 || s > 599 {
			fail("%s[%d]: %d is not a final status", key, i, s)
		}
	}
}

// validateTargets checks the rules for single targets.
func (c Config) validateTargets(fail failFunc) {
	const day = 24 * time.Hour
	seen := map[string]bool{}
	for i, t := range c.Targets {
		key := fmt.Sprintf("targets[%d]", i)
		domain := ruleDomain(t.Domain)
		switch host, err := proxy.ParseTarget(domain, 80); {
		case err != nil:
			fail("%s.domain: %q: write a domain such as example.com, or an address", key, clip(t.Domain))
		case host.Host != domain:
			fail("%s.domain: write %q as %q", key, clip(t.Domain), host.Host)
		case seen[domain]:
			fail("%s.domain: %q has a rule already", key, domain)
		}
		seen[domain] = true
		ClientLimits{Rate: t.Rate, Concurrency: t.Concurrency}.validate(key, fail)
		if t.MinInterval < 0 || t.MinInterval > day {
			fail("%s.min_interval: %v is not between 0s and %v", key, t.MinInterval, day)
		}
		t.Retry.validate(key+".retry", fail)
	}
}

// validateTimes checks that every duration is usable.
func (c Config) validateTimes(fail failFunc) {
	const day = 24 * time.Hour
	for _, d := range []struct {
		key      string
		v        time.Duration
		min, max time.Duration
	}{
		{"timeouts.connect", c.Timeouts.Connect, time.Millisecond, time.Hour},
		{"timeouts.handshake", c.Timeouts.Handshake, time.Millisecond, time.Hour},
		{"timeouts.first_byte", c.Timeouts.FirstByte, time.Millisecond, time.Hour},
		{"timeouts.total", c.Timeouts.Total, time.Millisecond, time.Hour},
		{"timeouts.idle", c.Timeouts.Idle, time.Millisecond, day},
		{"timeouts.warmup", c.Timeouts.Warmup, 0, time.Hour},
		{"hedge.min_delay", c.Hedge.MinDelay, time.Millisecond, time.Hour},
		{"session.ttl", c.Session.TTL, minTTL, maxTTL},
		{"tunnel.max_age", c.Tunnel.MaxAge, 0, 365 * day},
		{"drain", c.Drain, 0, time.Hour},
		{"drain_delay", c.DrainDelay, 0, time.Hour},
	} {
		if d.v < d.min || d.v > d.max {
			fail("%s: %v is not between %v and %v", d.key, d.v, d.min, d.max)
		}
	}
}

// validateChoices checks the keys that take one of a few words.
func (c Config) validateChoices(fail failFunc) {
	for _, v := range []struct {
		key, val string
		of       []string
	}{
		{"rotation", c.Rotation, []string{"adaptive", "round-robin", "random", "least-used", "fastest"}},
		{"plain_http", c.PlainHTTP, []string{allow, refuse}},
		{"plaintext_credentials", c.PlaintextCredentials, []string{refuse, allow}},
	} {
		if !slices.Contains(v.of, v.val) {
			fail("%s: %q is none of %s", v.key, v.val, strings.Join(v.of, ", "))
		}
	}
	if c.MaxConnections < 0 {
		fail("max_connections: %d is negative", c.MaxConnections)
	}
	for i, p := range c.Pools {
		if p == "" {
			fail("pools[%d]: empty", i)
		}
	}
}

// printable reports whether s has no control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
