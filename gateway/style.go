package gateway

import (
	"slices"
	"strings"
)

// style is how the clients of a user spell their options. Freeway-Options is
// spelled in Freeway's own way for everybody.
type style string

// The values of User.Style.
const (
	styleFreeway     style = "freeway"     // NAME-country-us-session-a1, NAME~country~us
	styleDataImpulse style = "dataimpulse" // NAME__cr.us,de;sessid.a1;sessttl.60
	styleIPRoyal     style = "iproyal"     // NAME_country-us_session-a1_lifetime-10m, or the same behind the password
	styleWebshare    style = "webshare"    // NAME-us-1234, NAME-us-rotate
)

// styles returns all values, the default first.
func styles() []style {
	return []style{styleFreeway, styleDataImpulse, styleIPRoyal, styleWebshare}
}

// known reports whether s is one of styles; the empty style is the default.
func (s style) known() bool { return s == "" || slices.Contains(styles(), s) }

// separator returns what the rest of a user name begins with when its options
// begin there, "" when they do not.
func (s style) separator(rest string) string {
	list := []string{"-", "~"}
	switch s {
	case styleDataImpulse:
		list = []string{"__"}
	case styleIPRoyal:
		list = []string{"_"}
	case styleWebshare:
		list = []string{"-"}
	}
	for _, sep := range list {
		if strings.HasPrefix(rest, sep) {
			return sep
		}
	}
	return ""
}

// parse reads the options behind a separator.
func (s style) parse(text, sep string) (Options, error) {
	switch s {
	case styleDataImpulse:
		return parsePairs(text, ";", ".")
	case styleIPRoyal:
		return parsePairs(text, "_", "-")
	case styleWebshare:
		return parseWebshare(text)
	}
	return parseTokens(text, sep)
}

// parsePairs reads pairs of key and value; what has no value is a flag.
func parsePairs(text, between, within string) (Options, error) {
	c := collector{seen: map[string]bool{}}
	for pair := range strings.SplitSeq(text, between) {
		words := strings.SplitN(pair, within, 2)
		n, err := c.take(words)
		if err != nil {
			return Options{}, err
		}
		if n < len(words) {
			return Options{}, optionErr("%s takes no value", clip(words[0]))
		}
	}
	return c.o, c.o.check()
}

// parseWebshare reads countries, then the number of a session or "rotate".
func parseWebshare(text string) (Options, error) {
	var o Options
	words := strings.Split(text, "-")
	last := words[len(words)-1]
	switch digits := strings.Trim(last, "0123456789") == ""; {
	case strings.EqualFold(last, "rotate"):
		o.Rotate = true
	case digits && last != "" && len(last) <= maxWord:
		o.Session = last
	default:
		words = append(words, "")
	}
	countries := words[:len(words)-1]
	for _, w := range countries {
		if len(w) != 2 {
			return Options{}, optionErr("%q: write countries of two letters, then the number of a session or rotate", clip(w))
		}
	}
	if len(countries) == 0 {
		return o, nil
	}
	if err := o.Filter.Set("country", strings.Join(countries, ",")); err != nil {
		return Options{}, optionErr("%v", err)
	}
	return o, nil
}

// behindPassword splits the options off a password of the IPRoyal style. ok is
// false when it is not the password. Every place where it may end is tried, so
// that the time does not tell which one is right.
func (u *user) behindPassword(given string) (options string, ok bool) {
	const most = 16
	for end, n := len(given), 0; end >= 0 && n < most; end, n = strings.LastIndexByte(given[:end], '_'), n+1 {
		if u.password.Equal(given[:end]) && !ok {
			options, ok = strings.TrimPrefix(given[end:], "_"), true
		}
	}
	return options, ok
}
