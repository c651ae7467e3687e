package scraper

import (
	"bytes"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads JSON, several documents of it in a row, and what comes
// close: cut short, with missing commas, JavaScript literals. It never fails:
// where the syntax breaks it goes on with what follows.
//
// The decoders of Go give up at the first mistake and cannot read literals of
// JavaScript, and their tokens cost an allocation each. This one keeps nothing
// but a buffer and the brackets that are open; the rest is in records. It
// differs from the grammar where lists do:
//
//   - Quotes may be single, double or backquotes; a line break ends a string
//     that was not closed, except in backquotes.
//   - Keys and values may have no quotes at all.
//   - A bracket closes everything that is open inside of it; one that closes
//     nothing is skipped.
//   - Between documents there may be lines of text, which may hold entries.
type jsonReader struct {
	e       *emitter
	rec     *records
	src     io.Reader // nil: all is in buf
	buf     []byte
	pos     int
	end     int
	err     error
	wantKey bool   // in an object, at a place for a key
	colon   bool   // a key and its colon came last
	kinds   []bool // of what is open: true for arrays; at most maxNesting
	over    int    // opened beyond that
	scratch []byte // strings without their escapes
	script  bool   // JavaScript: braces are not only objects
	docs    int    // documents so far
}

const (
	jsonBuffer = 64 << 10
	maxString  = 8 << 20 // the longest string that is looked at
)

// readJSON reads JSON from a stream, or JavaScript that holds it.
func (e *emitter) readJSON(r io.Reader, script bool) error {
	j := &jsonReader{e: e, rec: newRecords(e), src: r, buf: make([]byte, jsonBuffer), script: script}
	j.rec.island = script
	e.line = 1
	j.run()
	if j.docs > 1 && !script && e.stats.Format == "json" {
		e.stats.Format = "ndjson"
	}
	if j.err == io.EOF {
		return nil
	}
	return j.err
}

// jsonBytes reads JSON that is in memory; script says that it is JavaScript
// which holds JSON or literals like it.
func (e *emitter) jsonBytes(b []byte, script bool) {
	j := &jsonReader{e: e, rec: e.nestedRecords(), buf: b, end: len(b), err: io.EOF, script: script}
	j.rec.island = script
	j.run()
	e.spare = append(e.spare, j.rec)
}

// more reads more input behind what begins at from, which it moves to the
// front of the buffer; it returns by how much, and false at the end.
func (j *jsonReader) more(from int) (moved int, ok bool) {
	if j.err != nil {
		return 0, false
	}
	// Everything before from has been read; what is kept moves to the front.
	if from > 0 {
		j.end = copy(j.buf, j.buf[from:j.end])
		j.pos -= from
	}
	// A string that fills the buffer makes it grow, up to maxString; see str.
	if j.end == len(j.buf) {
		j.buf = append(j.buf, make([]byte, len(j.buf))...)
	}
	for tries := 0; j.err == nil; tries++ {
		var n int
		n, j.err = j.src.Read(j.buf[j.end:])
		j.end += n
		if n > 0 {
			return from, true
		}
		if tries > 100 {
			j.err = io.ErrNoProgress
		}
	}
	return from, false
}

// run reads tokens until the input ends and closes what is left open.
func (j *jsonReader) run() {
	for !j.e.done {
		if j.pos == j.end {
			if _, ok := j.more(j.pos); !ok {
				break
			}
		}
		j.token()
	}
	j.rec.close()
}

// token reads one token and acts on it.
func (j *jsonReader) token() {
	switch c := j.buf[j.pos]; c {
	case '\n':
		j.e.line++
		j.pos++
		return
	// nothing, in JSON and around it
	case ' ', '\t', '\r', ';', ')', '(', 0:
		j.pos++
		return
	case '{':
		j.open(false)
	case '[':
		if len(j.kinds) == 0 && !j.script && j.isText() {
			j.text()
		} else {
			j.open(true)
		}
	case '}', ']':
		j.pos++
		j.close(c == ']')
	// behind a comma an object goes on with a key
	case ',':
		j.pos++
		j.wantKey = j.inObject()
	case ':':
		j.pos++
		j.wantKey, j.colon = false, true
		return
	case '"', '\'', '`':
		j.str(c)
	case '/':
		if j.comment() {
			return
		}
		j.word()
	default:
		j.word()
	}
	j.colon = false
}

// word reads what is neither a bracket nor a string.
func (j *jsonReader) word() {
	if len(j.kinds) == 0 && !j.script {
		j.text()
	} else {
		j.bare()
	}
}

// comment goes behind "/* ... */", or to the end of the line of "// ..." in an
// object or array, and reports whether there was one.
func (j *jsonReader) comment() bool {
	if j.end-j.pos < 2 {
		j.more(j.pos)
	}
	switch rest := j.buf[j.pos:j.end]; {
	case bytes.HasPrefix(rest, []byte("//")) && len(j.kinds) > 0:
		j.skipLine()
		return true
	case !bytes.HasPrefix(rest, []byte("/*")):
		return false
	}
	for j.pos += 2; ; {
		if i := bytes.Index(j.buf[j.pos:j.end], []byte("*/")); i >= 0 {
			j.e.line += bytes.Count(j.buf[j.pos:j.pos+i], []byte("\n"))
			j.pos += i + 2
			return true
		}
		j.pos = max(j.pos, j.end-1)
		if _, ok := j.more(j.pos); !ok {
			j.pos = j.end
			return true
		}
	}
}

// inObject reports whether the innermost bracket is that of an object.
func (j *jsonReader) inObject() bool {
	return len(j.kinds) > 0 && j.over == 0 && !j.kinds[len(j.kinds)-1]
}

// open opens an object or array. In JSON a bracket that follows neither a colon
// nor a comma in an object shows that the object was not closed: a line of
// NDJSON that was cut. In JavaScript it may be a block.
func (j *jsonReader) open(array bool) {
	j.pos++
	if len(j.kinds) == maxNesting-1 {
		j.e.tooDeep()
		j.over++
		j.wantKey = false
		return
	}
	if !j.colon && !j.script { // the object before it was not closed
		for j.inObject() {
			j.pop()
		}
	}
	if len(j.kinds) == 0 {
		j.docs++
	}
	j.kinds = append(j.kinds, array)
	j.rec.enter(array)
	j.wantKey = !array
}

// close closes the innermost open bracket of the kind and what is open inside it.
func (j *jsonReader) close(array bool) {
	if j.over > 0 {
		j.over--
		return
	}
	// A bracket that closes nothing is left out.
	for i := len(j.kinds) - 1; i >= 0; i-- {
		if j.kinds[i] == array {
			for len(j.kinds) > i {
				j.pop()
			}
			break
		}
	}
	j.wantKey = false
}

// pop closes the innermost object or array.
func (j *jsonReader) pop() {
	j.kinds = j.kinds[:len(j.kinds)-1]
	j.rec.leave()
}

// str reads a string in quotes c.
func (j *jsonReader) str(c byte) {
	// The string is looked at where it lies; only escapes need a copy.
	j.pos++
	start, i, plain := j.pos, j.pos, true
	for {
		for i < j.end && j.buf[i] != c && j.buf[i] != '\\' && j.buf[i] != '\n' {
			i++
		}
		switch {
		// the rest is not there yet; an escape must be whole
		case i == j.end || j.buf[i] == '\\' && i+1 == j.end:
			moved, ok := j.more(start)
			start, i = start-moved, i-moved
			if !ok {
				j.pos = j.end
				j.scalar(j.unescape(j.buf[start:i], plain))
				return
			}
			// Nobody writes entries of that length; what is kept is enough to end it.
			if i-start > maxString {
				start = i // too long: only its end is read
			}
		case j.buf[i] == '\\':
			plain = false
			i += 2
		case j.buf[i] == '\n' && c == '`':
			i++
		default: // a line break ends a string that was not closed
			j.pos = i + 1
			if j.buf[i] == '\n' {
				j.pos = i
			}
			j.scalar(j.unescape(j.buf[start:i], plain))
			return
		}
	}
}

// bare reads a word without quotes: a number, true, a key of JavaScript.
func (j *jsonReader) bare() {
	start, i := j.pos, j.pos
	for {
		for i < j.end && !isJSONMark(j.buf[i]) {
			i++
		}
		if i < j.end || i-start >= maxCellText {
			break
		}
		moved, ok := j.more(start)
		start, i = start-moved, i-moved
		if !ok {
			break
		}
	}
	// A byte that is no part of a word is a word, so that reading goes on.
	j.pos = max(i, start+1)
	word := j.buf[start:j.pos]
	switch {
	case j.over > 0:
	case j.wantKey:
		j.rec.key(word)
		j.wantKey = false
	default:
		j.rec.value(word, false)
	}
}

// isJSONMark knows the bytes that end a word.
func isJSONMark(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', ',', ':', '{', '}', '[', ']', '"', '\'', '`', ';', '(', ')':
		return true
	}
	return false
}

// skipLine goes to the end of a comment.
func (j *jsonReader) skipLine() {
	for {
		if i := bytes.IndexByte(j.buf[j.pos:j.end], '\n'); i >= 0 {
			j.pos += i
			return
		}
		j.pos = j.end
		if _, ok := j.more(j.pos); !ok {
			return
		}
	}
}

// scalar takes a string: a key where one may stand, else a value.
func (j *jsonReader) scalar(b []byte) {
	if j.over > 0 {
		return
	}
	// A string where a key may stand is a key.
	if j.wantKey {
		j.wantKey = false
		j.rec.key(b)
		return
	}
	j.rec.value(b, true)
}

// isText reports whether "[" at a place for a document begins an address.
func (j *jsonReader) isText() bool {
	// The bracket may be the last byte that has come.
	if j.end-j.pos < 6 {
		j.more(j.pos)
	}
	return j.isMark(j.pos)
}

// isMark reports whether the bracket at i belongs to text: "[2001:db8::1]:80",
// "[socks5]".
func (j *jsonReader) isMark(i int) bool {
	const enough = 64 // behind the bracket
	b := j.buf[i:min(j.end, i+enough)]
	rest := trimSpace(b[1:])
	return isIPv6Start(b) || len(rest) > 0 && isLetter(rest[0]) && !isJSONStart(b)
}

// text reads what stands outside of any document as lines, up to the end of
// the line or the next bracket.
func (j *jsonReader) text() {
	i := j.pos + 1
	for {
		for i < j.end && j.buf[i] != '\n' && (j.buf[i] != '{' && j.buf[i] != '[' || j.isMark(i)) {
			i++
		}
		if i < j.end || i-j.pos >= lineBuffer {
			break
		}
		moved, ok := j.more(j.pos)
		i -= moved
		if !ok {
			break
		}
	}
	line := j.buf[j.pos:i]
	j.pos = i
	j.rec.lines.section = 0
	j.rec.lines.line(line, false)
}

// unescape undoes the escapes of JSON and JavaScript.
func (j *jsonReader) unescape(b []byte, plain bool) []byte {
	if plain {
		return b
	}
	out := j.scratch[:0]
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		switch c := b[i]; c {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		// control characters that mean nothing here
		case 'b', 'f', 'v', '0':
			out = append(out, ' ')
		case 'u':
			// a character beyond 16 bits is two escapes
			r, n := hexRune(b[i+1:], 4)
			if r2, n2 := pairRune(b[i+1+n:]); utf16.IsSurrogate(r) && n2 > 0 {
				r, n = utf16.DecodeRune(r, r2), n+n2
			}
			out = utf8.AppendRune(out, r)
			i += n
		case 'x':
			r, n := hexRune(b[i+1:], 2)
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, c)
		}
	}
	j.scratch = out
	return out
}

// hexRune reads n hexadecimal digits; U+FFFD and 0 when they are not there.
func hexRune(b []byte, n int) (rune, int) {
	if len(b) < n {
		return utf8.RuneError, 0
	}
	v, err := strconv.ParseUint(string(b[:n]), 16, 32)
	if err != nil {
		return utf8.RuneError, 0
	}
	return rune(v), n
}

// pairRune reads the second half of a surrogate pair, "\uDC00".
func pairRune(b []byte) (rune, int) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, 0
	}
	r, n := hexRune(b[2:], 4)
	if n == 0 {
		return 0, 0
	}
	return r, n + 2
}
