package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// Body reads one body from a connection and never a byte behind it. io.EOF
// means that the framing ended as it should; a body that is cut gives
// ErrTruncated, or the error of the connection.
type Body struct {
	r    *bufio.Reader
	kind Kind
	left int64 // of the length or the current chunk
	fed  bool  // a chunk was begun: its CRLF is due
	junk int   // bytes of chunk extensions and trailers so far
	err  error // what Read returns from now on
}

// maxJunk is how much a body may spend on chunk extensions and trailers, which
// are dropped.
const maxJunk = 16 << 10

// maxChunkLine is the longest line that gives a chunk's size.
const maxChunkLine = 4 << 10

// NewBody reads the body that follows a head in r.
func NewBody(r *bufio.Reader, f Framing) *Body {
	b := new(Body)
	b.Reset(r, f)
	return b
}

// Reset makes b the body that follows a head in r. Nothing of what it was before stays.
func (b *Body) Reset(r *bufio.Reader, f Framing) {
	*b = Body{r: r, kind: f.Kind, left: f.Length}
	if f.Kind == NoBody || f.Kind == Length && f.Length == 0 {
		b.err = io.EOF
	}
}

// Done reports whether the body ended as its framing says, so that the next
// head can be read from the same connection.
func (b *Body) Done() bool { return b.err == io.EOF && b.kind != UntilClose }

// Waits reports whether Read may have to wait for the connection. Where that is
// not certain it says so.
func (b *Body) Waits() bool {
	n := b.r.Buffered()
	switch {
	case b.err != nil:
		return false
	case b.kind != Chunked || b.left > 0 || n == 0:
		return n == 0
	}
	next, _ := b.r.Peek(n)
	if b.fed {
		next = next[min(n, len("\r\n")):]
	}
	i := bytes.IndexByte(next, '\n')
	return i < 0 || i+1 == len(next) || next[0] == '0' // trailers may be on their way
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.kind == UntilClose {
		n, err := b.r.Read(p)
		b.err = err
		return n, err
	}
	if b.kind == Chunked && b.left == 0 {
		if b.err = b.nextChunk(); b.err != nil {
			return 0, b.err
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0 && b.kind == Length:
		b.err = io.EOF
	case err != nil:
		b.err = truncated(err)
	case b.left == 0 && b.endIsHere():
		b.err = b.nextChunk() // an end that is here already is told with the last bytes
	}
	return n, b.err
}

// endIsHere reports whether the last chunk can be read without waiting.
func (b *Body) endIsHere() bool {
	const last = "\r\n0\r\n\r\n"
	if b.r.Buffered() < len(last) {
		return false
	}
	next, err := b.r.Peek(len(last))
	return err == nil && string(next) == last
}

// truncated turns an end that comes too early into ErrTruncated.
func truncated(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// nextChunk reads the line of the next chunk. It returns io.EOF after the last
// one and its trailers.
func (b *Body) nextChunk() error {
	if b.fed {
		if line, err := b.line(); err != nil || len(line) != 0 {
			return orError(err, "a chunk without its end")
		}
	}
	b.fed = true
	line, err := b.line()
	if err != nil {
		return err
	}
	size, rest, ok := chunkSize(line)
	if !ok {
		return malformed("a bad chunk size")
	}
	if b.junk += len(rest); b.junk > maxJunk {
		return malformed("too many chunk extensions")
	}
	if b.left = size; size > 0 {
		return nil
	}
	return b.trailers()
}

// trailers reads and drops them. They must be fields all the same.
func (b *Body) trailers() error {
	for {
		line, err := b.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		if b.junk += len(line); b.junk > maxJunk {
			return malformed("too many trailers")
		}
		if _, err := parseField(string(line), true); err != nil {
			return err
		}
	}
}

// line reads one that ends in CRLF and returns it without; valid until the next read.
func (b *Body) line() ([]byte, error) {
	line, err := b.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxChunkLine {
		return nil, malformed("a chunk line is too long")
	}
	if err != nil {
		return nil, truncated(err)
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, malformed("a chunk line ends without CR")
	}
	return line[:len(line)-2], nil
}

// orError returns err, or that the body is malformed.
func orError(err error, msg string) error {
	if err != nil {
		return err
	}
	return malformed(msg)
}

// chunkSize reads 1 to 15 hexadecimal digits, then nothing or an extension.
// Blanks before it are allowed: some servers pad sizes to a fixed width.
func chunkSize(line []byte) (size int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(line); i++ {
		d, hex := unhex(line[i])
		if !hex {
			break
		}
		size = size<<4 | int64(d)
	}
	rest = line[i:]
	if i == 0 || i > 15 || !validValue(string(rest)) {
		return 0, nil, false
	}
	ext := trimBlank(string(rest))
	return size, rest, ext == "" || ext[0] == ';'
}

// isHex reports whether c is a hexadecimal digit.
func isHex(c byte) bool {
	_, ok := unhex(c)
	return ok
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
