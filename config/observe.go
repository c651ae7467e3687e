package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"freeway/proxy"
)

// Log is the `log:` section.
type Log struct {
	Level    string     `yaml:"level"`     // debug, info, warn or error; default info
	Format   string     `yaml:"format"`    // text or json; default text
	File     string     `yaml:"file"`      // a file that is appended to; "": stderr
	MaxSize  proxy.Size `yaml:"max_size"`  // of the file before it is moved to FILE.1 and a new one begins, 0 for never, else at least 1KiB; default 100MiB
	MaxFiles int        `yaml:"max_files"` // how many of FILE.1, FILE.2, ... are kept, 0 to 1000; default 5
	Sample   LogSample  `yaml:"sample"`    // what happens to records that come again and again
}

// LogSample is the `log.sample:` section. Its key is level and message.
type LogSample struct {
	First int           `yaml:"first"` // records of one key that pass in each time, 0: all; default 100
	Nth   int           `yaml:"nth"`   // behind them one in so many passes, 0: none; default 100
	Every time.Duration `yaml:"every"` // the time, 1s to 1h; default 10s
}

// DefaultLog is the log that holds when nothing is said.
func DefaultLog() Log {
	return Log{Level: "info", Format: "text", MaxSize: 100 << 20, MaxFiles: 5, Sample: LogSample{First: 100, Nth: 100, Every: 10 * time.Second}}
}

// Tracing is the `tracing:` section.
type Tracing struct {
	Endpoint    string  `yaml:"endpoint"`     // http or https address of a collector that takes OTLP over HTTP; without a path /v1/traces is added; "": nothing is traced
	SampleRatio float64 `yaml:"sample_ratio"` // share of requests, runs and checks that is traced, 0 to 1; default 1
	HeadersFile string  `yaml:"headers_file"` // a file of "Name: value" lines that are sent along, for example a token; "": none
}

// Validate reports every mistake, each beginning with the key it is about.
func (l Log) Validate() error {
	var errs []error
	if levels := []string{"debug", "info", "warn", "error"}; !slices.Contains(levels, l.Level) {
		errs = append(errs, fmt.Errorf("level: unknown level %s; use one of %s", clip(l.Level), strings.Join(levels, ", ")))
	}
	if l.Format != "text" && l.Format != "json" {
		errs = append(errs, fmt.Errorf("format: unknown format %s; use text or json", clip(l.Format)))
	}
	if l.MaxSize != 0 && l.MaxSize < 1<<10 {
		errs = append(errs, fmt.Errorf("max_size: %v is less than 1KiB; 0 means no limit", l.MaxSize))
	}
	if l.MaxFiles < 0 || l.MaxFiles > 1000 {
		errs = append(errs, fmt.Errorf("max_files: %d is not between 0 and 1000", l.MaxFiles))
	}
	return errors.Join(append(errs, l.Sample.validate())...)
}

// validate reports every mistake, each beginning with the key it is about.
func (s LogSample) validate() error {
	var errs []error
	if s.First < 0 || s.First > 1e6 {
		errs = append(errs, fmt.Errorf("sample.first: %d is not between 0 and 1000000", s.First))
	}
	if s.Nth < 0 || s.Nth > 1e6 {
		errs = append(errs, fmt.Errorf("sample.nth: %d is not between 0 and 1000000", s.Nth))
	}
	if s.Every < time.Second || s.Every > time.Hour {
		errs = append(errs, fmt.Errorf("sample.every: %v is not between 1s and 1h", s.Every))
	}
	return errors.Join(errs...)
}

// Validate reports every mistake, each beginning with the key it is about.
func (t Tracing) Validate() error {
	var errs []error
	if !(t.SampleRatio >= 0 && t.SampleRatio <= 1) {
		errs = append(errs, fmt.Errorf("sample_ratio: %v is not between 0 and 1", t.SampleRatio))
	}
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			errs = append(errs, errors.New("endpoint: not an address such as http://127.0.0.1:4318"))
		case u.User != nil:
			errs = append(errs, errors.New("endpoint: no user or password here; put an Authorization line into headers_file"))
		case u.RawQuery != "" || u.Fragment != "":
			errs = append(errs, errors.New("endpoint: no query or fragment here"))
		}
	}
	return errors.Join(errs...)
}

// Headers reads HeadersFile: lines of "Name: value"; empty ones and those that
// begin with # are passed over. Errors name no value.
func (t Tracing) Headers() ([][2]string, error) {
	if t.HeadersFile == "" {
		return nil, nil
	}
	text, err := contents(t.HeadersFile)
	if err != nil {
		return nil, err
	}
	var out [][2]string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !isToken(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return nil, fmt.Errorf("line %d of %s is not of the form Name: value", n, clip(t.HeadersFile))
		}
		out = append(out, [2]string{name, value})
	}
	return out, nil
}

// isToken reports whether s can name a header field (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// checkHeaders wants a file of header fields.
func checkHeaders(name string) error {
	_, err := Tracing{HeadersFile: name}.Headers()
	return err
}
