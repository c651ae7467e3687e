package lab

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// copyBody copies a body with its framing as it is on the wire.
func (b *buffers) copyBody(dst io.Writer, src *bufio.Reader, n int64) error {
	switch n {
	case noBody:
		return nil
	case untilClose:
		_, err := b.copy(dst, src)
		return err
	case chunked:
		return b.copyChunks(dst, src)
	}
	return b.copyN(dst, src, n)
}

// copyN copies exactly n bytes.
func (b *buffers) copyN(dst io.Writer, src io.Reader, n int64) error {
	done, err := b.copy(dst, io.LimitReader(src, n))
	if err == nil && done < n {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// copyChunks copies a chunked body with its trailer. Only line ends are normalised.
func (b *buffers) copyChunks(dst io.Writer, src *bufio.Reader) error {
	for {
		size, line, err := readChunkSize(src)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(dst, line+"\r\n"); err != nil {
			return err
		}
		if size == 0 {
			return copyTrailer(dst, src)
		}
		if err := b.copyN(dst, src, size+2); err != nil {
			return err
		}
	}
}

// readChunkSize reads the line before a chunk; it returns the size, at most 2^40, and the line.
func readChunkSize(src *bufio.Reader) (int64, string, error) {
	total := 0
	line, err := readLine(src, &total)
	if err != nil {
		return 0, "", noEOF(err)
	}
	digits, _, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 40)
	if err != nil {
		return 0, "", errHead
	}
	return int64(n), line, nil
}

// copyTrailer copies the fields behind the last chunk and the empty line that ends the body.
func copyTrailer(dst io.Writer, src *bufio.Reader) error {
	total := 0
	for {
		line, err := readLine(src, &total)
		if err != nil {
			return noEOF(err)
		}
		if _, err := io.WriteString(dst, line+"\r\n"); err != nil || line == "" {
			return err
		}
	}
}

// noEOF makes an end inside a body an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readBody returns the content of a body without its framing, at most limit bytes of it.
func readBody(src *bufio.Reader, n int64, limit int64) ([]byte, error) {
	switch n {
	case noBody:
		return nil, nil
	case untilClose:
		return io.ReadAll(io.LimitReader(src, limit))
	case chunked:
		return readChunks(src, limit)
	}
	body := make([]byte, min(n, limit))
	_, err := io.ReadFull(src, body)
	return body, err
}

// readChunks is readBody for chunks; it stops before the chunk with which limit would be exceeded.
func readChunks(src *bufio.Reader, limit int64) ([]byte, error) {
	var body []byte
	for {
		size, _, err := readChunkSize(src)
		if err != nil {
			return body, err
		}
		if size == 0 {
			return body, copyTrailer(io.Discard, src)
		}
		if int64(len(body))+size > limit {
			return body, nil
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(src, chunk); err != nil {
			return body, err
		}
		body = append(body, chunk[:size]...)
	}
}
