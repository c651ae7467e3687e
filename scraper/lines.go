package scraper

import (
	"bytes"
	"errors"
	"io"
)

// lineBuffer is the longest line that is looked at in one piece. Longer ones
// are cut between entries.
const lineBuffer = 64 << 10

// lineReader splits a stream into lines in a memory that does not grow.
//
// bufio.Scanner ends at a line that is too long, and bufio.Reader lets it grow
// or cuts it anywhere. Here a long line is cut behind a separator, because lists
// of a million entries in one line exist; what no separator cuts is not a list.
type lineReader struct {
	r          io.Reader
	buf        []byte
	start, end int
	err        error
	inLine     bool // the piece given before did not end its line
	glued      bool // what follows is the rest of a word that was cut
	empty      int  // reads in a row that gave nothing
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: r, buf: make([]byte, lineBuffer)}
}

// next returns the next line without its end, valid until the next call. cont
// says that it continues the line of the call before. ok is false at the end;
// err then says why unless it was io.EOF.
func (l *lineReader) next() (line []byte, cont, ok bool) {
	searched := l.start
	for {
		if i := bytes.IndexByte(l.buf[searched:l.end], '\n'); i >= 0 {
			line = l.unglue(l.buf[l.start : searched+i])
			l.start = searched + i + 1
			cont, l.inLine, l.glued = l.inLine, false, false
			return line, cont, true
		}
		searched = l.end
		if l.err != nil {
			n := l.end - l.start
			line = l.unglue(l.buf[l.start:l.end])
			cont, l.start = l.inLine, l.end
			return line, cont, n > 0
		}
		if l.start == 0 && l.end == len(l.buf) {
			return l.piece()
		}
		searched -= l.fill()
	}
}

// fill reads more and returns by how much the buffer's content moved.
func (l *lineReader) fill() (moved int) {
	if l.end == len(l.buf) {
		moved = l.start
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	n, err := l.r.Read(l.buf[l.end:])
	l.end += n
	l.err = err
	if l.empty++; n > 0 {
		l.empty = 0
	} else if err == nil && l.empty > 100 {
		l.err = io.ErrNoProgress
	}
	return moved
}

// separators are where a line that is too long may be cut.
const separators = " \t,;|\r"

// piece cuts a line that fills the buffer behind its last separator. A buffer
// full of one word is no list and is dropped.
func (l *lineReader) piece() (line []byte, cont, ok bool) {
	n := bytes.LastIndexAny(l.buf[:l.end], separators) + 1
	line = l.unglue(l.buf[:n])
	if l.start = n; n == 0 {
		l.start, l.glued = l.end, true
	}
	cont, l.inLine = l.inLine, true
	return line, cont, true
}

// unglue drops the rest of a word that was cut, so that a piece of a number is
// never taken for the whole.
func (l *lineReader) unglue(line []byte) []byte {
	if !l.glued {
		return line
	}
	n := bytes.IndexAny(line, separators)
	if n < 0 {
		return nil
	}
	l.glued = false
	return line[n:]
}

// failure is the error that ended the lines, nil for the end of the input.
func (l *lineReader) failure() error {
	if errors.Is(l.err, io.EOF) {
		return nil
	}
	return l.err
}
