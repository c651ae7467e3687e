package scraper

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// jsScript evaluates the small pieces of JavaScript by which pages hide
// addresses and ports: expressions over numbers, strings and arrays, and
// assignments. It is no JavaScript engine: there are no loops and no
// conditions, and every step is counted, so that a page costs no more than
// maxSteps whatever it holds.
//
// What it does not know makes it fail: a port of which one digit is missing
// must never be guessed. The forms that were seen:
//
//	document.write(":"+(a1^b2)+(c3^b2))                       spys.one, with its table of variables
//	document.write(":"+p+m+l)                                 letters for digits
//	document.write("31.27".split("").reverse().join(""))      proxynova, and its relatives
//	document.write(atob("NDUu").concat("404".substring(0,2)))
//	document.write([60,61].map((c) => String.fromCharCode(c-8)).join(""))
//	document.write(Base64.decode("NDUu")), IPDecode("%34%35"), Proxy('NDUu')
type jsScript struct {
	vars  map[string]jsValue
	steps int
	toks  []jsToken
	pos   int
	wrote strings.Builder // what document.write was given
	calls int             // of functions that write
}

const (
	maxSteps      = 200_000  // of all scripts of a page
	maxScriptText = 4 << 10  // of a string that a script makes
	maxScriptRun  = 64 << 10 // of a script that is run
	maxScriptDeep = 64       // of parentheses
	maxVars       = 10_000
)

var errScript = errors.New("not understood")

// jsValue is a number, a string, an array or a function of one argument.
// Undefined is a mistake wherever it is used.
type jsValue struct {
	kind  byte // 0 undefined, 'n', 's', 'a', 'f'
	num   float64
	str   string
	arr   []jsValue
	param string // of a function
	body  int    // where its expression begins in toks
}

// jsNumber and jsText make values.
func jsNumber(n float64) jsValue { return jsValue{kind: 'n', num: n} }
func jsText(s string) jsValue    { return jsValue{kind: 's', str: s} }

// String converts as JavaScript does.
func (v jsValue) String() string {
	switch v.kind {
	// whole numbers without a point, as ports are
	case 'n':
		if v.num == math.Trunc(v.num) && math.Abs(v.num) < 1e15 {
			return strconv.FormatInt(int64(v.num), 10)
		}
		return strconv.FormatFloat(v.num, 'g', -1, 64)
	case 's':
		return v.str
	case 'a':
		parts := make([]string, len(v.arr))
		for i, e := range v.arr {
			parts[i] = e.String()
		}
		return strings.Join(parts, ",")
	}
	return "undefined"
}

// int converts as the bit operators of JavaScript do, and says whether v is a
// number at all.
func (v jsValue) int() (int32, bool) {
	switch v.kind {
	case 'n':
		// beyond that numbers are not whole any more
		if math.IsNaN(v.num) || math.Abs(v.num) > 1<<53 {
			return 0, false
		}
		return int32(int64(v.num)), true
	case 's':
		n, err := strconv.ParseInt(strings.TrimSpace(v.str), 10, 32)
		return int32(n), err == nil
	}
	return 0, false
}

// run reads a script: assignments change the variables, calls that write add
// to wrote. It reports whether every call that writes was understood.
func (s *jsScript) run(src string) bool {
	s.toks, s.pos, s.calls = tokenize(src), 0, 0
	s.wrote.Reset()
	// What depends on conditions is not understood, whatever can be read of it.
	understood := !slices.ContainsFunc(s.toks, jsToken.decides)
	sites := 0 // where something is written
	for i := range s.toks {
		if s.writesAt(i) {
			sites++
		}
	}
	for s.pos < len(s.toks) && s.steps < maxSteps {
		// A mistake costs one statement, and the trust in what was written when it was
		// to write.
		start, writes := s.pos, s.writesAt(s.pos)
		if err := s.statement(); err != nil {
			if writes {
				understood = false
			}
			s.pos = max(s.pos, start+1)
			s.skip()
		}
	}
	return understood && s.calls >= sites && s.steps < maxSteps
}

// skip goes behind the end of the statement.
func (s *jsScript) skip() {
	for s.pos < len(s.toks) && !s.toks[s.pos].is(";") && !s.toks[s.pos].is("{") && !s.toks[s.pos].is("}") {
		s.pos++
	}
	s.pos++
}

// writesAt reports whether a call that writes begins at a token.
func (s *jsScript) writesAt(i int) bool {
	if i+1 >= len(s.toks) || s.toks[i].kind != 'i' || i > 0 && s.toks[i-1].is(".") {
		return false
	}
	if s.toks[i].text == "document" {
		return i+2 < len(s.toks) && s.toks[i+1].is(".") && strings.HasPrefix(s.toks[i+2].text, "write")
	}
	return s.toks[i+1].is("(") && writer(s.toks[i].text)
}

// writer knows the functions that pages define to write an entry.
func writer(name string) bool {
	switch name {
	// proxy-list.org, freeproxylists.net, and names that such functions tend to have
	case "Proxy", "IPDecode", "decode", "decodeIP", "decodeProxy", "showProxy", "dec", "ip", "port", "show", "printIP", "printPort":
		return true
	}
	return false
}

// statement reads an assignment or an expression.
func (s *jsScript) statement() error {
	// Blocks and declarations change nothing here.
	for s.pos < len(s.toks) && (s.toks[s.pos].is(";") || s.toks[s.pos].is("{") || s.toks[s.pos].is("}") || s.toks[s.pos].declares()) {
		s.pos++
	}
	for s.pos < len(s.toks) {
		// name = expression; "==" is another token
		if t := s.toks[s.pos]; t.kind == 'i' && s.pos+1 < len(s.toks) && s.toks[s.pos+1].is("=") {
			s.pos += 2
			v, err := s.expr(0, 0)
			if err != nil {
				return err
			}
			// a page of nothing but assignments must not fill the memory
			if len(s.vars) < maxVars {
				s.vars[t.text] = v
			}
		} else if _, err := s.expr(0, 0); err != nil {
			return err
		}
		if s.pos >= len(s.toks) || !s.toks[s.pos].is(",") {
			break
		}
		s.pos++
	}
	if s.pos < len(s.toks) && !s.toks[s.pos].is(";") && !s.toks[s.pos].is("}") && !s.toks[s.pos].line {
		return errScript
	}
	return nil
}

// binding is how tightly an operator binds; 0: it is none.
func binding(op string) int {
	switch op {
	case "|":
		return 1
	case "^":
		return 2
	case "&":
		return 3
	case "<<", ">>":
		return 4
	case "+", "-":
		return 5
	case "*", "/", "%":
		return 6
	}
	return 0
}

// expr reads an expression of operators that bind tighter than min.
func (s *jsScript) expr(min, deep int) (jsValue, error) {
	// Precedence climbing: what binds tighter is read first.
	left, err := s.postfix(deep)
	for err == nil && s.pos < len(s.toks) && s.toks[s.pos].kind == 'o' {
		op := s.toks[s.pos].text
		b := binding(op)
		if b <= min {
			break
		}
		s.pos++
		var right jsValue
		if right, err = s.expr(b, deep+1); err == nil {
			left, err = apply(op, left, right)
		}
	}
	return left, err
}

// apply computes one operator. Names that are not known make it fail: an
// unknown part of a port must never be guessed.
func apply(op string, a, b jsValue) (jsValue, error) {
	// An undefined part makes the whole undefined.
	if a.kind == 0 || b.kind == 0 {
		return jsValue{}, errScript
	}
	// With anything but numbers, + joins texts.
	if op == "+" && (a.kind != 'n' || b.kind != 'n') {
		return limited(a.String() + b.String())
	}
	x, ok1 := a.int()
	y, ok2 := b.int()
	if !ok1 || !ok2 {
		return jsValue{}, errScript
	}
	switch op {
	case "+", "-", "*", "/", "%":
		return arith(op, a, b, float64(x), float64(y))
	case "^":
		return jsNumber(float64(x ^ y)), nil
	case "&":
		return jsNumber(float64(x & y)), nil
	case "|":
		return jsNumber(float64(x | y)), nil
	case "<<":
		return jsNumber(float64(x << (uint32(y) & 31))), nil
	}
	return jsNumber(float64(x >> (uint32(y) & 31))), nil
}

// arith computes with fractions, which the bit operators do not have.
func arith(op string, a, b jsValue, x, y float64) (jsValue, error) {
	if a.kind == 'n' {
		x = a.num
	}
	if b.kind == 'n' {
		y = b.num
	}
	switch op {
	case "+":
		return jsNumber(x + y), nil
	case "-":
		return jsNumber(x - y), nil
	case "*":
		return jsNumber(x * y), nil
	}
	// JavaScript gives Infinity, which is no port.
	if y == 0 {
		return jsValue{}, errScript
	}
	if op == "%" {
		return jsNumber(math.Mod(x, y)), nil
	}
	return jsNumber(x / y), nil
}

func limited(s string) (jsValue, error) {
	if len(s) > maxScriptText {
		return jsValue{}, errScript
	}
	return jsText(s), nil
}

// postfix reads an operand with the methods that are called on it.
func (s *jsScript) postfix(deep int) (jsValue, error) {
	v, err := s.operand(deep)
	for err == nil && s.pos+1 < len(s.toks) {
		switch {
		case s.toks[s.pos].is(".") && s.pos+2 < len(s.toks) && s.toks[s.pos+2].is("("):
			name := s.toks[s.pos+1].text
			s.pos += 2
			var args []jsValue
			if args, err = s.args(deep); err == nil {
				v, err = s.method(v, name, args, deep)
				s.steps += len(v.arr) + len(v.str)/16
			}
		case s.toks[s.pos].is(".") && s.toks[s.pos+1].text == "length":
			s.pos += 2
			v = jsNumber(float64(len(v.str) + len(v.arr)))
		// a bracket behind a value is an index
		case s.toks[s.pos].is("[") && v.kind != 0:
			s.pos++
			v, err = s.index(v, deep)
		default:
			return v, nil
		}
	}
	return v, err
}

// index reads what is between the brackets behind an array or a string.
func (s *jsScript) index(v jsValue, deep int) (jsValue, error) {
	at, err := s.expr(0, deep+1)
	if err == nil {
		err = s.want("]")
	}
	i, ok := at.int()
	switch {
	case err != nil || !ok || i < 0:
	case v.kind == 'a' && int(i) < len(v.arr):
		return v.arr[i], nil
	case v.kind == 's' && int(i) < len(v.str):
		return jsText(v.str[i : i+1]), nil
	}
	return jsValue{}, errScript
}

// operand reads a literal, a name, a call, an array, a function or what is in
// parentheses.
func (s *jsScript) operand(deep int) (jsValue, error) {
	if s.steps++; s.pos >= len(s.toks) || deep > maxScriptDeep || s.steps > maxSteps {
		return jsValue{}, errScript
	}
	t := s.toks[s.pos]
	s.pos++
	switch {
	case t.kind == 'n':
		return jsNumber(t.num), nil
	case t.kind == 's':
		return jsText(t.text), nil
	// a sign
	case t.is("-"):
		v, err := s.postfix(deep + 1)
		if n, ok := v.int(); ok && err == nil {
			return jsNumber(-float64(n)), nil
		}
		return jsValue{}, errScript
	case t.is("["):
		arr, err := s.list("]", deep)
		return jsValue{kind: 'a', arr: arr}, err
	case t.is("("):
		// "(x) => ..." looks like parentheses at first.
		if p, ok := s.arrow(); ok {
			return s.function(p)
		}
		v, err := s.expr(0, deep+1)
		if err == nil {
			err = s.want(")")
		}
		return v, err
	case t.kind == 'i':
		return s.name(t.text, deep)
	}
	return jsValue{}, errScript
}

// arrow reads "x) =>" behind an opening parenthesis.
func (s *jsScript) arrow() (param string, ok bool) {
	if s.pos+2 < len(s.toks) && s.toks[s.pos].kind == 'i' && s.toks[s.pos+1].is(")") && s.toks[s.pos+2].is("=>") {
		param = s.toks[s.pos].text
		s.pos += 3
		return param, true
	}
	return "", false
}

// function keeps where the body of a function is and goes behind it.
func (s *jsScript) function(param string) (jsValue, error) {
	// The body is read again at every call; see mapArray.
	f := jsValue{kind: 'f', param: param, body: s.pos}
	deep := 0
	// The body ends where what is around it goes on.
	for ; s.pos < len(s.toks); s.pos++ {
		switch t := s.toks[s.pos]; {
		case t.is("(") || t.is("["):
			deep++
		case (t.is(")") || t.is("]") || t.is(",") || t.is("}")) && deep == 0:
			return f, nil
		case t.is(")") || t.is("]"):
			deep--
		}
	}
	return f, nil
}

// name reads what begins with a name: a variable, a call of a function that is
// known, or a function expression.
func (s *jsScript) name(name string, deep int) (jsValue, error) {
	if s.pos < len(s.toks) && s.toks[s.pos].is("=>") {
		s.pos++
		return s.function(name)
	}
	if name == "function" {
		return s.oldFunction()
	}
	for s.pos+1 < len(s.toks) && s.toks[s.pos].is(".") && isObject(name) {
		name += "." + s.toks[s.pos+1].text
		s.pos += 2
	}
	if s.pos < len(s.toks) && s.toks[s.pos].is("(") {
		args, err := s.args(deep)
		if err != nil {
			return jsValue{}, err
		}
		return s.call(name, args)
	}
	v, ok := s.vars[name]
	if !ok {
		return jsValue{}, errScript
	}
	return v, nil
}

// isObject knows the objects of which functions are called.
func isObject(name string) bool {
	switch name {
	case "document", "window", "String", "Base64", "CryptoJS", "Number", "window.document":
		return true
	}
	return false
}

// oldFunction reads "function(x){return EXPR}".
func (s *jsScript) oldFunction() (jsValue, error) {
	if s.pos+4 >= len(s.toks) || !s.toks[s.pos].is("(") || !s.toks[s.pos+2].is(")") || !s.toks[s.pos+3].is("{") || s.toks[s.pos+4].text != "return" {
		return jsValue{}, errScript
	}
	param := s.toks[s.pos+1].text
	s.pos += 5
	f, err := s.function(param)
	for s.pos < len(s.toks) && (s.toks[s.pos].is(";") || s.toks[s.pos].is("}")) {
		s.pos++
	}
	return f, err
}

// want goes behind a token that must come.
func (s *jsScript) want(op string) error {
	if s.pos >= len(s.toks) || !s.toks[s.pos].is(op) {
		return errScript
	}
	s.pos++
	return nil
}
