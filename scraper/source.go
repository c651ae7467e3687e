package scraper

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"freeway/proxy"
)

// Source is one list: where it is and how to read it.
type Source struct {
	Name      string            `yaml:"name" json:"name"`                               // 1 to 64 of a-z A-Z 0-9 . _ -; the key of everything that is remembered about it
	URL       string            `yaml:"url,omitempty" json:"url,omitempty"`             // http or https. {page} and {offset} are replaced, see Pages; {date} and {ymd} are today in UTC, 2006-01-02 and 20060102, {date-1} and {ymd-1} yesterday, {date:02.01.2006} and {date-1:02.01.2006} in another format, written as package time does. Any other braces are a mistake. Either URL or File
	Method    string            `yaml:"method,omitempty" json:"method,omitempty"`       // GET or POST; "": GET. Answers to POST are always read whole: they have no validators
	Body      proxy.Secret      `yaml:"body,omitempty" json:"body,omitzero"`            // what POST sends, with the placeholders of URL; other braces are left alone; to URL's own host only; may hold keys, so never printed. Unless Headers say otherwise its type is JSON when it looks so, else a form
	File      string            `yaml:"file,omitempty" json:"file,omitempty"`           // a path, read again at every run
	As        string            `yaml:"as,omitempty" json:"as,omitempty"`               // the format, one of Formats; "" and auto: found out
	Protocols []string          `yaml:"protocols,omitempty" json:"protocols,omitempty"` // what entries are that do not say; several give one candidate each
	Pool      string            `yaml:"pool,omitempty" json:"pool,omitempty"`           // label of the entries; "": public
	Schedule  string            `yaml:"schedule,omitempty" json:"schedule,omitempty"`   // "": Config.Schedule
	Headers   map[string]string `yaml:"headers,omitempty" json:"-"`                     // sent to URL's own host only; may hold keys, so never printed
	Pages     Pages             `yaml:"pages,omitempty" json:"pages,omitzero"`
	Days      int               `yaml:"days,omitempty" json:"days,omitempty"`           // read the lists of that many days, today's first; URL or Body has {date} or {ymd}; 0: 1; at most 60. A day without a list is passed over
	HTML      map[string]string `yaml:"html,omitempty" json:"html,omitempty"`           // selectors, attributes and decoders: row, host, port, protocol; "td.ip @data-ip | base64"
	JSON      map[string]string `yaml:"json,omitempty" json:"json,omitempty"`           // names of keys: host, port, protocol; or jq: a program that picks the entries
	MinYield  int               `yaml:"min_yield,omitempty" json:"min_yield,omitempty"` // endpoints below which a run is an alarm, which changes nothing; 0: only what is usual counts
	Via       string            `yaml:"via,omitempty" json:"via,omitempty"`             // "" and direct: fetched directly; pool: through Freeway's own upstreams, and not at all when there are none
	Enabled   *bool             `yaml:"enabled,omitempty" json:"enabled,omitempty"`     // nil: yes
}

// ViaPool is the value of Source.Via for lists that are fetched through
// Freeway's own pool.
const ViaPool = "pool"

// Pages expands {page} in a URL or Body to From, From+Step, ... up to To, at most
// 200 requests with those of Source.Days; {offset} is how far that is behind From.
// Reading stops early at a page that gives nothing new. Zero: one request, and
// a URL with {page} or {offset} is a mistake.
type Pages struct {
	From int `yaml:"from" json:"from"`
	To   int `yaml:"to" json:"to"`
	Step int `yaml:"step,omitempty" json:"step,omitempty"` // 0: 1
}

// Formats returns the values of Source.As.
func Formats() []string {
	return []string{"auto", "text", "html", "json", "ndjson", "csv", "xml", "yaml", "markdown"}
}

// On reports whether the source is enabled in its definition.
func (s Source) On() bool { return s.Enabled == nil || *s.Enabled }

// PoolName returns the label of the entries.
func (s Source) PoolName() string {
	if s.Pool == "" {
		return proxy.PublicPool
	}
	return s.Pool
}

// Validate reports every mistake, each beginning with the key it is about.
func (s Source) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	if !validName(s.Name) {
		bad("name", "%q is not 1 to 64 of a-z, A-Z, 0-9, dot, underscore and dash", clip(s.Name, 64))
	}
	if s.Pool != "" && !validName(s.Pool) {
		bad("pool", "%q is not 1 to 64 of a-z, A-Z, 0-9, dot, underscore and dash", clip(s.Pool, 64))
	}
	errs = append(errs, s.validateTarget(), s.validateVia())
	if s.MinYield < 0 || s.MinYield > maxFound {
		bad("min_yield", "%d is not between 0 and %d", s.MinYield, maxFound)
	}
	if s.As != "" && !slices.Contains(Formats(), s.As) {
		bad("as", "unknown format %q; use one of %s", clip(s.As, 32), strings.Join(Formats(), ", "))
	}
	if _, err := s.protocols(); err != nil {
		bad("protocols", "%w", err)
	}
	if s.Schedule != "" {
		if _, err := parseSchedule(s.Schedule); err != nil {
			bad("schedule", "%w", err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Headers)) {
		v := s.Headers[k]
		if !httpguts.ValidHeaderFieldName(k) || !httpguts.ValidHeaderFieldValue(v) {
			bad("headers", "%q is not a header that can be sent", clip(k, 32))
		}
	}
	errs = append(errs, checkSelectors(s.HTML), checkJSONKeys(s.JSON))
	return errors.Join(errs...)
}

// protocols returns the defaults of entries that name none.
func (s Source) protocols() ([]proxy.Protocol, error) {
	var out []proxy.Protocol
	for _, name := range s.Protocols {
		p, err := proxy.ParseProtocol(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Options returns how the source's list is to be read, without the policy and
// the listeners, which belong to the reader. s is valid.
func (s Source) Options() ParseOptions {
	protocols, err := s.protocols()
	if err != nil {
		protocols = nil // Validate tells
	}
	return ParseOptions{As: s.As, Protocols: protocols, Pool: s.Pool, HTML: s.HTML, JSON: s.JSON}
}

// Where says where the list is: a path, or an address without its secrets.
func (s Source) Where() string {
	if s.File != "" {
		return s.File
	}
	return strings.NewReplacer("%7B", "{", "%7D", "}").Replace(redactURL(s.URL))
}

// readerVersion is raised when the readers learn something, so that lists which
// did not change are read again.
const readerVersion = 2

// fingerprint changes when what is fetched or how it is read changes, so that
// a remembered ETag of another list is never used.
func (s Source) fingerprint() string {
	text, err := json.Marshal([]any{readerVersion, s.URL, s.method(), s.Body.Reveal(), s.File, s.As, s.Protocols, s.Pool, s.Headers, s.Pages, s.Days, s.HTML, s.JSON})
	if err != nil {
		return "" // strings, numbers and maps of strings always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// redactURL hides a password, and a query that may hold a key.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable url)"
	}
	if u.User != nil {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	if q := u.Query(); len(q) > 0 {
		for k := range q {
			if l := strings.ToLower(k); strings.Contains(l, "key") || strings.Contains(l, "token") || strings.Contains(l, "secret") || strings.Contains(l, "pass") {
				q.Set(k, "***")
				u.RawQuery = q.Encode()
			}
		}
	}
	return u.String()
}

// validName reports whether s can name a source or a pool: it appears in paths
// of the API, in user names of the gateway and as a metric's label.
func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
