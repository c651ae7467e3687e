package checker

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"freeway/proxy"
)

// Config is the `checker:` section. Zero fields mean the default, except where said.
type Config struct {
	Concurrency    int           `yaml:"concurrency"`     // addresses tested at the same time, at most 10,000; 0: a third of the file limit, 16 to 1000
	Rate           float64       `yaml:"rate"`            // connections a second, 0: no limit; the configuration's default is DefaultRate
	PerNetwork     int           `yaml:"per_network"`     // connects to one public /24 (IPv6: /48) under way at the same time, 1 to 10,000; default 16
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // TCP to the proxy, 1ms to 5m; default 5s
	Timeout        time.Duration `yaml:"timeout"`         // for one step: TLS to the proxy, its answer, TLS to a judge, the judge's answer; all of one protocol together may take three times as long. 1ms to 10m; default 10s
	FixedTimeouts  bool          `yaml:"fixed_timeouts"`  // wait for every candidate as long as the two say; default: less, as live proxies need less
	Judges         []Judge       `yaml:"judges"`          // none: PublicJudges
	JudgeCA        string        `yaml:"judge_ca"`        // PEM file of authorities trusted for judges and targets besides the system's
	OwnIPs         []netip.Addr  `yaml:"own_ips"`         // addresses that we are known by, besides those found out
	Targets        []TargetCheck `yaml:"targets"`         // further pages to reach through every proxy that passed
	Recheck        time.Duration `yaml:"recheck"`         // how often a working proxy is tested again, 1s to 24h; default 5m. The pool schedules it
}

// The defaults of Config.
const (
	DefaultRate           = 1000
	DefaultConnectTimeout = 5 * time.Second
	DefaultTimeout        = 10 * time.Second
	DefaultRecheck        = 5 * time.Minute
)

// Judge is a page that tells what it saw. In YAML it is the URL alone, or {url, key_file} or {url, key}.
type Judge struct {
	URL     string       `yaml:"url"`      // http:// tests plain HTTP, https:// tunnels; the query is kept and the nonce added
	Key     proxy.Secret `yaml:"key"`      // with which `freeway judge` signs; none: signatures are not checked
	KeyFile string       `yaml:"key_file"` // a file that holds the key, instead of Key
}

// UnmarshalYAML reads a URL alone, or a mapping with url and key_file.
func (j *Judge) UnmarshalYAML(n *yaml.Node) error {
	*j = Judge{}
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Decode(&j.URL)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			into := map[string]any{"url": &j.URL, "key": &j.Key, "key_file": &j.KeyFile}[n.Content[i].Value]
			if into == nil {
				return fmt.Errorf("line %d: unknown key %q; a judge has url, key and key_file", n.Content[i].Line, clip(n.Content[i].Value, 40))
			}
			if err := n.Content[i+1].Decode(into); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("line %d: a judge is a URL, or {url: ..., key_file: ...}", n.Line)
}

// MarshalYAML writes what UnmarshalYAML reads.
func (j Judge) MarshalYAML() (any, error) {
	out := map[string]any{"url": j.URL}
	switch {
	case j.KeyFile != "":
		out["key_file"] = j.KeyFile
	case !j.Key.IsZero():
		out["key"] = j.Key
	default:
		return j.URL, nil
	}
	return out, nil
}

// TargetCheck is a page that proxies are asked to reach once the judges are content.
type TargetCheck struct {
	Name     string `yaml:"name"`     // what filters call it: letters, digits, - and _
	URL      string `yaml:"url"`      // http or https
	Status   int    `yaml:"status"`   // the one status that counts as reached; 0: any from 200 to 399
	Body     string `yaml:"body"`     // text that the first 64 KiB of the answer must hold; "": any
	Required bool   `yaml:"required"` // a proxy that does not reach it fails its check, unless it was reached before and no proxy reaches it any more; default: it is only noted
}

// withDefaults fills zero fields.
func (c Config) withDefaults() Config {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = DefaultConnectTimeout
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Recheck == 0 {
		c.Recheck = DefaultRecheck
	}
	if c.PerNetwork == 0 {
		c.PerNetwork = DefaultPerNetwork
	}
	if c.Concurrency == 0 {
		c.Concurrency = concurrencyFor(fileLimit())
	}
	if len(c.Judges) == 0 {
		for _, u := range PublicJudges() {
			c.Judges = append(c.Judges, Judge{URL: u})
		}
	}
	return c
}

// maxConcurrency keeps goroutines and sockets in reason whatever the file limit is.
const maxConcurrency = 10_000

// Validate reports every mistake, each beginning with the key it is about.
// It looks at nothing but the values: files may be missing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		bad("concurrency: %d is not between 1 and %d; 0 is as the file limit allows", c.Concurrency, maxConcurrency)
	}
	if !(c.Rate >= 0 && c.Rate <= 1e6) {
		bad("rate: %v is not between 0 and 1000000", c.Rate)
	}
	if c.PerNetwork < 1 || c.PerNetwork > maxConcurrency {
		bad("per_network: %d is not between 1 and %d", c.PerNetwork, maxConcurrency)
	}
	for _, d := range []struct {
		key       string
		d, lo, hi time.Duration
	}{
		{"connect_timeout", c.ConnectTimeout, time.Millisecond, 5 * time.Minute},
		{"timeout", c.Timeout, time.Millisecond, 10 * time.Minute},
		{"recheck", c.Recheck, time.Second, 24 * time.Hour},
	} {
		if d.d < d.lo || d.d > d.hi {
			bad("%s: %v is not between %v and %v", d.key, d.d, d.lo, d.hi)
		}
	}
	for i, j := range c.Judges {
		if _, err := parsePage(j.URL); err != nil {
			bad("judges[%d].url: %w", i, err)
		}
		if !j.Key.IsZero() && j.Key.Reference() == "" && j.KeyFile != "" {
			bad("judges[%d].key_file: give either key or key_file", i)
		}
	}
	for i, a := range c.OwnIPs {
		if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() {
			bad("own_ips[%d]: not an address", i)
		}
	}
	return errors.Join(append(errs, validateTargets(c.Targets)...)...)
}

// validateTargets reports every mistake in the targets section.
func validateTargets(targets []TargetCheck) []error {
	var errs []error
	seen := map[string]int{}
	for i, t := range targets {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("targets[%d].%s", i, fmt.Sprintf(format, args...)))
		}
		if !validName(t.Name) {
			bad("name: bad name %q; use 1 to 64 letters, digits, - and _", clip(t.Name, 64))
		} else if j, twice := seen[strings.ToLower(t.Name)]; twice {
			bad("name: %q is also the name of targets[%d]", t.Name, j)
		}
		seen[strings.ToLower(t.Name)] = i
		if _, err := parsePage(t.URL); err != nil {
			bad("url: %v", err)
		}
		if t.Status != 0 && (t.Status < 200 || t.Status > 599) {
			bad("status: %d is not between 200 and 599", t.Status)
		}
		if len(t.Body) > 1024 {
			bad("body: over 1024 bytes")
		}
	}
	return errs
}

// validName accepts names that filters can carry: user names separate values by commas and tildes.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// page is the address of a judge or target, taken apart.
type page struct {
	to   proxy.Target // TLS is by the scheme
	host string       // as the Host header says it: without the scheme's own port
	path string       // path and query, as a request line has it
}

// parsePage reads an http or https URL without credentials. Its errors do not hold the URL.
func parsePage(s string) (page, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return page{}, errors.New("not a URL; write for example https://judge.example.com/")
	}
	port, secure := uint16(80), u.Scheme == "https"
	if secure {
		port = 443
	} else if u.Scheme != "http" {
		return page{}, fmt.Errorf("scheme %q; use http or https", clip(u.Scheme, 20))
	}
	if u.User != nil {
		return page{}, errors.New("credentials in a URL are sent to everybody on the way; leave them out")
	}
	host := u.Host
	if u.Port() == "" {
		host = strings.TrimSuffix(host, ":")
	}
	to, err := proxy.ParseTarget(host, port)
	if err != nil {
		return page{}, err
	}
	to.TLS = secure
	name := to.String()
	if to.Port == port {
		name = strings.TrimSuffix(name, fmt.Sprintf(":%d", port))
	}
	return page{to: to, host: name, path: u.RequestURI()}, nil
}

// masked prints the page without its query, which may hold a secret.
func (p page) masked() string {
	scheme := "http://"
	if p.to.TLS {
		scheme = "https://"
	}
	path, _, asked := strings.Cut(p.path, "?")
	if asked {
		path += "?..."
	}
	return scheme + p.host + path
}

// operator is who is taken to run the page: its registrable domain, or its address.
func (p page) operator() string { return p.to.Domain }

// with returns the path with the nonce added to the query.
func (p page) with(nonce string) string {
	sep := "?"
	if strings.Contains(p.path, "?") {
		sep = "&"
	}
	return p.path + sep + nonceQuery + nonce
}

// clip keeps foreign text in messages short.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}
