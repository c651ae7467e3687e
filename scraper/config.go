package scraper

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v4"

	"freeway/proxy"
)

// Config is the `scraper:` section. Zero fields mean the default.
type Config struct {
	Schedule    string        `yaml:"schedule"`    // when sources without a schedule of their own are read: five cron fields or @every D; default "@every 30m"
	Concurrency int           `yaml:"concurrency"` // sources read at the same time, 1 to 256; default 8
	Timeout     time.Duration `yaml:"timeout"`     // for one request with its redirects and body, 1ms to 10m; default 20s
	MaxBytes    proxy.Size    `yaml:"max_bytes"`   // of one decoded list, 1 to 1GiB; more is an error of the source; default 32MiB
}

// The defaults of Config.
const (
	DefaultSchedule    = "@every 30m"
	DefaultConcurrency = 8
	DefaultTimeout     = 20 * time.Second
	DefaultMaxBytes    = proxy.Size(32 << 20)
)

// withDefaults fills zero fields.
func (c Config) withDefaults() Config {
	if c.Schedule == "" {
		c.Schedule = DefaultSchedule
	}
	if c.Concurrency == 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	return c
}

// Validate reports every mistake, each beginning with the key it is about.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if _, err := parseSchedule(c.Schedule); err != nil {
		errs = append(errs, fmt.Errorf("schedule: %w", err))
	}
	if c.Concurrency < 1 || c.Concurrency > 256 {
		errs = append(errs, fmt.Errorf("concurrency: %d is not between 1 and 256", c.Concurrency))
	}
	if c.Timeout < time.Millisecond || c.Timeout > 10*time.Minute {
		errs = append(errs, fmt.Errorf("timeout: %v is not between 1ms and 10m", c.Timeout))
	}
	if c.MaxBytes < 1 || c.MaxBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("max_bytes: %v is not between 1B and 1GiB", c.MaxBytes))
	}
	return errors.Join(errs...)
}

// Sources is the `sources:` section: which lists are read.
type Sources struct {
	Builtin Builtin  `yaml:"builtin"` // which of Builtins; default none, the configuration's default is true
	List    []Source `yaml:"list"`    // the operator's own; one with the name of a built-in replaces it
	Dir     string   `yaml:"dir"`     // a folder of list files, each a source named after its file, and of *.yaml files that define sources; "" for none
}

// Builtin says which built-in sources are used. In YAML: true, false or a list of names.
type Builtin struct {
	All   bool     // every one that is enabled in the catalogue
	Names []string // just these, also those that are off in the catalogue; ignored with All
}

// UnmarshalYAML reads true, false or a list of names.
func (b *Builtin) UnmarshalYAML(n *yaml.Node) error {
	*b = Builtin{}
	if n.Kind == yaml.SequenceNode {
		return n.Decode(&b.Names)
	}
	if err := n.Decode(&b.All); err != nil {
		return fmt.Errorf("line %d: builtin is true, false or a list of names", n.Line)
	}
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (b Builtin) MarshalYAML() (any, error) {
	if !b.All && len(b.Names) > 0 {
		return b.Names, nil
	}
	return b.All, nil
}

// Validate reports every mistake, each beginning with the key it is about.
// It looks at nothing but the values: files and folders may be missing.
func (s Sources) Validate() error {
	var errs []error
	known := map[string]bool{}
	for _, b := range Builtins() {
		known[b.Name] = true
	}
	for i, name := range s.Builtin.Names {
		if !known[name] {
			errs = append(errs, fmt.Errorf("builtin[%d]: there is no built-in source %q%s", i, clip(name, 64), nearest(name, known)))
		}
	}
	seen := map[string]int{}
	for i, src := range s.List {
		if err := inherit(src).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("list[%d].%w", i, err))
		}
		if j, twice := seen[src.Name]; twice && src.Name != "" {
			errs = append(errs, fmt.Errorf("list[%d].name: %q is also the name of list[%d]", i, clip(src.Name, 64), j))
		}
		seen[src.Name] = i
	}
	return errors.Join(errs...)
}

// nearest suggests the first known name that shares the longest beginning with name.
func nearest(name string, known map[string]bool) string {
	best, score := "", 2
	for k := range known {
		n := 0
		for n < len(k) && n < len(name) && k[n] == name[n] {
			n++
		}
		if n > score || n == score && best != "" && k < best {
			best, score = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; is it %q?", best)
}

// minEvery is the shortest interval that manners allow.
const minEvery = time.Second

// parseSchedule is cron.ParseStandard without its traps: it panics on some
// inputs ("TZ=UTC") and accepts "@every 0s".
func parseSchedule(spec string) (sched cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			sched, err = nil, fmt.Errorf("bad schedule %q; write five cron fields or @every 30m", clip(spec, 64))
		}
	}()
	spec = strings.TrimSpace(spec)
	if d, ok := strings.CutPrefix(spec, "@every"); ok {
		every, err := time.ParseDuration(strings.TrimSpace(d))
		if err != nil || every < minEvery {
			return nil, fmt.Errorf("bad schedule %q; @every needs at least %v", clip(spec, 64), minEvery)
		}
	}
	sched, err = cron.ParseStandard(spec)
	if err != nil {
		return nil, fmt.Errorf("bad schedule %q: %w", clip(spec, 64), err)
	}
	if sched.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("bad schedule %q: that never comes", clip(spec, 64))
	}
	return sched, nil
}

// clip keeps foreign text in messages short.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}
