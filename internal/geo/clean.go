package geo

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name of an organisation, maxText that of a source or
// a licence, in bytes.
const (
	maxName = 64
	maxText = 200
)

// code accepts nothing but two letters, upper or lower case: the data is
// foreign text. ISO 3166 keeps ZZ for the unknown.
func code(s string) string {
	if len(s) != 2 {
		return ""
	}
	s = strings.ToUpper(s)
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return ""
		}
	}
	if s == "ZZ" {
		return ""
	}
	return s
}

// clean makes foreign text fit for showing: at most limit bytes, one line,
// printable, single blanks only. Clean text stays as it is.
func clean(s string, limit int) string {
	if isClean(s, limit) {
		return s
	}
	var b strings.Builder
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		word = strings.Map(printable, word)
		if word == "" {
			continue
		}
		if b.Len() > 0 {
			word = " " + word
		}
		if room := limit - b.Len(); len(word) > room {
			b.WriteString(strings.TrimRight(cut(word, room), " "))
			break
		}
		b.WriteString(word)
	}
	return b.String()
}

// printable drops what is invisible or no character at all, such as marks that
// turn the direction of writing.
func printable(r rune) rune {
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return -1
	}
	return r
}

// cut shortens s to at most n bytes, at the start of a character.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// isClean reports whether clean would change nothing.
func isClean(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	blank := true // as if one stood before the text
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) || r == ' ' && blank {
			return false
		}
		blank = r == ' '
	}
	return !blank || s == ""
}
