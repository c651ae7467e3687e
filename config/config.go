package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"freeway/api"
	"freeway/checker"
	"freeway/gateway"
	"freeway/pool"
	"freeway/scraper"
	"freeway/store"
)

// Config is the whole configuration, a section for each part.
type Config struct {
	Store   Store             `yaml:"store"`
	Gateway gateway.Config    `yaml:"gateway"`
	Admin   api.Config        `yaml:"admin"`
	Scraper scraper.Config    `yaml:"scraper"`
	Sources scraper.Sources   `yaml:"sources"`
	Checker checker.Config    `yaml:"checker"`
	Filter  pool.FilterConfig `yaml:"filter"`
	Network Network           `yaml:"network"`
	Geo     Geo               `yaml:"geo"`
	Log     Log               `yaml:"log"`
	Audit   Audit             `yaml:"audit"`
	Tracing Tracing           `yaml:"tracing"`
	Compat  api.Compat        `yaml:"compat"`
}

// Store is the `store:` section.
type Store struct {
	Path        string        `yaml:"path"`         // the bbolt file; a relative path begins in the working directory; default freeway.db
	BackupEvery time.Duration `yaml:"backup_every"` // how old the latest snapshot beside it may get; 1m to 720h; default 6h
	BackupKeep  int           `yaml:"backup_keep"`  // how many snapshots are kept; 1 to 50; default 2
}

// Network is the `network:` section: non-public ranges that may be used all the same.
type Network struct {
	AllowUpstreams []netip.Prefix `yaml:"allow_upstreams"` // where proxies from lists may sit; default none
	AllowTargets   []netip.Prefix `yaml:"allow_targets"`   // which literal targets clients may ask for; default none
}

// Geo is the `geo:` section.
type Geo struct {
	Database string `yaml:"database"` // an .mmdb file or a compact table; "": the table that was fetched, else the built-in one
}

// Audit is the `audit:` section.
type Audit struct {
	Path string `yaml:"path"` // a file that gets one JSON line per request; "": none
}

// Default returns the configuration that holds when nothing is said.
func Default() Config {
	return Config{
		Store:   Store{Path: "freeway.db", BackupEvery: store.DefaultBackupEvery, BackupKeep: store.DefaultBackupKeep},
		Gateway: gateway.DefaultConfig(),
		Admin:   api.Config{Listen: api.DefaultListen, Ready: api.DefaultReady()},
		Scraper: scraper.Config{Schedule: scraper.DefaultSchedule, Concurrency: scraper.DefaultConcurrency,
			Timeout: scraper.DefaultTimeout, MaxBytes: scraper.DefaultMaxBytes},
		Sources: scraper.Sources{Builtin: scraper.Builtin{All: true}},
		Checker: checker.Config{Rate: checker.DefaultRate, ConnectTimeout: checker.DefaultConnectTimeout, Timeout: checker.DefaultTimeout,
			Recheck: checker.DefaultRecheck, PerNetwork: checker.DefaultPerNetwork},
		Log: DefaultLog(), Tracing: Tracing{SampleRatio: 1},
	}
}

// Validate reports every mistake as Errors. It looks at nothing but the
// values: files and folders may be missing.
func (c Config) Validate() error { return c.check().err() }

// check asks every section that can validate itself, then what concerns
// several sections.
func (c Config) check() Errors {
	var errs Errors
	v := reflect.ValueOf(c)
	for _, k := range keysOf(v.Type()) {
		section, ok := v.Field(k.index).Interface().(interface{ Validate() error })
		if !ok {
			continue
		}
		for _, msg := range flatten("", section.Validate()) {
			path, text := splitMessage(msg)
			errs.add("", strings.TrimSuffix(join(k.name, path), "."), "%s", text)
		}
	}
	c.crossCheck(&errs)
	return errs
}

// Validate reports every mistake, each beginning with the key it is about.
func (s Store) Validate() error {
	var errs []error
	if s.Path == "" {
		errs = append(errs, errors.New("path: no path; write for example freeway.db"))
	}
	if s.BackupEvery < time.Minute || s.BackupEvery > 30*24*time.Hour {
		errs = append(errs, fmt.Errorf("backup_every: %v is not between 1m and 720h", s.BackupEvery))
	}
	if s.BackupKeep < 1 || s.BackupKeep > 50 {
		errs = append(errs, fmt.Errorf("backup_keep: %d is not between 1 and 50", s.BackupKeep))
	}
	return errors.Join(errs...)
}

// crossCheck finds what is wrong between sections.
func (c Config) crossCheck(errs *Errors) {
	type listener struct{ path, addr string }
	taken := []listener{{"gateway.listen", c.Gateway.Listen}, {"gateway.tls.listen", c.Gateway.TLS.Listen}}
	for i, l := range c.Gateway.Listeners {
		taken = append(taken, listener{fmt.Sprintf("gateway.listeners[%d].listen", i), l.Listen})
	}
	more := []listener{{"admin.listen", c.Admin.Listen}}
	for _, name := range api.CompatNames() { // the sections have compared their own
		more = append(more, listener{"compat." + name, c.Compat.Listeners()[name]})
	}
	for _, m := range more {
		for _, l := range taken {
			if sameListener(m.addr, l.addr) {
				errs.add("", m.path, "%s is taken by %s", clip(m.addr), l.path)
				(*errs)[len(*errs)-1].other = &Error{Path: l.path, Msg: clip(l.addr) + " is taken by " + m.path}
				return
			}
		}
		taken = append(taken, m)
	}
}

// sameListener reports whether two addresses cannot be bound together. Port 0
// never collides; an address without host covers all hosts.
func sameListener(a, b string) bool {
	ah, ap, err1 := net.SplitHostPort(a)
	bh, bp, err2 := net.SplitHostPort(b)
	if err1 != nil || err2 != nil || ap != bp || ap == "0" {
		return false
	}
	return everywhere(ah) || everywhere(bh) || canonicalHost(ah) == canonicalHost(bh)
}

// everywhere reports whether a listener on host answers on all addresses.
func everywhere(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}

// canonicalHost makes the usual names of this machine equal.
func canonicalHost(host string) string {
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1"
	}
	return host
}

// flatten takes joined errors apart, also those that are wrapped with a prefix.
func flatten(prefix string, err error) []string {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out, texts []string
		for _, e := range many.Unwrap() {
			out = append(out, flatten(prefix, e)...)
			texts = append(texts, e.Error())
		}
		if strings.Join(texts, "\n") == err.Error() { // errors.Join, not fmt.Errorf with several %w
			return out
		}
	} else if inner := errors.Unwrap(err); inner != nil {
		if head, ok := strings.CutSuffix(err.Error(), inner.Error()); ok {
			return flatten(prefix+head, inner)
		}
	}
	return []string{prefix + err.Error()}
}

// splitMessage separates "retry.attempts: what is wrong" at the path.
func splitMessage(msg string) (path, text string) {
	path, text, ok := strings.Cut(msg, ": ")
	if !ok || strings.ContainsFunc(path, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("_.[]-", r)
	}) {
		return "", msg
	}
	return path, text
}

// parents yields path and then each shorter one: a.b[1].c, a.b[1], a.b, a.
func parents(path string) []string {
	out := []string{path}
	for path != "" {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
		if path != "" {
			out = append(out, path)
		}
	}
	return out
}

// Variable returns the name of the environment variable for one of Paths.
func Variable(path string) string {
	return "FREEWAY_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}
