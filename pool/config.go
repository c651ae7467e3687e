package pool

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is how a pool behaves. The zero value is usable.
type Config struct {
	// Rotation is how Pick chooses: adaptive (default), round-robin, random,
	// least-used or fastest.
	Rotation string `yaml:"-"`

	// SessionTTL is how long a session holds its exit when the client does not
	// say; default 10m.
	SessionTTL time.Duration `yaml:"-"`

	// Filter is laid over everything that is handed out.
	Filter FilterConfig `yaml:"filter"`

	// Recheck is how often live entries are checked again; default 5m. All
	// other due times scale with it.
	Recheck time.Duration `yaml:"-"`

	// Metered are the pools whose uses cost money; their entries are checked
	// twelve times as rarely as others.
	Metered []string `yaml:"-"`

	// MaxEntries bounds the pool; default 2,000,000. Beyond it the worst dead
	// entries make room, and without any new ones are refused.
	MaxEntries int `yaml:"-"`

	// Once makes every address due exactly once, for one-shot scans.
	Once bool `yaml:"-"`
}

// FilterConfig is the `filter:` section. Everything is of the exit, as far as
// it is known; DenyCIDRs also keep endpoints at such addresses out.
type FilterConfig struct {
	Countries     []string       `yaml:"countries"`      // ISO 3166-1 alpha-2; empty: all
	DenyCountries []string       `yaml:"deny_countries"` // ISO 3166-1 alpha-2
	DenyASNs      []uint32       `yaml:"deny_asns"`
	DenyCIDRs     []netip.Prefix `yaml:"deny_cidrs"`
}

// The defaults of Config.
const (
	DefaultSessionTTL = 10 * time.Minute
	DefaultRecheck    = 5 * time.Minute
	DefaultMaxEntries = 2_000_000
)

// Rotations returns the values of Config.Rotation.
func Rotations() []string {
	return []string{"adaptive", "round-robin", "random", "least-used", "fastest"}
}

// Validate reports all mistakes, each beginning with its key.
func (c Config) Validate() error {
	var errs []error
	if c.Rotation != "" && !slices.Contains(Rotations(), c.Rotation) {
		errs = append(errs, fmt.Errorf("rotation: %q is not one of %s", c.Rotation, strings.Join(Rotations(), ", ")))
	}
	for key, d := range map[string]time.Duration{"session.ttl": c.SessionTTL, "recheck": c.Recheck} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s: %v is negative", key, d))
		}
	}
	if c.MaxEntries < 0 {
		errs = append(errs, fmt.Errorf("max_entries: %d is negative", c.MaxEntries))
	}
	return errors.Join(append(errs, c.Filter.Validate())...)
}

// Validate reports all mistakes, each beginning with its key.
func (f FilterConfig) Validate() error {
	var errs []error
	for _, list := range []struct {
		key    string
		values []string
	}{{"countries", f.Countries}, {"deny_countries", f.DenyCountries}} {
		for i, c := range list.values {
			if !isCountry(c) {
				errs = append(errs, fmt.Errorf("%s[%d]: %q is not two letters (ISO 3166-1)", list.key, i, c))
			}
		}
	}
	for i, asn := range f.DenyASNs {
		if asn == 0 {
			errs = append(errs, fmt.Errorf("deny_asns[%d]: 0 is not an ASN", i))
		}
	}
	for i, p := range f.DenyCIDRs {
		if !p.IsValid() {
			errs = append(errs, fmt.Errorf("deny_cidrs[%d]: not a range", i))
		}
	}
	return errors.Join(errs...)
}

// isCountry reports whether s has the form of a country code, in any case.
func isCountry(s string) bool {
	if len(s) != 2 {
		return false
	}
	for _, c := range strings.ToUpper(s) {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// withDefaults fills zero fields.
func (c Config) withDefaults() Config {
	if c.Rotation == "" {
		c.Rotation = "adaptive"
	}
	if c.SessionTTL == 0 {
		c.SessionTTL = DefaultSessionTTL
	}
	if c.Recheck == 0 {
		c.Recheck = DefaultRecheck
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = DefaultMaxEntries
	}
	return c
}
