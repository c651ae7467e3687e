package http1

import (
	"io"
	"strconv"
)

// ChunkedWriter writes a body in chunks of normal form: no extensions, no
// trailers, one chunk per Write. Without Close the body is cut, which the
// reader can tell.
type ChunkedWriter struct {
	w    io.Writer
	line []byte
}

// NewChunkedWriter writes to w, which should be buffered: a chunk takes three writes.
func NewChunkedWriter(w io.Writer) *ChunkedWriter { return &ChunkedWriter{w: w} }

// Write writes p as one chunk; an empty p writes nothing.
func (c *ChunkedWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.line = append(strconv.AppendInt(c.line[:0], int64(len(p)), 16), "\r\n"...)
	if _, err := c.w.Write(c.line); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	if err != nil {
		return n, err
	}
	_, err = io.WriteString(c.w, "\r\n")
	return n, err
}

// Close writes the last chunk. It does not close the writer below.
func (c *ChunkedWriter) Close() error {
	_, err := io.WriteString(c.w, "0\r\n\r\n")
	return err
}
