package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"freeway/proxy"
)

// Options are the choices that ride in a user name, in Freeway-Options or in
// the fixed options of a listener.
type Options struct {
	Filter  proxy.Filter
	Session string        // "" for none
	TTL     time.Duration // of the session; 0: the default
	Tag     string        // the client's word for the request, for feedback
	Retry   int           // upstreams tried at most; 0: as configured
	Hedge   proxy.Tri     // may a slow tunnel set-up be hedged
	Replay  proxy.Tri     // may a ClientHello be sent again
	Strict  bool          // a lost session stays lost until its ttl ends
	Soft    bool          // a lost session gets a new exit silently
	Rotate  bool          // no session, also where the listener fixes one
}

// Limits of options.
const (
	minTTL      = time.Second
	maxTTL      = 24 * time.Hour // the longest that commercial gateways offer (1,440 minutes)
	maxAttempts = 16
	maxUserName = 1024 // bytes; SOCKS allows 255
	maxWord     = 64   // of session ids and tags
)

// aliases are the words that other gateways use.
var aliases = map[string]string{
	"cc": "country", "cr": "country", "res": "country",
	"sessid": "session", "sid": "session", "sess": "session",
	"sesstime": "ttl", "sessionduration": "ttl", "sessttl": "ttl", "lifetime": "ttl",
	"const": "strict",
}

// userKeys are the keys that take a value; flags take none.
var (
	filterKeys = []string{"protocol", "country", "asn", "anonymity", "tunnel", "max_latency", "min_score", "source", "pool", "exit", "target"}
	otherKeys  = []string{"session", "ttl", "tag", "retry", "hedge", "replay"}
	flagKeys   = []string{"strict", "soft", "rotate"}
)

// OptionError is a user name or option list that cannot be obeyed.
type OptionError struct{ Msg string }

// Error says what is wrong and what would be right.
func (e *OptionError) Error() string { return e.Msg }

// optionErr makes an OptionError; foreign text in it must be clipped.
func optionErr(format string, args ...any) error { return &OptionError{fmt.Sprintf(format, args...)} }

// ParseUser splits a user name into the name and the options that ride in it,
// as it is done where no users are configured: the name ends at the first
// separator, "-" or "~". %XX is decoded once. Errors are *OptionError.
func ParseUser(s string) (name string, o Options, err error) { return parseUser(s, nil) }

// parseUser is ParseUser with configured users: the longest known name that s
// begins with wins, and the options behind it are spelled in its user's style.
// With none, the first separator ends the name.
func parseUser(s string, find func(name string) *user) (string, Options, error) {
	if len(s) > maxUserName {
		return "", Options{}, optionErr("the user name is over %d bytes", maxUserName)
	}
	s, err := unescapeOnce(s)
	if err != nil {
		return "", Options{}, err
	}
	end, sep, st := nameEnd(s, find)
	if end == len(s) {
		return s, Options{}, nil
	}
	o, err := st.parse(s[end+len(sep):], sep)
	return s[:end], o, err
}

// nameEnd returns where the name in s ends, at a separator or at the end of s,
// and how the options behind it are spelled.
func nameEnd(s string, find func(name string) *user) (end int, sep string, st style) {
	if find != nil {
		for end := len(s); end >= 0; end-- {
			u := find(s[:end])
			if u == nil {
				continue
			}
			if sep := u.style.separator(s[end:]); sep != "" || end == len(s) {
				return end, sep, u.style
			}
		}
	}
	end = strings.IndexAny(s, "-~")
	if end >= 0 && (find == nil || find(s[:end]) == nil) { // else it is a user with another style
		return end, s[end : end+1], styleFreeway
	}
	return len(s), "", styleFreeway
}

// parseOptions reads an option list without a name. The separator is "~" when
// the first word ends in one, else "-".
func parseOptions(s string) (Options, error) {
	if s == "" {
		return Options{}, nil
	}
	if len(s) > maxUserName {
		return Options{}, optionErr("the options are over %d bytes", maxUserName)
	}
	s, err := unescapeOnce(s)
	if err != nil {
		return Options{}, err
	}
	sep := "-"
	if i := strings.IndexAny(s, "-~"); i >= 0 {
		sep = s[i : i+1]
	}
	return parseTokens(s, sep)
}

// unescapeOnce decodes %XX. What comes out is not decoded again, and must be printable.
func unescapeOnce(s string) (string, error) {
	if strings.IndexByte(s, '%') >= 0 {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b.WriteByte(s[i])
				continue
			}
			if i+2 >= len(s) {
				return "", optionErr("a %% in the user name is not followed by two hexadecimal digits")
			}
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", optionErr("a %% in the user name is not followed by two hexadecimal digits")
			}
			b.WriteByte(byte(c))
			i += 2
		}
		s = b.String()
	}
	if !printable(s) {
		return "", optionErr("a control character in the user name")
	}
	return s, nil
}

// parseTokens reads key, value and flag words between separators.
func parseTokens(s, sep string) (Options, error) {
	c := collector{seen: map[string]bool{}, dashes: sep == "~"}
	for words := strings.Split(s, sep); len(words) > 0; {
		n, err := c.take(words)
		if err != nil {
			return Options{}, err
		}
		words = words[n:]
	}
	return c.o, c.o.check()
}

// collector gathers options, each of which may be given once.
type collector struct {
	o      Options
	seen   map[string]bool
	dashes bool // words may hold dashes
}

// take reads the option that words begin with and returns how many of them it took.
func (c *collector) take(words []string) (int, error) {
	key := strings.ToLower(words[0])
	if a, ok := aliases[key]; ok {
		key = a
	}
	if c.seen[key] {
		return 0, optionErr("%s is given twice", key)
	}
	c.seen[key] = true
	switch {
	case slices.Contains(flagKeys, key):
		c.o.setFlag(key)
		return 1, nil
	case !slices.Contains(filterKeys, key) && !slices.Contains(otherKeys, key):
		return 0, optionErr("unknown option %q; known are %s", clip(key),
			strings.Join(slices.Concat(filterKeys, otherKeys, flagKeys), ", "))
	case len(words) == 1 || words[1] == "":
		return 0, optionErr("%s has no value", key)
	}
	if err := c.o.set(key, words[1], c.dashes); err != nil {
		return 0, optionErr("%v", err)
	}
	return 2, nil
}

// setFlag sets one of flagKeys.
func (o *Options) setFlag(key string) {
	switch key {
	case "strict":
		o.Strict = true
	case "soft":
		o.Soft = true
	default:
		o.Rotate = true
	}
}

// set reads the value of one of filterKeys and otherKeys.
func (o *Options) set(key, value string, dashes bool) (err error) {
	switch key {
	case "session":
		o.Session, err = parseWord(key, value, dashes)
	case "tag":
		o.Tag, err = parseWord(key, value, dashes)
	case "ttl":
		o.TTL, err = parseTTL(value)
	case "retry":
		o.Retry, err = parseRetry(value)
	case "hedge":
		o.Hedge, err = parseSwitch(key, value)
	case "replay":
		o.Replay, err = parseSwitch(key, value)
	default:
		err = o.Filter.Set(key, value)
	}
	return err
}

// check finds what cannot be meant together.
func (o *Options) check() error {
	switch {
	case o.Strict && o.Soft:
		return optionErr("strict and soft exclude each other")
	case o.Rotate && o.Session != "":
		return optionErr("rotate and session exclude each other")
	}
	return nil
}

// parseWord reads [A-Za-z0-9_]{1,64}; between "~" also dashes.
func parseWord(key, s string, dashes bool) (string, error) {
	if len(s) > maxWord {
		return "", optionErr("%s is over %d characters", key, maxWord)
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if s[i] != '_' && (s[i] != '-' || !dashes) && (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return "", optionErr("%s %q: use letters, digits and _", key, clip(s))
		}
	}
	return s, nil
}

// parseTTL reads a number of minutes, or a number with s, m or h.
func parseTTL(s string) (time.Duration, error) {
	digits, unit := strings.ToLower(s), time.Minute
	switch digits[len(digits)-1] {
	case 's':
		unit = time.Second
	case 'h':
		unit = time.Hour
	}
	digits = strings.TrimRight(digits, "smh")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || len(s) > len(digits)+1 || n == 0 || n > uint64(maxTTL/unit) {
		return 0, optionErr("ttl %q: use minutes, or 30s, 10m, 1h, at most %v", clip(s), maxTTL)
	}
	return time.Duration(n) * unit, nil
}

// parseRetry reads how many upstreams may be tried; off and 0 mean one.
func parseRetry(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if strings.EqualFold(s, "off") || err == nil && n == 0 {
		return 1, nil
	}
	if err != nil || n > maxAttempts {
		return 0, optionErr("retry %q: use the number of upstreams to try, 1 to %d, or off", clip(s), maxAttempts)
	}
	return int(n), nil
}

// parseSwitch reads on or off and their usual spellings.
func parseSwitch(key, s string) (proxy.Tri, error) {
	switch strings.ToLower(s) {
	case "on", "true", "1", "yes":
		return proxy.Yes, nil
	case "off", "false", "0", "no":
		return proxy.No, nil
	}
	return proxy.Unknown, optionErr("%s %q: use on or off", key, clip(s))
}

// filtersOnly reports whether the options are nothing but filters.
func (o Options) filtersOnly() bool {
	f := Options{Filter: o.Filter}
	return o.Session == f.Session && o.TTL == 0 && o.Tag == "" && o.Retry == 0 && o.Hedge == 0 && o.Replay == 0 &&
		!o.Strict && !o.Soft && !o.Rotate
}

// and joins two sets of options that must both hold. ok is false when they
// contradict each other.
func (o *Options) and(with *Options) bool {
	ok := andFilter(&o.Filter, &with.Filter)
	ok = andValue(&o.Tag, with.Tag) && ok
	ok = andValue(&o.TTL, with.TTL) && ok
	ok = andValue(&o.Hedge, with.Hedge) && ok
	ok = andValue(&o.Replay, with.Replay) && ok
	ok = andValue(&o.Retry, with.Retry) && ok
	o.Rotate, o.Strict, o.Soft = o.Rotate || with.Rotate, o.Strict || with.Strict, o.Soft || with.Soft
	if !o.Rotate {
		ok = andValue(&o.Session, with.Session) && ok
	} else {
		o.Session = ""
	}
	return ok && !(o.Strict && o.Soft)
}

// andValue joins two values of which the zero one means any. It reports whether both can hold.
func andValue[T comparable](v *T, with T) bool {
	var zero T
	if with == zero || *v == with {
		return true
	}
	ok := *v == zero
	*v = with
	return ok
}

// andFilter narrows f to what with wants too. It reports whether anything can pass both.
func andFilter(f, with *proxy.Filter) bool {
	ok := andSet(&f.Protocols, with.Protocols)
	ok = andSet(&f.Countries, with.Countries) && ok
	ok = andSet(&f.ASNs, with.ASNs) && ok
	ok = andSet(&f.Sources, with.Sources) && ok
	ok = andSet(&f.Pools, with.Pools) && ok
	ok = andSet(&f.Targets, with.Targets) && ok
	ok = andExits(f, with) && ok
	ok = andValue(&f.Tunnel, with.Tunnel) && ok
	f.Anonymity = max(f.Anonymity, with.Anonymity)
	f.MinScore = max(f.MinScore, with.MinScore)
	if with.MaxLatency != 0 && (f.MaxLatency == 0 || with.MaxLatency < f.MaxLatency) {
		f.MaxLatency = with.MaxLatency
	}
	return ok
}

// andSet intersects two lists of alternatives, of which the empty one means any.
func andSet[T cmp.Ordered](set *[]T, with []T) bool {
	switch {
	case len(with) == 0:
		return true
	case len(*set) == 0:
		*set = with
		return true
	}
	var both []T
	for _, v := range *set {
		if slices.Contains(with, v) {
			both = append(both, v)
		}
	}
	*set = both
	return len(both) > 0
}

// andExits keeps the narrower of each two prefixes that overlap.
func andExits(f, with *proxy.Filter) bool {
	if len(f.Exits) == 0 || len(with.Exits) == 0 {
		f.Exits = append(f.Exits, with.Exits...)
		return true
	}
	both := f.Exits[:0:0]
	for _, a := range f.Exits {
		for _, b := range with.Exits {
			if !a.Overlaps(b) {
				continue
			}
			if b.Bits() > a.Bits() {
				both = append(both, b)
			} else {
				both = append(both, a)
			}
		}
	}
	f.Exits = both
	return len(both) > 0
}

// clip keeps foreign text in messages short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
