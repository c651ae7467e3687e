package scraper

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stringMethod runs a method of a string. Strings of addresses are ASCII, so
// positions are bytes.
func stringMethod(str, name string, args []jsValue) (jsValue, error) {
	first := ""
	if len(args) > 0 {
		first = args[0].String()
	}
	switch name {
	// to an array
	case "split":
		return splitString(str, first)
	// all arguments behind the string
	case "concat":
		for _, a := range args {
			if a.kind == 0 {
				return jsValue{}, errScript
			}
			str += a.String()
		}
		return limited(str)
	// none of them changes an address
	case "toString", "trim", "valueOf":
		return jsText(strings.TrimSpace(str)), nil
	case "substring", "slice", "substr", "charAt", "charCodeAt":
		return cutString(str, name, args)
	case "repeat":
		return repeatString(str, args)
	// of a plain text; patterns are not supported
	case "replace", "replaceAll":
		if len(args) != 2 || args[1].kind != 's' {
			return jsValue{}, errScript
		}
		n := 1
		if name == "replaceAll" {
			n = -1
		}
		return limited(strings.Replace(str, first, args[1].str, n))
	case "toLowerCase":
		return jsText(strings.ToLower(str)), nil
	case "toUpperCase":
		return jsText(strings.ToUpper(str)), nil
	}
	return jsValue{}, errScript
}

// splitString splits at every sep; with an empty one into characters.
func splitString(str, sep string) (jsValue, error) {
	// More pieces than any address has.
	const most = 1024
	parts := strings.SplitN(str, sep, most+1)
	if len(parts) > most {
		return jsValue{}, errScript
	}
	out := make([]jsValue, len(parts))
	for i, p := range parts {
		out[i] = jsText(p)
	}
	return jsValue{kind: 'a', arr: out}, nil
}

// repeatString repeats a string up to the limit of lengths.
func repeatString(str string, args []jsValue) (jsValue, error) {
	if len(args) != 1 {
		return jsValue{}, errScript
	}
	n, ok := args[0].int()
	// The product cannot overflow: n has 31 bits and the string is short.
	if !ok || n < 0 || int(n)*len(str) > maxScriptText {
		return jsValue{}, errScript
	}
	return jsText(strings.Repeat(str, int(n))), nil
}

// cutString runs the methods that take a part of a string. substr counts, slice
// and substring name the end; only substring takes them in any order.
func cutString(str, name string, args []jsValue) (jsValue, error) {
	// One character.
	if name == "charAt" || name == "charCodeAt" {
		from, _, ok := bounds(args, len(str), false)
		switch {
		case !ok || from >= len(str):
			return jsValue{}, errScript
		case name == "charAt":
			return jsText(str[from : from+1]), nil
		}
		return jsNumber(float64(str[from])), nil
	}
	// A start and a length.
	if name == "substr" && len(args) == 2 {
		from, _, ok := bounds(args[:1], len(str), true)
		n, isNum := args[1].int()
		if !ok || !isNum {
			return jsValue{}, errScript
		}
		return jsText(str[from:min(len(str), from+max(0, int(n)))]), nil
	}
	from, to, ok := bounds(args, len(str), name != "substring")
	if !ok {
		return jsValue{}, errScript
	}
	return jsText(str[from:to]), nil
}

// bounds reads (from, to) as JavaScript does. With negative, numbers below 0
// count from the end; without, a pair in the wrong order is swapped.
func bounds(args []jsValue, n int, negative bool) (from, to int, ok bool) {
	// What is left out is the beginning or the end.
	at := [2]int{0, n}
	for i := range min(len(args), 2) {
		v, isNum := args[i].int()
		if !isNum {
			return 0, 0, false
		}
		at[i] = int(v)
		if at[i] < 0 && negative {
			at[i] += n
		}
		at[i] = min(max(at[i], 0), n)
	}
	if at[0] > at[1] && !negative {
		at[0], at[1] = at[1], at[0]
	}
	return at[0], max(at[0], at[1]), true
}

// jsToken is a word of JavaScript.
type jsToken struct {
	kind byte // 'i' name, 'n' number, 's' string, 'o' operator
	text string
	num  float64
	line bool // the first of its line
}

// is reports whether the token is an operator.
func (t jsToken) is(op string) bool { return t.kind == 'o' && t.text == op }

// declares reports whether the token begins a declaration of variables.
func (t jsToken) declares() bool {
	return t.kind == 'i' && (t.text == "var" || t.text == "let" || t.text == "const")
}

// decides knows the words that make it depend on more than the text what a
// script writes.
func (t jsToken) decides() bool {
	if t.kind != 'i' {
		return false
	}
	switch t.text {
	case "if", "else", "for", "while", "do", "switch", "try", "throw", "new", "eval":
		return true
	}
	return false
}

// tokenize splits a script. Comments are left out; what it does not know
// becomes operators, which no rule takes.
func tokenize(src string) []jsToken {
	// More words than this are a library, not an address.
	const most = 100_000
	var out []jsToken
	line := true
	for i := 0; i < len(src) && len(out) < most; {
		c := src[i]
		switch {
		case c == '\n':
			line = true
			i++
			continue
		case c <= ' ':
			i++
			continue
		// a comment to the end of the line
		case strings.HasPrefix(src[i:], "//"):
			i += lineLen(src[i:])
			continue
		case strings.HasPrefix(src[i:], "/*"):
			if n := strings.Index(src[i+2:], "*/"); n >= 0 {
				i += n + 4
			} else {
				i = len(src)
			}
			continue
		}
		t, n := jsTokenAt(src[i:])
		t.line, line = line, false
		out = append(out, t)
		i += n
	}
	return out
}

// lineLen is the length of the first line.
func lineLen(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// isIdent knows the bytes of names.
func isIdent(c byte) bool { return isLetter(c) || isDigit(c) || c == '_' || c == '$' || c >= 0x80 }

// jsTokenAt reads the token at the start of s, which is not empty.
func jsTokenAt(s string) (jsToken, int) {
	switch c := s[0]; {
	// a number ends where no digit, letter or point follows
	case isDigit(c):
		n := 1
		for n < len(s) && (isIdent(s[n]) || s[n] == '.' && n+1 < len(s) && isDigit(s[n+1])) {
			n++
		}
		return numberToken(s[:n]), n
	case isIdent(c):
		n := 1
		for n < len(s) && isIdent(s[n]) {
			n++
		}
		return jsToken{kind: 'i', text: s[:n]}, n
	// text in backquotes may have ${} in it, which is taken as it is
	case c == '"' || c == '\'' || c == '`':
		return stringToken(s)
	}
	// operators of two characters first
	for _, op := range []string{"=>", "<<", ">>", "==", "+=", "-=", "&&", "||"} {
		if strings.HasPrefix(s, op) {
			return jsToken{kind: 'o', text: op}, len(op)
		}
	}
	return jsToken{kind: 'o', text: s[:1]}, 1
}

// numberToken reads decimal and hexadecimal numbers. Those with a leading zero
// are octal to some readers and decimal to others, so they are decimal here.
func numberToken(s string) jsToken {
	if n, err := strconv.ParseInt(s, 0, 64); err == nil && (len(s) == 1 || s[0] != '0' || s[1]|0x20 == 'x') {
		return jsToken{kind: 'n', num: float64(n)}
	}
	// A fraction, or no number at all: "1abc".
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return jsToken{kind: 'o', text: s}
	}
	return jsToken{kind: 'n', num: f}
}

// stringToken reads a literal in quotes; one that does not end is an operator.
func stringToken(s string) (jsToken, int) {
	var b strings.Builder
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == s[0]:
			return jsToken{kind: 's', text: b.String()}, i + 1
		// a line break ends what was not closed
		case c == '\n' && s[0] != '`':
			return jsToken{kind: 'o', text: "\n"}, i
		case c == '\\' && i+1 < len(s):
			i += 1 + stringEscape(s[i+1:], &b)
		default:
			b.WriteByte(c)
			i++
		}
	}
	return jsToken{kind: 'o', text: "\n"}, len(s)
}

// stringEscape reads what is behind a backslash and returns how long it is.
func stringEscape(s string, b *strings.Builder) int {
	// \xXX and \uXXXX
	digits := 0
	switch s[0] {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'n':
		b.WriteByte('\n')
		return 1
	case 't':
		b.WriteByte('\t')
		return 1
	}
	if r, n := hexRune([]byte(s[1:min(len(s), 5)]), digits); digits > 0 && n > 0 && utf8.ValidRune(r) {
		b.WriteRune(r)
		return 1 + n
	}
	b.WriteByte(s[0])
	return 1
}
