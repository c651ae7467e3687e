package scraper

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Calls: the functions and methods that pages build addresses with. The names
// and what they do are those of JavaScript; arguments that are left out, and
// objects that a script makes itself, are not supported.

// args reads "(a, b)".
func (s *jsScript) args(deep int) ([]jsValue, error) {
	if err := s.want("("); err != nil {
		return nil, err
	}
	return s.list(")", deep)
}

// list reads values up to a closing bracket.
func (s *jsScript) list(end string, deep int) ([]jsValue, error) {
	const most = 1024
	var out []jsValue
	for s.pos < len(s.toks) && !s.toks[s.pos].is(end) {
		v, err := s.expr(0, deep+1)
		if err != nil || len(out) == most {
			return nil, errScript
		}
		out = append(out, v)
		if s.pos < len(s.toks) && s.toks[s.pos].is(",") {
			s.pos++
		}
	}
	return out, s.want(end)
}

// call runs a function that is not a method.
func (s *jsScript) call(name string, args []jsValue) (jsValue, error) {
	if len(args) == 0 {
		return jsValue{}, errScript
	}
	arg := args[0].String()
	switch name {
	// the text becomes part of the page where the script stands
	case "document.write", "document.writeln", "window.document.write":
		s.calls++
		for _, a := range args {
			if a.kind == 0 || s.wrote.Len()+len(a.String()) > maxScriptText {
				return jsValue{}, errScript
			}
			s.wrote.WriteString(a.String())
		}
		return jsText(""), nil
	// the second is a library that several sites use
	case "atob", "window.atob", "Base64.decode":
		if b := fromBase64([]byte(arg)); b != nil {
			return jsText(string(b)), nil
		}
		return jsValue{}, errScript
	// unescape also knows %uXXXX, which no address needs
	case "unescape", "decodeURIComponent", "decodeURI":
		v, err := url.PathUnescape(arg)
		return jsText(v), err
	// libraries that rebuild functions of PHP
	case "str_rot13", "rot13":
		return jsText(string(rot13([]byte(arg)))), nil
	case "String", "String.valueOf":
		return jsText(arg), nil
	case "String.fromCharCode":
		return fromCharCode(args)
	case "parseInt", "Number", "Number.parseInt":
		n, ok := jsText(arg).int()
		if !ok {
			return jsValue{}, errScript
		}
		return jsNumber(float64(n)), nil
	}
	return s.writeCall(name, arg)
}

// writeCall runs a function of the page's own that writes an entry: what its
// argument hides is found out from the argument.
func (s *jsScript) writeCall(name, arg string) (jsValue, error) {
	if !writer(name) {
		return jsValue{}, errScript
	}
	// A port alone is possible, but an address is likelier.
	out := []byte(arg)
	if !isAddress(out) {
		if out = decodeHost(out); out == nil {
			out = decodePort([]byte(arg))
		}
	}
	if out == nil {
		return jsValue{}, errScript
	}
	s.calls++
	s.wrote.Write(out)
	return jsText(string(out)), nil
}

// fromCharCode makes a text of character codes.
func fromCharCode(args []jsValue) (jsValue, error) {
	var b strings.Builder
	for _, a := range args {
		n, ok := a.int()
		if !ok || n < 0 || n > 0x10ffff {
			return jsValue{}, errScript
		}
		b.WriteRune(rune(n))
	}
	return jsText(b.String()), nil
}

// method runs a method of a string or an array.
func (s *jsScript) method(v jsValue, name string, args []jsValue, deep int) (jsValue, error) {
	switch {
	case v.kind == 'a':
		return s.arrayMethod(v, name, args, deep)
	// a number in another base
	case v.kind == 'n' && name == "toString" && len(args) == 1:
		base, ok := args[0].int()
		if !ok || base < 2 || base > 36 || v.num != math.Trunc(v.num) || math.Abs(v.num) > 1<<53 {
			return jsValue{}, errScript
		}
		return jsText(strconv.FormatInt(int64(v.num), int(base))), nil
	case v.kind == 'n' && name == "toString":
		return jsText(v.String()), nil
	case v.kind == 's':
		return stringMethod(v.str, name, args)
	}
	return jsValue{}, errScript
}

// arrayMethod runs a method of an array.
func (s *jsScript) arrayMethod(v jsValue, name string, args []jsValue, deep int) (jsValue, error) {
	switch {
	// without an argument it is a comma
	case name == "join":
		sep := ","
		if len(args) > 0 {
			sep = args[0].String()
		}
		parts := make([]string, len(v.arr))
		for i, e := range v.arr {
			parts[i] = e.String()
		}
		return limited(strings.Join(parts, sep))
	// JavaScript also reverses the array itself; nobody uses it afterwards
	case name == "reverse":
		out := slices.Clone(v.arr)
		slices.Reverse(out)
		return jsValue{kind: 'a', arr: out}, nil
	// each element through a function of one argument
	case name == "map" && len(args) == 1 && args[0].kind == 'f':
		return s.mapArray(v, args[0], deep)
	case name == "slice":
		from, to, ok := bounds(args, len(v.arr), true)
		if ok {
			return jsValue{kind: 'a', arr: v.arr[from:to]}, nil
		}
	}
	return jsValue{}, errScript
}

// mapArray calls a function for every element by reading its body again.
func (s *jsScript) mapArray(v, f jsValue, deep int) (jsValue, error) {
	// The parameter hides a variable of the same name for the time of the calls.
	back, old, had := s.pos, s.vars[f.param], false
	_, had = s.vars[f.param]
	out := make([]jsValue, 0, len(v.arr))
	var err error
	for _, e := range v.arr {
		s.vars[f.param], s.pos = e, f.body
		var r jsValue
		if r, err = s.expr(0, deep+1); err != nil {
			break
		}
		out = append(out, r)
	}
	if s.pos = back; had {
		s.vars[f.param] = old
	} else {
		delete(s.vars, f.param)
	}
	return jsValue{kind: 'a', arr: out}, err
}
